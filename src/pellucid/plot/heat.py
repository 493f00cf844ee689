"""Attributions on the grid of an image: hue is the sign, opacity the size, so zero is the paper in light and in dark."""

from __future__ import annotations

import numpy as np

from pellucid.core.numbers import figure
from pellucid.plot.scene import Picture, Raster, Table, Text
from pellucid.plot.theme import HEAT_AGAINST, HEAT_FOR, HEAT_MAGNITUDE, SMALL
from pellucid.shapes import Array, Floats

COLOUR_CHANNELS = (1, 3, 4)
"""Channels that pictures have."""

GROUND = 64
"""Opacity of a picture under a map, of 255."""


def paint(values: Floats, bound: float, *, signed: bool = True) -> Array:
    """Pixels (H, W, 4) of values (H, W): blue for, orange against, or teal for magnitudes; opaque at `bound`."""
    strength = np.clip(np.abs(values) / (bound or 1.0), 0.0, 1.0)
    pixels = np.empty((*values.shape, 4), np.uint8)
    pixels[..., :3] = np.where((values >= 0)[..., None], HEAT_FOR if signed else HEAT_MAGNITUDE, HEAT_AGAINST)
    pixels[..., 3] = np.round(255 * strength)
    return pixels


def grey(image: Array) -> Array:
    """Pixels (H, W, 4) of an image (H, W, C) as it looks: colours if it has three channels, else their mean in grey."""
    image = np.asarray(image, dtype=float)
    low, high = float(image.min()), float(image.max())
    if low >= 0 and high <= 1.0:
        low, high = 0.0, 1.0
    elif low >= 0 and high <= 255:
        low, high = 0.0, 255.0 if high > 16 else high
    shown = np.clip((image - low) / ((high - low) or 1.0), 0, 1)
    colours = shown if shown.shape[-1] == 3 else np.repeat(shown.mean(-1, keepdims=True), 3, axis=-1)
    return np.concatenate([np.round(colours * 255), np.full((*image.shape[:2], 1), 255)], axis=-1).astype(np.uint8)


def faded(image: Array) -> Array:
    """Pixels (H, W, 4) of an image (H, W, C) in pale grey, as a ground for a map."""
    pixels = grey(np.asarray(image, dtype=float).mean(-1, keepdims=True))
    pixels[..., 3] = GROUND
    return pixels


def channels_first(shape: tuple[int, ...]) -> bool:
    """Whether an image of this shape is (C, H, W), as torch has it, and not (H, W, C)."""
    return len(shape) == 3 and shape[0] in COLOUR_CHANNELS and shape[-1] not in COLOUR_CHANNELS


def channels_last(array: Array, shape: tuple[int, ...]) -> Array:
    """An array on the grid of an image of a shape, (H, W, C) or (C, H, W), as (H, W, ...)."""
    return np.moveaxis(array, 0, -1) if channels_first(shape) else array


def bound_of(values: Floats) -> float:
    """The size painted opaque: the 99.5th percentile of |values|, so that one hot pixel does not bleach the rest."""
    return float(np.quantile(np.abs(values), 0.995)) or float(np.abs(values).max()) or 1.0


def heatmap(values: Floats, *, title: str, description: str, side: float = 300, table: Table | None = None) -> Picture:
    """One map (H, W) of magnitudes with its scale below."""
    height = side * values.shape[0] / values.shape[1]
    bound = bound_of(values)
    ramp = np.linspace(0, bound, 61)[None, :]
    marks = [
        Raster(1, 1, side, height, paint(values, bound, signed=False)),
        Raster(1, height + 14, side, 8, paint(ramp, bound, signed=False)),
        Text(1, height + 38, "0", "muted", SMALL),
        Text(side + 1, height + 38, figure(bound), "muted", SMALL, "end"),
    ]
    return Picture(side + 2, height + 46, tuple(marks), title, description, table or largest(values))


def largest(values: Floats, count: int = 10) -> Table:
    """The pixels that count most, as numbers."""
    order = np.argsort(-np.abs(values).ravel(), kind="stable")[:count]
    places = [np.unravel_index(i, values.shape) for i in order]
    return Table(
        ("row", "column", "attribution"),
        tuple((int(r), int(c), figure(float(values[r, c]))) for r, c in places),
    )
