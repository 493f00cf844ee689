"""Attributions on the grid of an image: beside the picture, over it, or channel by channel."""

from __future__ import annotations

from typing import Any

import numpy as np

from pellucid.core.numbers import figure
from pellucid.plot.heat import channels_last, faded, grey, largest
from pellucid.plot.reading import Reading
from pellucid.plot.scene import Mark, Picture, Raster, Table, Text
from pellucid.plot.theme import SMALL
from pellucid.shapes import Array, Floats

CHANNELS, LEAST = 8, 90
"""Channels of a layer that are drawn, and the least width of one in pixels."""


def laid(explanation: Any) -> bool:
    """Whether a map says where on the input a layer looked, so that it is drawn over the input."""
    return getattr(explanation.method, "resize", None) is not None


def flat_map(values: Floats, image: Array) -> Floats:
    """Values on the grid of an image (H, W): a map as it is, channels added up."""
    return values if values.ndim == 2 else channels_last(values, image.shape).sum(-1)


def image_map(image: Array, values: Floats, reading: Reading, over: bool, room: tuple[float, bool]) -> Picture:
    """A map (h, w) of an image.

    Args:
        image: The image (H, W, C) or (C, H, W).
        values: The map, of the image's own grid or a coarser one, whose cells are then drawn as blocks.
        reading: Words and colours.
        over: Whether the map is drawn over the image, faded, because it says no more than a place.
        room: Width of the picture in pixels, and whether the image stands beside its map.
    """
    width, beside = room
    shown = channels_last(image, image.shape)
    side = (width - 24) / 2 if beside else width
    height = (side - 2) * shown.shape[0] / shown.shape[1]
    left = side + 24 if beside else 1.0
    marks: list[Mark] = []
    if beside:
        marks += [Text(0, 12, "what the model saw", "muted", SMALL), Raster(1, 22, side - 2, height, grey(shown))]
    marks.append(Text(left, 12, reading.heading(side), "muted", SMALL))
    marks += [Raster(left, 22, side - 2, height, faded(shown), framed=False)] if over else []
    marks += [Raster(left, 22, side - 2, height, reading.paint(values)), *reading.key(left, height + 34, side - 2)]
    told = f"A map {'over' if over else 'of'} the image; {reading.legend}."
    return Picture(width, height + 64, tuple(marks), reading.title, told, largest(values))


def channel_maps(values: Floats, reading: Reading, layer: str, width: float) -> Picture:
    """What a layer's strongest channels hold, as small maps (h, w) of values (h, w, C) on one scale."""
    strength = np.abs(values).sum(axis=(0, 1))
    chosen = np.argsort(-strength, kind="stable")[:CHANNELS]
    across = CHANNELS if width >= CHANNELS * LEAST else CHANNELS // 2
    side = (width - 12 * (across - 1)) / across
    height = (side - 2) * values.shape[0] / values.shape[1]
    step, rows = height + 26, -(-len(chosen) // across)
    marks: list[Mark] = [Text(0, 12, reading.heading(width), "muted", SMALL)]
    for place, channel in enumerate(chosen):
        x, y = (side + 12) * (place % across), 22 + step * (place // across)
        marks.append(Raster(x + 1, y, side - 2, height, reading.paint(values[..., channel])))
        marks.append(Text(x, y + height + 15, f"{channel}", "muted", SMALL))
    base = 22 + step * rows
    marks += reading.key(1, base + 8, min(width - 2, 260))
    told = f"The {len(chosen)} strongest of {values.shape[-1]} channels of {layer}, by number; {reading.legend}."
    sums = values.sum(axis=(0, 1))
    table = Table(("channel", "sum of its values"), tuple((int(c), figure(float(sums[c]))) for c in chosen))
    return Picture(width, base + 40, tuple(marks), reading.title, told, table)


def unit_grid(values: Floats, reading: Reading, layer: str, width: float) -> Picture:
    """What every unit of a layer holds at every place, as one map (D, T) of values (T, D)."""
    grid = values.T
    height = float(np.clip(8 * grid.shape[0], 48, 0.6 * width))
    marks: list[Mark] = [
        Text(0, 12, reading.heading(width), "muted", SMALL),
        Raster(1, 22, width - 2, height, reading.paint(grid)),
        Text(0, height + 37, f"{grid.shape[0]} units down", "muted", SMALL),
        Text(width, height + 37, f"{grid.shape[1]} places along →", "muted", SMALL, "end"),
        *reading.key(1, height + 50, min(width - 2, 260)),
    ]
    told = f"Units of {layer} from top to bottom, places from left to right; {reading.legend}."
    table = Table(("unit", "place", "value"), largest(grid).rows)
    return Picture(width, height + 82, tuple(marks), reading.title, told, table)
