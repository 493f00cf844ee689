import numpy as np
import pytest

import pellucid as pl
from pellucid.data.corruptions import AUDIO, reference
from pellucid.data.corruptions.audio import low_pass

G = np.random.default_rng(0)
X = np.sin(np.arange(4000) * G.uniform(0.1, 1, (40, 1)))[..., None] * np.linspace(0.1, 1, 40)[:, None, None]
CASES = lambda levels: list(zip((1, 2, 3, 4, 5), levels))  # noqa: E731


def put(name, x, severity, seed=0):
    return AUDIO[name](x, severity, np.random.default_rng(seed), reference(pl.Dataset(X, kind="audio")))


def decibels(a, b):
    return 10 * np.log10((a**2).mean((1, 2)) / (b**2).mean((1, 2)))


@pytest.mark.parametrize("severity, ratio", CASES((30, 20, 10, 5, 0)))
def test_noise_has_its_ratio_to_each_clip(severity, ratio):
    np.testing.assert_allclose(decibels(X, put("noise", X, severity) - X), ratio, atol=0.3)
    np.testing.assert_array_equal(put("noise", 0 * X, severity), 0)


@pytest.mark.parametrize("severity, change", CASES((3, 6, 12, 18, 24)))
def test_gain_goes_up_or_down(severity, change):
    found = decibels(put("gain", X, severity), X)
    np.testing.assert_allclose(np.abs(found), change)
    assert {1, -1} == set(np.sign(found))
    loud = put("gain", np.full((40, 5), 30000, np.int16), severity)
    assert loud.max() == np.iinfo(np.int16).max  # whole numbers end there, and do not wrap round


@pytest.mark.parametrize("severity, share", CASES((0.7, 0.5, 0.3, 0.2, 0.1)))
def test_clipping_cuts_at_its_share_of_the_peak(severity, share):
    found, peaks = put("clipping", X, severity), np.abs(X).max((1, 2))
    np.testing.assert_allclose(np.abs(found).max((1, 2)), share * peaks)
    kept = np.abs(X) <= share * peaks[:, None, None]
    np.testing.assert_array_equal(found[kept], X[kept])


@pytest.mark.parametrize("severity, edge", CASES((0.7, 0.5, 0.35, 0.25, 0.15)))
def test_what_is_above_the_edge_is_gone(severity, edge):
    t = np.arange(4000)
    tones = np.stack([np.sin(np.pi * share * edge * t) for share in (0.5, 0.8, 1.0, 1.25, 1.4)])[..., None]
    inside = slice(500, -500)
    left = decibels(put("band", tones, severity)[:, inside], tones[:, inside])
    np.testing.assert_allclose(left[0], 0, atol=0.05)
    assert left[1] > -1.5
    assert left[2] == pytest.approx(-6, abs=0.3)  # 3 dB each way
    assert left[3] < -20
    assert left[4] < -30


def test_the_filter_is_the_squared_response_of_butterworth_and_short_clips_are_heard():
    t, edge = np.arange(6000), 0.3
    for frequency in (0.2, 0.28, 0.36):
        tone = np.sin(np.pi * frequency * t)[None, :, None]
        warped = np.tan(np.pi * frequency / 2) / np.tan(np.pi * edge / 2)
        gain = np.abs(low_pass(tone, edge)[:, 1000:-1000]).max() / np.abs(tone[:, 1000:-1000]).max()
        assert gain == pytest.approx(1 / (1 + warped**12), rel=0.01)
    assert low_pass(np.ones((2, 3)), 0.5) == pytest.approx(np.ones((2, 3)), abs=0.1)
