import numpy as np
import pytest

import pellucid as pl
from pellucid.data.corruptions import SEQUENCE, reference
from pellucid.errors import InvalidInput

STEPS = 100
G = np.random.default_rng(0)
X = G.normal([1.0, -4.0], [0.5, 3.0], (600, STEPS, 2))
DATA = pl.Dataset(X)
CASES = lambda levels: list(zip((1, 2, 3, 4, 5), levels))  # noqa: E731


def put(name, x, severity, seed=0, data=DATA):
    return SEQUENCE[name](x, severity, np.random.default_rng(seed), reference(data))


@pytest.mark.parametrize("severity, spread", CASES((0.1, 0.2, 0.3, 0.5, 1.0)))
def test_noise_is_in_units_of_each_channel(severity, spread):
    np.testing.assert_allclose((put("noise", X, severity) - X).std((0, 1)), spread * X.std((0, 1)), rtol=0.02)


@pytest.mark.parametrize("severity, share", CASES((0.05, 0.1, 0.2, 0.3, 0.5)))
def test_one_span_falls_out(severity, share):
    found = put("dropout", X, severity)
    lost = (found != X).all(2)
    np.testing.assert_array_equal(lost, (found != X).any(2))
    np.testing.assert_array_equal(lost.sum(1), round(share * STEPS))
    assert (np.abs(np.diff(lost.astype(int), axis=1)).sum(1) <= 2).all()
    np.testing.assert_allclose(found[lost], np.tile(X.mean((0, 1)), (lost.sum(), 1)))
    starts = lost.argmax(1) / (STEPS - lost.sum(1))
    assert starts.mean() == pytest.approx(0.5, abs=0.06)
    assert starts.min() < 0.05
    assert starts.max() > 0.95


@pytest.mark.parametrize("severity, share", CASES((0.03, 0.06, 0.1, 0.15, 0.2)))
def test_warping_a_clock_shows_how_late_it_is(severity, share):
    """A channel that holds the time shows the delay itself: half a sine, largest in the middle, never running backwards."""
    clock = np.broadcast_to(np.linspace(0, 1, STEPS + 1)[:, None], (50, STEPS + 1, 1)).copy()
    found = put("warp", clock, severity, data=pl.Dataset(clock))[..., 0] - clock[..., 0]
    wave = share * np.sin(np.pi * clock[0, :, 0])
    np.testing.assert_allclose(np.abs(found), np.tile(wave, (50, 1)), atol=1e-9)
    assert {1, -1} == set(np.sign(found[:, 50]))
    assert (np.diff(found + clock[..., 0], axis=1) > 0).all()


@pytest.mark.parametrize("severity, spread", CASES((0.25, 0.5, 1.0, 1.5, 2.0)))
def test_drift_is_a_straight_line(severity, spread):
    added = put("drift", X, severity) - X
    np.testing.assert_allclose(added[:, 0], 0)
    np.testing.assert_allclose(np.diff(added, n=2, axis=1), 0, atol=1e-12)
    np.testing.assert_allclose(added[:, -1].std(0), spread * X.std((0, 1)), rtol=0.1)
    assert abs(np.corrcoef(added[:, -1].T)[0, 1]) < 0.15


@pytest.mark.parametrize("severity, share", CASES((0.2, 0.4, 0.6, 0.8, 1.0)))
def test_one_channel_dies(severity, share):
    changed = put("dead", X, severity) != X
    assert (changed.any(1).sum(1) == 1).all()
    np.testing.assert_array_equal(changed.any(2), np.tile(np.arange(STEPS) >= round(STEPS * (1 - share)), (600, 1)))
    np.testing.assert_allclose(
        put("dead", X, severity)[changed].reshape(-1), np.where(changed, X.mean((0, 1)), 0)[changed]
    )


@pytest.mark.parametrize("name", list(SEQUENCE))
def test_one_step_alone_and_other_shapes(name):
    assert np.isfinite(put(name, X[:, :1], 3)).all()
    with pytest.raises(InvalidInput, match="B, T, F"):
        put(name, X[..., 0], 3)
