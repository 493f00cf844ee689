"""Series of measurements that are a little other: noisier, larger, slower here and faster there, a part of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from pellucid.core import options
from pellucid.core.dataset import Dataset
from pellucid.errors import InvalidOption
from pellucid.improve.augmentation.base import MARKS, Augmentation
from pellucid.improve.augmentation.places import between
from pellucid.shapes import Array, Tensor


@dataclass(frozen=True, eq=False)
class SeriesAugmentation(Augmentation):
    """A change of series (B, T) or (B, T, F)."""

    kinds = ("sequence", "audio")
    axes = (2, 3)

    def channels(self, x: Tensor) -> tuple[int, ...]:
        """The axis of channels, where there is one."""
        return tuple(x.shape[2:])


@dataclass(frozen=True, eq=False)
class Jitter(SeriesAugmentation):
    """Adds noise to every value of a series, in units of each channel's spread.

    Would the answer be the same if the sensor were a little worse?

        x'_tf = x_tf + spread * s_f * z_tf,   z standard normal,   s_f the standard deviation of channel f in training

    Args:
        spread: The noise in standard deviations, above 0; 0.01 to 0.1 is usual.

    Raises:
        InvalidOption: A spread that is not above 0.
        NotApplicable: While training, other data than series (B, T) or (B, T, F).

    Example:
        >>> import pellucid as pl
        >>> pl.Jitter(0.03)
        Jitter(spread=0.03)

    References:
        Um, Pfister, Pichler, Endo, Lang, Hirche, Fietzek and Kulic 2017, "Data augmentation of wearable sensor data for
        Parkinson's disease monitoring using convolutional neural networks", arXiv:1706.00527.

    Limits:
        Padding that stands behind short series gets noise as well.
    """

    slot = "jitter"
    spread: float = 0.05

    def __post_init__(self) -> None:
        options.positive(self, "spread")

    def known(self, train: Dataset) -> dict[str, Array]:
        """The spread of each channel."""
        return {"spread": train.x.std(axis=(0, 1), dtype=np.float64).astype(np.float32)}

    def changed(self, x: Tensor, draws: Any) -> Tensor:
        """See `Augmentation.changed`."""
        from keras import ops

        return x + self.spread * draws["spread"] * draws.normal(*ops.shape(x))


@dataclass(frozen=True, eq=False)
class Scaling(SeriesAugmentation):
    """Multiplies each channel of a series by a number near 1.

    Would the answer be the same if the sensor were calibrated a little otherwise?

        x'_tf = c_f x_tf,   c_f ~ Normal(1, spread), one draw a series and channel

    Args:
        spread: The standard deviation of the factor, above 0; 0.05 to 0.2 is usual.

    Raises:
        InvalidOption: A spread that is not above 0.
        NotApplicable: While training, other data than series (B, T) or (B, T, F).

    Example:
        >>> import pellucid as pl
        >>> pl.Scaling(0.1)
        Scaling(spread=0.1)

    References:
        Um et al. 2017, arXiv:1706.00527.

    Limits:
        Where the size itself decides (a fever, a voltage), the label does not survive a large spread. What counts as size 0 is
        that of the numbers as they are: standardized ones are stretched about the mean.
    """

    slot = "scaling"
    spread: float = 0.1

    def __post_init__(self) -> None:
        options.positive(self, "spread")

    def changed(self, x: Tensor, draws: Any) -> Tensor:
        """See `Augmentation.changed`."""
        from keras import ops

        return x * (1 + self.spread * draws.normal(ops.shape(x)[0], 1, *self.channels(x)))


@dataclass(frozen=True, eq=False)
class TimeWarp(SeriesAugmentation):
    """Makes a series slower here and faster there.

    Would the answer be the same if things had happened at another pace?

        x'_t = x_tau(t),   tau' = a cubic spline through 1 + spread * z at `knots` + 2 times, at least 0.1,   tau from 0 to T - 1

    Args:
        spread: The standard deviation of the pace, above 0; 0.1 to 0.3 is usual.
        knots: How often the pace changes, at least 1.

    Raises:
        InvalidOption: A spread that is not above 0, or no knot.
        NotApplicable: While training, other data than series (B, T) or (B, T, F).

    Example:
        >>> import pellucid as pl
        >>> pl.TimeWarp(0.2)
        TimeWarp(spread=0.2, knots=4)

    References:
        Um et al. 2017, arXiv:1706.00527.

    Limits:
        Values between two times are linear between them, so what is faster than the sampling is smoothed. Both ends stay.
    """

    slot = "time_warp"
    against = MARKS
    spread: float = 0.2
    knots: int = 4

    def __post_init__(self) -> None:
        options.positive(self, "spread")
        options.whole(self, "knots")

    def known(self, train: Dataset) -> dict[str, Array]:
        """The spline (K, T): the pace at every time is linear in that at the knots."""
        from scipy.interpolate import CubicSpline

        count, length = self.knots + 2, train.x.shape[1]
        spline = CubicSpline(np.linspace(0, max(length - 2, 1), count), np.eye(count))
        return {"spline": spline(np.arange(max(length - 1, 1))).T.astype(np.float32)}

    def changed(self, x: Tensor, draws: Any) -> Tensor:
        """See `Augmentation.changed`."""
        from keras import ops

        return between(
            x, self.times(1 + self.spread * draws.normal(ops.shape(x)[0], self.knots + 2), x.shape[1], draws)
        )

    def times(self, paces: Tensor, length: int, draws: Any) -> Tensor:
        """Where (B, T) each value is taken from, by the paces (B, K) at the knots."""
        from keras import ops

        passed = ops.cumsum(ops.maximum(ops.matmul(paces, draws["spline"]), 0.1), axis=1)[:, : length - 1]
        whole = (length - 1) * passed / passed[:, -1:] if length > 1 else passed
        return ops.concatenate([ops.zeros((ops.shape(paces)[0], 1)), whole], axis=1)


@dataclass(frozen=True, eq=False)
class WindowSlice(SeriesAugmentation):
    """Takes a part of a series and stretches it to the length of the whole.

    Would the answer be the same if the recording had begun later or ended earlier?

        x'_t = x_(start + t * (n - 1) / (T - 1)),   n = round(share * T),   start even over 0 to T - n

    Args:
        share: The part that is kept, between 0 and 1; 0.8 to 0.95 is usual.

    Raises:
        InvalidOption: A share that is not between 0 and 1, or leaves fewer than two times.
        NotApplicable: While training, other data than series (B, T) or (B, T, F).

    Example:
        >>> import pellucid as pl
        >>> pl.WindowSlice(0.9)
        WindowSlice(share=0.9)

    References:
        Le Guennec, Malinowski and Tavenard 2016, "Data augmentation for time series classification using convolutional neural
        networks", https://shs.hal.science/halshs-01357973.

    Limits:
        What decides may lie outside the part. Stretching changes frequencies by the inverse of the share.
    """

    slot = "window_slice"
    against = MARKS
    share: float = 0.9

    def __post_init__(self) -> None:
        options.fraction(self, "share")

    def check(self, train: Dataset) -> None:
        """Also: at least two times are left."""
        super().check(train)
        if round(self.share * train.x.shape[1]) < 2:
            raise InvalidOption(
                f"WindowSlice.share: {self.share} of {train.x.shape[1]} times are fewer than two; keep more"
            )

    def changed(self, x: Tensor, draws: Any) -> Tensor:
        """See `Augmentation.changed`."""
        from keras import ops

        length, kept = x.shape[1], round(self.share * x.shape[1])
        start = ops.cast(draws.whole(length - kept + 1, ops.shape(x)[0], 1), "float32")
        return between(x, start + ops.linspace(0.0, kept - 1.0, length)[None])
