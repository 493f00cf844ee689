"""Attributions of a video: its frames side by side, each with its map over it."""

from __future__ import annotations

import numpy as np

from pellucid.core.numbers import figure
from pellucid.plot.heat import grey
from pellucid.plot.reading import Reading
from pellucid.plot.scene import Mark, Picture, Raster, Table, Text
from pellucid.plot.theme import SMALL
from pellucid.shapes import Array, Floats

FRAMES, LEAST, GAP = 24, 66.0, 6.0
"""Most frames that are drawn; least width of one and space between two, in pixels."""

GROUND = 64
"""Opacity of a frame under its map, of 255."""


def video_strip(video: Array, values: Floats, reading: Reading, room: tuple[float, bool]) -> Picture:
    """Frames of a video (T, H, W, C) with their maps (T, H, W), or of a coarser grid (t, h, w), drawn as blocks.

    Each map lies over its frame, faded, or below it. Of more than 24 frames those are drawn that are evenly spaced.

    Args:
        video: The frames.
        values: The maps, channels added up.
        reading: Words and colours.
        room: Width of the picture in pixels, and whether each frame stands above its map.
    """
    width, beside = room
    count = len(video)
    maps = values[np.arange(count) * len(values) // count]
    step = -(-count // FRAMES)
    shown = range(0, count, step)
    across = max(1, min(len(shown), int((width + GAP) // (LEAST + GAP))))
    across = -(-len(shown) // -(-len(shown) // across))  # rows of equal length
    side = (width - GAP * (across - 1)) / across
    tall = side * video.shape[1] / video.shape[2]
    row = (2 * tall + 2 if beside else tall) + 24
    marks: list[Mark] = [Text(0, 12, reading.heading(width), "muted", SMALL)]
    looks = grey(video.reshape(-1, *video.shape[2:])).reshape(*video.shape[:3], 4)  # one scale for all frames
    for place, frame in enumerate(shown):
        x, y = (side + GAP) * (place % across), 22 + row * (place // across)
        if beside:
            marks.append(Raster(x + 1, y, side - 2, tall - 2, looks[frame]))
            y += tall + 2
        else:
            marks.append(Raster(x + 1, y, side - 2, tall - 2, _faded(looks[frame]), framed=False))
        marks.append(Raster(x + 1, y, side - 2, tall - 2, reading.paint(maps[frame])))
        marks.append(Text(x + 1, y + tall + 12, f"frame {frame}" if place == 0 else f"{frame}", "muted", SMALL))
    base = 22 + row * -(-len(shown) // across)
    if step > 1:
        marks.append(Text(0, base + 4, f"one frame in {step} of {count} is drawn", "muted", SMALL))
        base += 20
    marks += reading.key(1, base, min(width - 2, 260))
    told = f"Frames in order, each with its map {'below' if beside else 'over'} it; {reading.legend}."
    return Picture(width, base + 30, tuple(marks), reading.title, told, _table(maps))


def _faded(pixels: Array) -> Array:
    """Pixels (H, W, 4) in pale grey, as a ground for a map."""
    pale = pixels.copy()
    pale[..., :3] = np.round(pixels[..., :3].mean(-1, keepdims=True))
    pale[..., 3] = GROUND
    return pale


def _table(maps: Floats) -> Table:
    """What each frame counts for, added up."""
    sums = maps.reshape(len(maps), -1).sum(1)
    order = np.argsort(-np.abs(sums), kind="stable")[:50]
    return Table(("frame", "sum of its attributions"), tuple((int(t), figure(float(sums[t]))) for t in order))
