"""Blur integrated gradients: the Gaussian and its slope, the integral by many small steps, and the sum it promises."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from scipy.ndimage import gaussian_filter, gaussian_filter1d

import pellucid as pl
from pellucid.errors import InvalidOption, NotApplicable
from pellucid.explain.gradients.blur import Focus, gaussian


@pytest.mark.parametrize("sigma", [0.2, 0.7, 3.0, 12.0])
def test_the_matrix_is_a_gaussian_with_zeros_around(sigma, generator):
    x = generator.normal(size=9)
    blur, slope = gaussian(sigma, 9)
    np.testing.assert_allclose(
        blur @ x, gaussian_filter1d(x, sigma, mode="constant", truncate=10), rtol=1e-9, atol=1e-12
    )
    step = 1e-5
    numeric = (gaussian(sigma + step, 9)[0] - gaussian(sigma - step, 9)[0]) / (2 * step)
    np.testing.assert_allclose(slope, numeric, rtol=1e-5, atol=1e-8)


def by_small_steps(slope, x, sigma, points=4000):
    """The integral over sigma by midpoints, every blur by SciPy and every derivative a central difference."""
    total, h = np.zeros_like(x), sigma / points
    for s in (np.arange(points) + 0.5) * h:
        higher, lower = (gaussian_filter(x, [t, t, 0], mode="constant", truncate=10) for t in (s + h / 2, s - h / 2))
        total -= slope(gaussian_filter(x, [s, s, 0], mode="constant", truncate=10)) * (higher - lower)
    return total


def test_the_integral_by_many_small_steps(generator):
    w, v = generator.normal(size=(2, 6, 5, 2)).astype(np.float32) / 4
    each = lambda a, b: ops.sum(ops.multiply(a, b), axis=(1, 2, 3))  # noqa: E731
    f = lambda x: ops.tanh(each(x, w)) + each(ops.square(x), v)  # noqa: E731
    x = generator.normal(size=(2, 6, 5, 2))
    e = pl.explain(f, x, pl.BlurIntegratedGradients(max_sigma=3.0, tolerance=1e-4))
    assert e.converged.all()
    for row, values in zip(x, e.values, strict=True):
        slope = lambda z: w / np.cosh((z * w).sum()) ** 2 + 2 * z * v  # noqa: E731
        np.testing.assert_allclose(values, by_small_steps(slope, row, 3.0), rtol=2e-3, atol=2e-4)


@pytest.mark.parametrize("shape, axes", [((7, 3), None), ((7,), (0,)), ((4, 5, 3, 2), None), ((5, 6, 1), (1,))])
def test_series_pictures_volumes_and_single_axes(shape, axes, generator):
    w = generator.normal(size=shape).astype(np.float32)
    f = lambda x: ops.sum(ops.multiply(ops.tanh(x), w), tuple(range(1, len(shape) + 1)))  # noqa: E731
    x = generator.normal(size=(3, *shape)).astype(np.float32)
    e = pl.explain(f, x, pl.BlurIntegratedGradients(2.0, axes, tolerance=1e-4))
    blurred = gaussian_filter(x, 2.0, mode="constant", truncate=10, axes=[a + 1 for a in axes or range(len(shape) - 1)])
    np.testing.assert_allclose(e.baseline, blurred, rtol=1e-4, atol=1e-5)
    change = ((np.tanh(x) - np.tanh(blurred)) * w).reshape(3, -1).sum(1)
    np.testing.assert_allclose(e.values.reshape(3, -1).sum(1), change, rtol=1e-3, atol=1e-3)
    assert e.gap.max() < 1e-3


def test_what_is_compiled_is_what_numpy_does(generator):
    """The places and the derivatives inside a step against those of single matrices."""
    path = Focus(2.0, ((0, 1),), ((5, 4, 2),))
    x, positions = generator.normal(size=(3, 5, 4, 2)).astype(np.float32), np.array([0.1, 0.6], np.float32)
    at, ways = path.along(
        [None], [ops.convert_to_tensor(x)], ops.convert_to_tensor(positions), path.described(positions)
    )
    for i, a in enumerate(positions.astype(float)):
        np.testing.assert_allclose(
            ops.convert_to_numpy(at[0])[3 * i : 3 * i + 3], path.place([x], [x], a)[0], atol=1e-5
        )
        numeric = (path.place([x], [x.astype(float)], a + 1e-3)[0] - path.place([x], [x], a - 1e-3)[0]) / 2e-3
        np.testing.assert_allclose(ops.convert_to_numpy(ways[0])[i], numeric, rtol=2e-2, atol=2e-3)


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="plain torch modules run on torch")
def test_torch_modules_are_blurred_along_their_pictures(generator):
    from torch import nn

    net = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Tanh(), nn.Flatten(), nn.Linear(3 * 16, 2))
    x = generator.normal(size=(2, 2, 6, 6)).astype(np.float32)
    e = pl.explain(net, x, pl.BlurIntegratedGradients(), target=1)
    blurred = gaussian_filter(x, 1.5, mode="constant", truncate=10, axes=[2, 3])
    np.testing.assert_allclose(e.baseline, blurred, rtol=1e-4, atol=1e-5)


def test_what_cannot_be_blurred_is_refused(random_mlp):
    with pytest.raises(NotApplicable, match=r"blurs images and series, got float32 \(2, 6\)"):
        pl.explain(random_mlp, np.zeros((2, 6)), pl.BlurIntegratedGradients())
    tokens = keras.Input((4,), dtype="int32")
    net = keras.Model(tokens, layers.Dense(2)(layers.Flatten()(layers.Embedding(5, 3)(tokens))))
    with pytest.raises(NotApplicable, match="blurs images and series, got int32"):
        pl.explain(net, np.ones((2, 4), int), pl.BlurIntegratedGradients(axes=(0,)))


@pytest.mark.parametrize("options", [{"max_sigma": 0}, {"axes": (-1,)}, {"tolerance": 0}, {"max_evaluations": 6}])
def test_options_that_make_no_sense(options):
    with pytest.raises(InvalidOption, match=f"BlurIntegratedGradients.{next(iter(options))}: expected"):
        pl.BlurIntegratedGradients(**options)
