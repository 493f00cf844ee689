"""What is done to images (B, H, W, C) with values from 0 to 1, each by an amount of its own from -1 to 1."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from pellucid.improve.augmentation.places import taken
from pellucid.shapes import Tensor

TURN, SHEAR, SHIFT = np.pi / 6, 0.3, 1 / 3
"""At an amount of 1: 30 degrees, 0.3 pixels for every pixel from the middle, a third of a side."""

GEOMETRY = ("rotate", "shear_x", "shear_y", "shift_x", "shift_y")


def done(x: Tensor, which: Tensor, amount: Tensor, names: Sequence[str]) -> Tensor:
    """Each image changed by one of the named operations: its number (B,) and its amount (B,)."""
    from keras import ops

    which, amount = (ops.reshape(t, (-1, 1, 1, 1)) for t in (which, amount))
    x = moved(x, {name: ops.where(which == names.index(name), amount, 0.0)[..., 0] for name in GEOMETRY})
    for number, name in enumerate(names):
        if name in COLOURS:
            x = ops.where(which == number, ops.clip(COLOURS[name](x, amount), 0.0, 1.0), x)
    return x


# -- where pixels are ------------------------------------------------------------------------------------------------


def moved(x: Tensor, by: dict[str, Tensor]) -> Tensor:
    """Images turned, sheared and shifted by amounts (B, 1, 1), in one look-up; borders are continued outwards.

    Pixel p of the result is pixel M (p - c) + c + shift of the image, c its middle.
    """
    from keras import ops

    height, width = x.shape[1:3]
    i = np.arange(height, dtype=np.float32)[None, :, None] - (height - 1) / 2
    j = np.arange(width, dtype=np.float32)[None, None, :] - (width - 1) / 2
    i, j = ops.convert_to_tensor(i), ops.convert_to_tensor(j)
    cos, sin = ops.cos(TURN * by["rotate"]), ops.sin(TURN * by["rotate"])
    down = cos * i + (sin + SHEAR * by["shear_y"]) * j + SHIFT * height * by["shift_y"]
    right = cos * j + (SHEAR * by["shear_x"] - sin) * i + SHIFT * width * by["shift_x"]
    return bilinear(x, down + (height - 1) / 2, right + (width - 1) / 2)


def bilinear(x: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """The value of images (B, H, W, C) at real places (B, H, W), linear between pixels; the border goes on outside."""
    from keras import ops

    height, width, channels = x.shape[1:]
    flat = ops.reshape(x, (-1, height * width, channels))
    rows, columns = (ops.reshape(t, (-1, height * width)) for t in (rows, columns))
    (up, down, i), (left, right, j) = _around(rows, height), _around(columns, width)
    upper = taken(flat, up * width + left) * (1 - j) + taken(flat, up * width + right) * j
    lower = taken(flat, down * width + left) * (1 - j) + taken(flat, down * width + right) * j
    return ops.reshape(upper * (1 - i) + lower * i, (-1, height, width, channels))


def _around(where: Tensor, side: int) -> tuple[Tensor, Tensor, Tensor]:
    """The whole places before and after real ones (B, N), and how far on the way from one to the other (B, N, 1)."""
    from keras import ops

    where = ops.clip(where, 0.0, float(side - 1))
    low = ops.floor(where)
    first = ops.cast(low, "int32")
    return first, ops.minimum(first + 1, side - 1), (where - low)[..., None]


# -- light and colour ------------------------------------------------------------------------------------------------


def brightness(x: Tensor, amount: Tensor) -> Tensor:
    """All light multiplied by 1 + 0.9 times the amount."""
    return x * (1 + 0.9 * amount)


def contrast(x: Tensor, amount: Tensor) -> Tensor:
    """Further from the mean grey of an image, or nearer to it: 1 + 0.9 times the amount as far."""
    from keras import ops

    return _from(ops.mean(grey(x), axis=(1, 2), keepdims=True), x, amount)


def colour(x: Tensor, amount: Tensor) -> Tensor:
    """Further from grey, or nearer to it; nothing where there are no three channels."""
    return _from(grey(x), x, amount) if x.shape[-1] == 3 else x


def sharpness(x: Tensor, amount: Tensor) -> Tensor:
    """Further from a smoothed image, or nearer to it: the mean of 3 x 3 pixels, of which the middle one counts five times."""
    around = taken_around(x)
    return _from((sum(around[1:], around[0]) + 4 * x) / 13, x, amount)


def taken_around(x: Tensor) -> list[Tensor]:
    """The nine images moved by at most a pixel, borders continued."""
    from keras import ops

    height, width = x.shape[1:3]
    padded = ops.concatenate([x[:, :1], x, x[:, -1:]], axis=1)
    padded = ops.concatenate([padded[:, :, :1], padded, padded[:, :, -1:]], axis=2)
    return [padded[:, i : i + height, j : j + width] for i in range(3) for j in range(3)]


def autocontrast(x: Tensor, amount: Tensor) -> Tensor:
    """Every channel of an image stretched from 0 to 1; the amount says nothing."""
    from keras import ops

    low, high = (end(x, axis=(1, 2), keepdims=True) for end in (ops.min, ops.max))
    return ops.where(high > low, (x - low) / ops.maximum(high - low, 1e-6), x)


def solarize(x: Tensor, amount: Tensor) -> Tensor:
    """Light above 1 minus the size of the amount becomes its negative."""
    from keras import ops

    return ops.where(x > 1 - ops.abs(amount), 1 - x, x)


def posterize(x: Tensor, amount: Tensor) -> Tensor:
    """Of eight bits of each value only 8 minus four times the size of the amount are kept, rounded."""
    from keras import ops

    step = 2 ** ops.round(4 * ops.abs(amount))
    return ops.floor(ops.round(255 * x) / step) * step / 255


def grey(x: Tensor) -> Tensor:
    """The light (B, H, W, 1) of an image: 0.299 red + 0.587 green + 0.114 blue, or the mean of other channels."""
    from keras import ops

    if x.shape[-1] != 3:
        return ops.mean(x, axis=-1, keepdims=True)
    return 0.299 * x[..., :1] + 0.587 * x[..., 1:2] + 0.114 * x[..., 2:]


def _from(origin: Tensor, x: Tensor, amount: Tensor) -> Tensor:
    return origin + (1 + 0.9 * amount) * (x - origin)


COLOURS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "autocontrast": autocontrast, "solarize": solarize, "posterize": posterize,
    "brightness": brightness, "contrast": contrast, "colour": colour, "sharpness": sharpness,
}  # fmt: skip
