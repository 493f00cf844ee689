"""Images mirrored, moved and erased, against NumPy by the same draws, and what the draws are."""

import numpy as np
import pytest

import pellucid as pl
from pellucid.errors import InvalidOption, NotApplicable
from pellucid.improve.augmentation.images import value_range

X = np.random.default_rng(0).random((60, 9, 7, 3)).astype("float32")
DATA = pl.Dataset(X, np.arange(60) % 3)


@pytest.mark.parametrize("direction", ["horizontal", "vertical", "both"])
def test_a_flip_mirrors_those_that_are_hit(apply, direction):
    found, hits = apply(pl.Flip(direction, 0.4), DATA)
    expected = X.copy()
    for hit, turn in zip(hits, {"horizontal": "h", "vertical": "v", "both": "hv"}[direction], strict=True):
        hit = hit.ravel()
        expected[hit] = expected[hit, :, ::-1] if turn == "h" else expected[hit, ::-1]
        assert 0.1 < hit.mean() < 0.7
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("fill", ["edge", "reflect", "low"])
def test_a_crop_is_a_window_into_the_padded_image(apply, fill):
    found, (down, right) = apply(pl.Crop(3, fill), DATA)
    mode = {"edge": "edge", "reflect": "reflect", "low": "constant"}[fill]
    padded = np.pad(X, ((0, 0), (3, 3), (3, 3), (0, 0)), mode)
    expected = [p[i : i + 9, j : j + 7] for p, i, j in zip(padded, down, right, strict=True)]
    np.testing.assert_array_equal(found, expected)
    assert set(down) == set(right) == set(range(7))


def test_low_is_the_least_value_of_the_training_data(apply):
    data = pl.Dataset(X - 0.5, DATA.y)
    found, (down, _) = apply(pl.Crop(3, "low"), data)
    assert np.all(found[down == 0, :3] == data.x.min())


def test_rectangles_have_the_area_and_the_form_that_was_drawn():
    x = np.zeros((500, 40, 50, 1), "float32")
    one = pl.Erasing(0.3, area=(0.05, 0.2), ratio=(0.5, 2.0))
    draws = one.attach(None, pl.Dataset(x + 1), 0)
    inside = np.asarray(one.rectangles(500, (40, 50), draws))[..., 0]
    heights, widths = inside.any(2).sum(1), inside.any(1).sum(1)
    np.testing.assert_array_equal(inside.sum((1, 2)), heights * widths)  # one rectangle, without holes
    area, form = heights * widths / 2000, heights / widths
    assert 0.04 < area.min() < 0.07
    assert 0.18 < area.max() < 0.215
    assert abs(area.mean() - 0.125) < 4 * 0.15 / np.sqrt(12 * 500) + 0.002
    assert abs(np.log(form).mean()) < 4 * np.log(4) / np.sqrt(12 * 500) + 0.01
    top = inside.any(2).argmax(1)
    assert top.min() == 0
    assert (top + heights).max() == 40


@pytest.mark.parametrize("fill", ["noise", "mean", "low"])
def test_erasing_changes_the_rectangle_and_nothing_else(apply, fill):
    found, draws = apply(pl.Erasing(0.6, fill=fill), DATA)
    hit = draws[4].ravel()
    changed = np.any(found != X, axis=-1)
    assert not changed[~hit].any()
    assert changed[hit].any((1, 2)).all()
    assert abs(hit.mean() - 0.6) < 4 * np.sqrt(0.24 / 60)
    values = found[changed]
    if fill == "mean":
        np.testing.assert_allclose(values, np.broadcast_to(X.mean((0, 1, 2)), values.shape), rtol=1e-5)
    elif fill == "low":
        assert not values.any()
    else:
        assert abs(values.mean() - 0.5) < 4 / np.sqrt(12 * values.size)
        assert values.max() <= 1


def test_the_range_of_values_is_seen():
    assert value_range(X) == (0, 1)
    assert value_range((X * 255).astype("uint8")) == (0, 255)
    assert value_range(X * 16) == (float((X * 16).min()), float((X * 16).max()))
    assert value_range(X - 0.5) == (float((X - 0.5).min()), float((X - 0.5).max()))
    run = "took the values of images to lie between 0 and 255"
    assert run in pl.RandAugment().assumed(pl.Dataset((X * 255).astype("uint8")))


def test_errors():
    for wrong in (lambda: pl.Flip("left"), lambda: pl.Flip(rate=1), lambda: pl.Crop(0), lambda: pl.Crop(2, "zero")):
        with pytest.raises(InvalidOption):
            wrong()
    with pytest.raises(InvalidOption, match="area: expected two shares"):
        pl.Erasing(area=(0.5, 0.2))
    with pytest.raises(InvalidOption, match="ratio: expected two numbers"):
        pl.Erasing(ratio=(0, 1))
    with pytest.raises(InvalidOption, match="less than the sides"):
        pl.Crop(7).attach(None, DATA, 0)
    with pytest.raises(NotApplicable, match=r"Flip is for image data.*'tabular'"):
        pl.Flip().attach(None, pl.Dataset(np.ones((4, 3))), 0)
    with pytest.raises(NotApplicable, match="several"):
        pl.Flip().attach(None, pl.Dataset({"a": X, "b": X}, kind="image"), 0)
    with pytest.raises(InvalidOption, match="marks would not move"):
        pl.Recipe(pl.Flip(), pl.AttentionSupervision(np.ones((2, 3))))
    with pytest.raises(InvalidOption, match="mask of the cause would not move"):
        pl.Recipe(pl.Crop(1), pl.RightReasons(np.ones((9, 7, 1))))
