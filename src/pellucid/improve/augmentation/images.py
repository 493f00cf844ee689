"""Images seen otherwise: mirrored, moved, with a part taken away."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from pellucid.core import options
from pellucid.core.dataset import Dataset
from pellucid.errors import InvalidOption
from pellucid.improve.augmentation.base import MARKS, Augmentation
from pellucid.improve.augmentation.places import box, taken
from pellucid.shapes import Array, Tensor

DIRECTIONS, FILLS, ERASED = ("horizontal", "vertical", "both"), ("edge", "reflect", "low"), ("noise", "mean", "low")


def value_range(x: Array) -> tuple[float, float]:
    """What the values of images can be: 0 to 1 or 0 to 255 where they fit, else from the least to the greatest there is."""
    low, high = float(x.min()), float(x.max())
    for most in (1.0, 255.0):
        if low >= 0 and most / 2 < high <= most:
            return 0.0, most
    return low, max(high, low + 1e-6)


@dataclass(frozen=True, eq=False)
class ImageAugmentation(Augmentation):
    """A change of images (B, H, W, C)."""

    kinds = ("image",)
    axes = (4, 4)
    against = MARKS


@dataclass(frozen=True, eq=False)
class RangedAugmentation(ImageAugmentation):
    """A change of images that has to know what their values can be."""

    def known(self, train: Dataset) -> dict[str, Array]:
        """The least and the greatest value, and the mean of each channel."""
        mean = train.x.mean(axis=(0, 1, 2), dtype=np.float64)
        return {"range": np.array(value_range(train.x), np.float32), "mean": mean.astype(np.float32)}

    def assumed(self, train: Dataset) -> str:
        """What the values were taken to lie between."""
        low, high = value_range(train.x)
        return f"{type(self).__name__} took the values of images to lie between {low:g} and {high:g}"


@dataclass(frozen=True, eq=False)
class Flip(ImageAugmentation):
    """Mirrors images by chance.

    Would the answer be the same if left and right were exchanged?

        x'(i, j) = x(i, W - 1 - j)  with probability `rate`, else x(i, j)

    Args:
        direction: "horizontal" (left and right are exchanged), "vertical", or "both", each drawn by itself.
        rate: The probability, between 0 and 1.

    Raises:
        InvalidOption: Another direction, or a rate that is not between 0 and 1.
        NotApplicable: While training, other data than images (B, H, W, C).

    Example:
        >>> import pellucid as pl
        >>> pl.Flip("horizontal")
        Flip(direction='horizontal', rate=0.5)

    References:
        Krizhevsky, Sutskever and Hinton 2012, "ImageNet classification with deep convolutional neural networks",
        doi:10.1145/3065386.

    Limits:
        Letters, digits, many traffic signs and organs are not what they were once mirrored: see `pl.label_survival`.
    """

    slot = "flip"
    direction: str = "horizontal"
    rate: float = 0.5

    def __post_init__(self) -> None:
        options.one_of(self, "direction", DIRECTIONS)
        options.fraction(self, "rate")

    def changed(self, x: Tensor, draws: Any) -> Tensor:
        """See `Augmentation.changed`."""
        from keras import ops

        for name, axis in (("horizontal", 2), ("vertical", 1)):
            if self.direction in (name, "both"):
                hit = draws.chance(self.rate, ops.shape(x)[0], 1, 1, 1)
                x = ops.where(hit, ops.flip(x, axis=axis), x)
        return x


@dataclass(frozen=True, eq=False)
class Crop(RangedAugmentation):
    """Moves images by a few whole pixels: they are enlarged on all sides, and as much as before is cut out at random.

    Would the answer be the same if the camera had pointed a little elsewhere?

        x'(i, j) = x(i + a, j + b),   a and b even over the whole numbers from -pixels to pixels, one draw an image

    Args:
        pixels: The furthest that an image is moved, at least 1 and less than its sides.
        fill: What is seen beyond the border: "edge", its last pixel; "reflect", the image mirrored there; "low", the least
            value there can be (black).

    Raises:
        InvalidOption: Less than one pixel, or as many as a side has; another `fill`.
        NotApplicable: While training, other data than images (B, H, W, C).

    Example:
        >>> import pellucid as pl
        >>> pl.Crop(2)
        Crop(pixels=2, fill='edge')

    References:
        He, Zhang, Ren and Sun 2016, "Deep residual learning for image recognition", arXiv:1512.03385 (four pixels of padding).

    Limits:
        What lies at the border may be moved out of the image, and with it the reason for a label.
    """

    slot = "crop"
    pixels: int = 4
    fill: str = "edge"

    def __post_init__(self) -> None:
        options.whole(self, "pixels")
        options.one_of(self, "fill", FILLS)

    def check(self, train: Dataset) -> None:
        """Also: a side has more pixels than it is moved by."""
        super().check(train)
        if self.pixels >= min(train.x.shape[1:3]):
            raise InvalidOption(f"Crop.pixels: expected less than the sides {train.x.shape[1:3]}, got {self.pixels}")

    def assumed(self, train: Dataset) -> str:
        """What black is, where that is seen."""
        return super().assumed(train) if self.fill == "low" else ""

    def changed(self, x: Tensor, draws: Any) -> Tensor:
        """See `Augmentation.changed`."""
        from keras import ops

        for axis in (1, 2):
            by = draws.whole(2 * self.pixels + 1, ops.shape(x)[0]) - self.pixels
            x = self.moved(x, by, axis, draws["range"][0])
        return x

    def moved(self, x: Tensor, by: Tensor, axis: int, low: Tensor) -> Tensor:
        """Images moved along an axis by whole numbers of pixels (B,)."""
        from keras import ops

        last = x.shape[axis] - 1
        at = ops.arange(last + 1, dtype="int32")[None] + by[:, None]
        inside = ops.clip(at, 0, last)
        if self.fill == "reflect":
            inside = ops.where(at < 0, -at, ops.where(at > last, 2 * last - at, at))
        turned = x if axis == 1 else ops.swapaxes(x, 1, 2)
        found = taken(turned, inside)
        if self.fill == "low":
            found = ops.where(((at >= 0) & (at <= last))[:, :, None, None], found, low)
        return found if axis == 1 else ops.swapaxes(found, 1, 2)


@dataclass(frozen=True, eq=False)
class Erasing(RangedAugmentation):
    """Takes a rectangle out of images by chance, so that no single part is counted on.

    Would the answer be the same if something stood in front of a part of it?

        x' = fill inside a rectangle of  area = a * H * W,  height / width = r;   a even in `area`, log r even in `ratio`

    Args:
        rate: The probability for an image, between 0 and 1.
        area: The least and the greatest share of the image; sides are rounded to whole pixels.
        ratio: The least and the greatest height of a rectangle over its width.
        fill: "noise", every value even over the range of values; "mean", the mean of each channel; "low", the least value.

    Raises:
        InvalidOption: A rate that is not between 0 and 1, ends out of order or range, another `fill`.
        NotApplicable: While training, other data than images (B, H, W, C).

    Example:
        >>> import pellucid as pl
        >>> pl.Erasing(0.25, area=(0.02, 0.2)).fill
        'noise'

    References:
        Zhong, Zheng, Kang, Li and Yang 2020, "Random erasing data augmentation", arXiv:1708.04896.

    Limits:
        Where one small part decides (a lesion, a digit on a sign), the reason for the label may be gone. A rectangle that would
        be longer than the image is cut to its side, and smaller then.
    """

    slot = "erasing"
    rank = 2
    rate: float = 0.5
    area: tuple[float, float] = (0.02, 0.33)
    ratio: tuple[float, float] = (0.3, 3.3)
    fill: str = "noise"

    def __post_init__(self) -> None:
        options.fraction(self, "rate")
        options.one_of(self, "fill", ERASED)
        options.ends(self, "area", "two shares of the image between 0 and 1", above=0, most=1)
        options.ends(self, "ratio", "two numbers above 0", above=0)

    def changed(self, x: Tensor, draws: Any) -> Tensor:
        """See `Augmentation.changed`."""
        from keras import ops

        inside = self.rectangles(ops.shape(x)[0], x.shape[1:3], draws)
        hit = draws.chance(self.rate, ops.shape(x)[0], 1, 1, 1)
        return ops.where(inside & hit, self._filling(x, draws), x)

    def rectangles(self, count: Tensor, sides: tuple[int, int], draws: Any) -> Tensor:
        """One rectangle an image (B, H, W, 1), drawn."""
        from keras import ops

        area, ratio, *corner = (draws.uniform(count) for _ in range(4))
        area = (self.area[0] + (self.area[1] - self.area[0]) * area) * sides[0] * sides[1]
        ratio = ops.exp(np.log(self.ratio[0]) + np.log(self.ratio[1] / self.ratio[0]) * ratio)
        ends = []
        for side, length, start in zip(sides, (ops.sqrt(area * ratio), ops.sqrt(area / ratio)), corner, strict=True):
            length = ops.clip(ops.round(length), 1, side)
            first = ops.floor(start * (side - length + 1))
            ends += [first, first + length]
        return box(ends, sides)

    def _filling(self, x: Tensor, draws: Any) -> Tensor:
        from keras import ops

        low, high = draws["range"][0], draws["range"][1]
        if self.fill == "noise":
            return low + (high - low) * draws.uniform(*ops.shape(x))
        return draws["mean"] if self.fill == "mean" else low
