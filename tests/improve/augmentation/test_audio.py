import numpy as np
import pytest

import pellucid as pl
from pellucid.errors import InvalidOption, NotApplicable

DRAW = np.random.default_rng(0)
SPECTRA = pl.Dataset(DRAW.normal(size=(600, 20, 16)).astype("float32"), np.arange(600) % 2, kind="audio")
WAVES = pl.Dataset((DRAW.normal(size=(500, 64)) * DRAW.uniform(0.1, 5, (500, 1))).astype("float32"), kind="audio")


def test_masks_are_as_wide_as_drawn_and_nothing_else_changes(apply):
    found, (width, start, band, low) = apply(pl.SpecAugment(1, 6, 1, 5), SPECTRA)
    expected = SPECTRA.x.copy()
    for row, w, t, b, f in zip(expected, *(a.ravel() for a in (width, start, band, low)), strict=True):
        row[t : t + w] = SPECTRA.x.mean()
        row[:, f : f + b] = SPECTRA.x.mean()
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert set(width.ravel()) == set(range(7))
    assert set(band.ravel()) == set(range(6))
    assert np.bincount(width.ravel()).min() > 600 / 7 - 4 * np.sqrt(600 / 7)
    assert (start + width).max() == 20
    assert start.min() == low.min() == 0
    assert (low + band).max() == 16


def test_several_masks_and_none(apply):
    found, _ = apply(pl.SpecAugment(3, 4, 0), SPECTRA)
    masked = np.all(np.isclose(found, SPECTRA.x.mean()), axis=2).sum(1)
    assert masked.max() > 4
    assert masked.max() <= 12
    np.testing.assert_array_equal(apply(pl.SpecAugment(0, 4, 0), SPECTRA)[0], SPECTRA.x)


def test_noise_is_so_many_decibels_below_the_sound(apply):
    found, (decibels, z) = apply(pl.WaveformNoise((5, 25)), WAVES)
    rms = np.sqrt((WAVES.x.astype(float) ** 2).mean(1, keepdims=True))
    np.testing.assert_allclose(found, WAVES.x + rms * 10 ** (-decibels / 20) * z, rtol=1e-3, atol=1e-4)
    power = np.mean((found - WAVES.x) ** 2, axis=1, keepdims=True)
    assert abs(np.mean(20 * np.log10(rms / np.sqrt(power)) - decibels)) < 0.3
    assert abs(decibels.mean() - 15) < 4 * 20 / np.sqrt(12 * 500)
    assert decibels.min() >= 5
    silence = pl.Dataset(np.zeros((3, 8), "float32"), kind="audio")
    assert not apply(pl.WaveformNoise(), silence)[0].any()


@pytest.mark.parametrize("around", [True, False])
def test_a_shift_moves_by_whole_steps(apply, around):
    found, (drawn,) = apply(pl.TimeShift(0.2, around), WAVES)
    for row, new, n in zip(WAVES.x, found, drawn.ravel() - 12, strict=True):
        expected = np.roll(row, n)
        if not around and n:
            expected[slice(0, n) if n > 0 else slice(n, None)] = 0
        np.testing.assert_array_equal(new, expected)
    assert set(drawn.ravel()) == set(range(25))


def test_errors():
    for wrong in (
        lambda: pl.SpecAugment(times=-1), lambda: pl.SpecAugment(time_width=0), lambda: pl.WaveformNoise((20, 5)),
        lambda: pl.WaveformNoise(5), lambda: pl.TimeShift(1.0), lambda: pl.TimeShift(around=1),
        lambda: pl.SpecAugment(time_width=20).attach(None, SPECTRA, 0),
        lambda: pl.SpecAugment(band_width=16).attach(None, SPECTRA, 0),
    ):  # fmt: skip
        with pytest.raises(InvalidOption):
            wrong()
    with pytest.raises(NotApplicable, match="waveform"):
        pl.SpecAugment().attach(None, pl.Dataset(WAVES.x[..., None], kind="audio"), 0)
    with pytest.raises(NotApplicable, match="3 axes"):
        pl.SpecAugment().attach(None, WAVES, 0)
    with pytest.raises(NotApplicable, match="SpecAugment is for audio data"):
        pl.SpecAugment().attach(None, pl.Dataset(SPECTRA.x), 0)
