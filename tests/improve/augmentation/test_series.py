import numpy as np
import pytest
from scipy.interpolate import CubicSpline

import pellucid as pl
from pellucid.errors import InvalidOption, NotApplicable

X = (np.random.default_rng(0).normal(size=(400, 30, 2)) * [1, 5]).astype("float32").cumsum(axis=1)
DATA = pl.Dataset(X, np.arange(400) % 2)
FLAT = pl.Dataset(X[..., 0], DATA.y, kind="sequence")


@pytest.mark.parametrize("data", [DATA, FLAT], ids=["channels", "flat"])
def test_jitter_has_the_spread_of_its_channel(apply, data):
    found, (z,) = apply(pl.Jitter(0.1), data)
    spread = data.x.std(axis=(0, 1))
    np.testing.assert_allclose(found, data.x + 0.1 * spread * z, rtol=1e-4, atol=1e-4)
    assert abs(z.std() - 1) < 4 / np.sqrt(2 * z.size)


@pytest.mark.parametrize("data", [DATA, FLAT], ids=["channels", "flat"])
def test_scaling_is_one_factor_for_a_channel(apply, data):
    found, _ = apply(pl.Scaling(0.2), data)
    factor = found / data.x
    np.testing.assert_allclose(factor, np.broadcast_to(factor[:, :1], factor.shape), rtol=1e-4)
    factor = factor[:, 0]
    assert abs(factor.mean() - 1) < 4 * 0.2 / np.sqrt(factor.size)
    assert abs(factor.std() - 0.2) < 4 * 0.2 / np.sqrt(2 * factor.size)


@pytest.mark.parametrize("data", [DATA, FLAT], ids=["channels", "flat"])
def test_a_warp_follows_the_pace_that_was_drawn(apply, data):
    found, (z,) = apply(pl.TimeWarp(0.3, knots=3), data)
    expected = np.empty_like(data.x)
    for i, (row, paces) in enumerate(zip(data.x, z, strict=True)):
        pace = np.maximum(CubicSpline(np.linspace(0, 28, 5), 1 + 0.3 * paces)(np.arange(29)), 0.1)
        when = np.r_[0, np.cumsum(pace)] * 29 / pace.sum()
        assert np.all(np.diff(when) > 0)
        columns = [np.interp(when, np.arange(30), column) for column in row.reshape(30, -1).T]
        expected[i] = np.stack(columns, -1).reshape(row.shape)
    np.testing.assert_allclose(found, expected, atol=2e-3)
    np.testing.assert_allclose(found[:, 0], data.x[:, 0], rtol=1e-5)
    np.testing.assert_allclose(found[:, -1], data.x[:, -1], rtol=1e-4, atol=1e-4)


def test_a_slice_is_stretched_to_the_whole(apply):
    found, (start,) = apply(pl.WindowSlice(0.8), DATA)
    for row, new, first in zip(X, found, start.ravel(), strict=True):
        when = first + np.arange(30) * 23 / 29
        np.testing.assert_allclose(new, np.stack([np.interp(when, np.arange(30), c) for c in row.T], -1), atol=2e-3)
    assert set(start.ravel()) == set(range(7))
    assert np.bincount(start.ravel()).min() > 57 - 4 * np.sqrt(57)


def test_errors():
    for wrong in (
        lambda: pl.Jitter(0), lambda: pl.Scaling(-1), lambda: pl.TimeWarp(0), lambda: pl.TimeWarp(knots=0),
        lambda: pl.WindowSlice(1), lambda: pl.WindowSlice(0.01).attach(None, DATA, 0),
    ):  # fmt: skip
        with pytest.raises(InvalidOption):
            wrong()
    with pytest.raises(NotApplicable, match="TimeWarp is for sequence and audio data, and these are of kind 'image'"):
        pl.TimeWarp().attach(None, pl.Dataset(np.ones((2, 3, 3, 1))), 0)
