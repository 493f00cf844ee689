"""Regions: the greedy rule against a plain one, segments as the authors make them, and sums that are kept."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from skimage.morphology import dilation, disk
from skimage.segmentation import felzenszwalb

import pellucid as pl
from pellucid.errors import InvalidOption, NotApplicable


def greedily(pixels, masks, least):
    """The published rule, mask by mask, each density looked at anew."""
    found, seen, left = np.full(pixels.shape, -np.inf), np.zeros(pixels.shape, bool), list(masks)
    while left := [m for m in left if (m & ~seen).sum() >= least]:
        best = max(left, key=lambda m: pixels[m & ~seen].mean())
        new = best & ~seen
        found[new] = pixels[new].mean()
        seen |= best
    if not seen.all():
        found[~seen] = pixels[~seen].mean()
    return found


def picture(draw, size=224):
    """A bright square and a bright disc on a slope of grey, with some noise."""
    y, x = np.mgrid[:size, :size] / size
    image = (
        0.3 * x + 0.5 * ((abs(x - 0.3) < 0.12) & (abs(y - 0.3) < 0.12)) + 0.6 * ((x - 0.7) ** 2 + (y - 0.6) ** 2 < 0.02)
    )
    return (image + 0.02 * draw.normal(size=(size, size)))[..., None].astype(np.float32)


def test_segments_are_the_published_ones(generator):
    image = picture(generator)
    scaled = 2 * (image - image.min()) / (image.max() - image.min()) - 1
    expected = []
    for scale in (50, 100, 150, 250, 500, 1200):
        labels = felzenszwalb(scaled, scale=scale, sigma=0.8, min_size=150, channel_axis=-1)
        expected += [dilation(labels == n, disk(5)) for n in range(labels.max() + 1)]
    found = list(pl.Xrai()._segments(image))
    np.testing.assert_array_equal(found, expected)


def test_regions_are_joined_by_the_published_rule(generator):
    method = pl.Xrai(scales=(50, 500))
    image = picture(generator, 60)
    for _ in range(3):
        pixels = generator.normal(size=(60, 60)) + 3 * image[..., 0] * generator.normal()
        expected = greedily(pixels, list(method._segments(image)), max(1, round(50 * 3600 / 224**2)))
        np.testing.assert_allclose(method._regions(image, pixels), expected, rtol=1e-9, atol=1e-12)


@pytest.fixture(scope="module")
def net():
    keras.utils.set_random_seed(3)
    parts = [layers.Conv2D(4, 3, 2, activation="tanh"), layers.Conv2D(4, 3, 2, activation="tanh"), layers.Flatten()]
    return keras.Sequential([keras.Input((40, 40, 3)), *parts, layers.Dense(3)])


def test_regions_keep_the_sum_of_their_pixels(net, generator):
    x = np.stack([picture(generator, 40) for _ in range(2)]) * np.array([1, 0.5, -1], np.float32)
    pixels = pl.explain(net, x, pl.IntegratedGradients(), target=1)
    own = pl.explain(net, x, pl.Xrai(extremes=False, scales=(500,)), target=1)
    assert own.values.shape == (2, 40, 40, 1)
    np.testing.assert_allclose(own.values.sum((1, 2, 3)), pixels.values.sum((1, 2, 3)), rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(own.evaluations, pixels.evaluations)
    both = pl.explain(net, x, pl.Xrai(scales=(500,)), target=1)
    model = pl.wrap(net)
    extremes = [of(x, axis=(1, 2, 3), keepdims=True) for of in (np.min, np.max)]
    ends = [model.scores(np.broadcast_to(e, x.shape))[:, 1] for e in extremes]
    np.testing.assert_allclose(both.baseline_output, np.mean(ends, 0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(both.values.sum((1, 2, 3)), both.output - both.baseline_output, atol=2e-2)
    np.testing.assert_allclose(
        both.gap, np.abs(both.values.sum((1, 2, 3)) - both.output + both.baseline_output), atol=1e-4
    )


def test_the_error_bounds_that_of_the_same_regions(net, generator):
    """A region's mean is a projection: it is never further off, in absolute terms, than the pixels are."""
    x = np.stack([picture(generator, 40)] * 2) * np.array([1, 0.5, -1], np.float32)
    rough = pl.explain(
        net, x, pl.Xrai(pl.IntegratedGradients(tolerance=0.2, max_evaluations=7), extremes=False), target=1
    )
    exact = pl.explain(net, x, pl.IntegratedGradients(tolerance=1e-5), target=1).values.sum(-1)
    for value, truth, error in zip(rough.values[..., 0], exact, rough.error, strict=True):
        means = np.zeros_like(truth)
        for level in np.unique(value):
            means[value == level] = truth[value == level].mean()
        assert np.linalg.norm(value - means) <= error * np.linalg.norm(value)


def test_a_flat_image_is_one_region(net):
    e = pl.explain(net, np.full((1, 40, 40, 3), 0.5, np.float32), pl.Xrai(extremes=False, scales=(500,)))
    assert len(np.unique(e.values)) == 1


def test_what_is_no_image_is_refused(random_mlp):
    with pytest.raises(NotApplicable, match=r"cuts images \(B, H, W, C\) into regions, got float32 \(2, 6\)"):
        pl.explain(random_mlp, np.zeros((2, 6)), pl.Xrai())
    f = lambda x: ops.sum(x, axis=(1, 2, 3))  # noqa: E731
    with pytest.raises(InvalidOption, match="Gradient has no baseline"):
        pl.explain(f, np.zeros((1, 8, 8, 1)), pl.Xrai(pl.Gradient()))
    e = pl.explain(f, np.ones((1, 8, 8, 1)), pl.Xrai(pl.Gradient(), extremes=False))
    np.testing.assert_allclose(e.values, 1)


@pytest.mark.parametrize("options", [{"scales": ()}, {"scales": (0,)}, {"least": 0}, {"dilation": -1}, {"method": 3}])
def test_options_that_make_no_sense(options):
    with pytest.raises(InvalidOption, match=f"Xrai.{next(iter(options))}: expected"):
        pl.Xrai(**options)
