"""Sounds heard otherwise: with a part missing, in noise, a moment earlier or later."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from pellucid.core import options
from pellucid.core.dataset import Dataset
from pellucid.errors import InvalidOption, NotApplicable
from pellucid.improve.augmentation.base import MARKS, Augmentation
from pellucid.improve.augmentation.places import taken
from pellucid.shapes import Array, Tensor


@dataclass(frozen=True, eq=False)
class SpecAugment(Augmentation):
    """Takes stretches of time and bands of frequencies out of spectrograms.

    Would the answer be the same if a moment, or some pitches, had not been heard?

        x'_tf = mean of the training data  for  t0 <= t < t0 + w,   w even over 0 to `time_width`,   t0 over 0 to T - w;
        likewise for bands of f;   `times` and `bands` of them, drawn for each example

    Args:
        times: Stretches of time, at least 0.
        time_width: The longest of them in steps, at least 1.
        bands: Bands of frequencies, at least 0.
        band_width: The widest of them in rows, at least 1.

    Raises:
        InvalidOption: A negative number, no width, or a width beyond the spectrogram.
        NotApplicable: While training, other data than spectrograms (B, T, F).

    Example:
        >>> import pellucid as pl
        >>> pl.SpecAugment(times=1, time_width=10)
        SpecAugment(times=1, time_width=10, bands=2, band_width=8)

    References:
        Park, Chan, Zhang, Chiu, Zoph, Cubuk and Le 2019, "SpecAugment: a simple data augmentation method for automatic speech
        recognition", arXiv:1904.08779.

    Limits:
        The paper's warping of time is not part of it: see `TimeWarp`. A short word may fall into a long stretch.
    """

    slot = "spec_augment"
    rank = 2
    kinds = ("audio",)
    axes = (3, 3)
    against = MARKS
    times: int = 2
    time_width: int = 8
    bands: int = 2
    band_width: int = 8

    def __post_init__(self) -> None:
        for name in ("times", "bands"):
            options.whole(self, name, 0)
        for name in ("time_width", "band_width"):
            options.whole(self, name)

    def check(self, train: Dataset) -> None:
        """Also: the widest mask is not all there is, and there are frequencies."""
        super().check(train)
        if train.x.shape[2] < 2:
            raise NotApplicable(
                "SpecAugment is for spectrograms (B, T, F), and this is a waveform; see WaveformNoise, TimeShift"
            )
        for name, side in zip(("time_width", "band_width"), train.x.shape[1:], strict=True):
            if getattr(self, name) >= side:
                raise InvalidOption(
                    f"SpecAugment.{name}: expected less than the {side} there are, got {getattr(self, name)}"
                )

    def known(self, train: Dataset) -> dict[str, Array]:
        """The mean of all values."""
        return {"mean": np.float32(train.x.mean(dtype=np.float64))}  # type: ignore[dict-item]

    def changed(self, x: Tensor, draws: Any) -> Tensor:
        """See `Augmentation.changed`."""
        from keras import ops

        rows, (length, pitches) = ops.shape(x)[0], x.shape[1:]
        for _ in range(self.times):
            x = ops.where(stretch(rows, length, self.time_width, draws)[:, :, None], draws["mean"], x)
        for _ in range(self.bands):
            x = ops.where(stretch(rows, pitches, self.band_width, draws)[:, None, :], draws["mean"], x)
        return x


def stretch(count: Tensor, length: int, widest: int, draws: Any) -> Tensor:
    """Which places (B, N) are in a stretch of 0 to `widest` places that begins anywhere."""
    from keras import ops

    width = draws.whole(widest + 1, count, 1)
    start = draws.whole(length - width + 1, count, 1)
    at = ops.arange(length, dtype="int32")[None]
    return (at >= start) & (at < start + width)


@dataclass(frozen=True, eq=False)
class WaveformNoise(Augmentation):
    """Adds white noise to waveforms, so many decibels below the sound itself.

    Would the answer be the same in a noisier room?

        x' = x + rms(x) * 10^(-d / 20) * z,   z standard normal,   d even over `decibels`, one draw a sound

    Args:
        decibels: The least and the greatest ratio of signal to noise.

    Raises:
        InvalidOption: Something else than two finite numbers, the smaller first.
        NotApplicable: While training, other data than waveforms (B, T) or (B, T, channels).

    Example:
        >>> import pellucid as pl
        >>> pl.WaveformNoise((10, 30))
        WaveformNoise(decibels=(10, 30))

    References:
        Ko, Peddinti, Povey, Seltzer and Khudanpur 2017, "A study on data augmentation of reverberant speech for robust speech
        recognition", doi:10.1109/ICASSP.2017.7953152.

    Limits:
        Noise of real rooms is not white. Silence stays silent. On spectrograms in decibels the numbers are no powers: use
        `Jitter`.
    """

    slot = "waveform_noise"
    kinds = ("audio",)
    axes = (2, 3)
    decibels: tuple[float, float] = (10.0, 40.0)

    def __post_init__(self) -> None:
        options.ends(self, "decibels", "two finite numbers")

    def changed(self, x: Tensor, draws: Any) -> Tensor:
        """See `Augmentation.changed`."""
        from keras import ops

        one = (ops.shape(x)[0], *(1,) * (len(x.shape) - 1))
        below = draws.uniform(*one, low=self.decibels[0], high=self.decibels[1])
        loudness = ops.sqrt(ops.mean(ops.square(x), axis=tuple(range(1, len(x.shape))), keepdims=True))
        return x + loudness * 10 ** (-below / 20) * draws.normal(*ops.shape(x))


@dataclass(frozen=True, eq=False)
class TimeShift(Augmentation):
    """Moves a sound, or another series, a moment earlier or later.

    Would the answer be the same if the recording had been started at another moment?

        x'_t = x_(t - n),   n even over the whole numbers from -share * T to share * T, one draw an example

    Args:
        share: The furthest move as a share of the length, between 0 and 1.
        around: Whether what is moved out at one end comes in at the other; else there is silence (0).

    Raises:
        InvalidOption: A share that is not between 0 and 1, or no yes or no.
        NotApplicable: While training, other data than sounds or series (B, T) or (B, T, F).

    Example:
        >>> import pellucid as pl
        >>> pl.TimeShift(0.1)
        TimeShift(share=0.1, around=False)

    References:
        Salamon and Bello 2017, "Deep convolutional neural networks and data augmentation for environmental sound classification",
        arXiv:1608.04363.

    Limits:
        In spectrograms in decibels 0 is no silence: take `around=True`. What is moved out is gone.
    """

    slot = "time_shift"
    kinds = ("audio", "sequence")
    axes = (2, 3)
    against = MARKS
    share: float = 0.1
    around: bool = False

    def __post_init__(self) -> None:
        options.fraction(self, "share")
        options.instance(self, "around", bool, "True or False")

    def changed(self, x: Tensor, draws: Any) -> Tensor:
        """See `Augmentation.changed`."""
        from keras import ops

        length, most = x.shape[1], int(self.share * x.shape[1] + 1e-9)
        at = ops.arange(length, dtype="int32")[None] - (draws.whole(2 * most + 1, ops.shape(x)[0], 1) - most)
        found = taken(x, at % length)
        inside = ops.reshape((at >= 0) & (at < length), (-1, length, *(1,) * (len(x.shape) - 2)))
        return found if self.around else ops.where(inside, found, 0.0)
