"""Attributions of a spectrogram: time along, frequency up, and what counted below on the same axes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pellucid.core.numbers import figure
from pellucid.plot.axes import Scale, tick_label, ticks
from pellucid.plot.reading import Reading
from pellucid.plot.scene import Line, Mark, Picture, Raster, Table, Text
from pellucid.plot.theme import ENERGY, SMALL
from pellucid.shapes import Array, Floats

BANDS = 8
"""Least number of frequency bands: a sound with fewer columns is channels over time."""

LEFT, GROUND = 54.0, 0.2
"""Pixels left of a panel, for the labels of its axis; opacity of the spectrogram under a map, as a share."""


def spectrogram_map(
    spectrogram: Array, values: Floats, reading: Reading, names: Sequence[str] | None, room: tuple[float, bool]
) -> Picture:
    """A spectrogram (T, M) and its attributions (T, M), (T, 1) or (t,), or on a coarser grid (t, m), in blocks.

    Args:
        spectrogram: Energies, time first, the lowest band first.
        values: The attributions.
        reading: Words and colours.
        names: Names of the bands (M,), lowest first; None numbers them.
        room: Width of the picture in pixels, and whether the spectrogram stands above its map.
    """
    width, beside = room
    values = values.reshape(len(values), -1)
    frames, bands = spectrogram.shape
    height = float(np.clip((width - LEFT) * bands / frames, 80, 150))
    energy = _energy(spectrogram)
    x, y = Scale(-0.5, frames - 0.5, LEFT, width - 2), 22.0
    marks: list[Mark] = []
    if beside:
        marks += [Text(LEFT, 12, "what the model heard: the stronger, the louder", "muted", SMALL)]
        marks += [Raster(LEFT, y, x.end - LEFT, height, energy), *_bands(bands, names, (y, height))]
        y += height + 32
    marks.append(Text(LEFT, y - 10, reading.heading(width - LEFT), "muted", SMALL))
    marks.append(Raster(LEFT, y, x.end - LEFT, height, _faded(energy), framed=False))
    marks.append(Raster(LEFT, y, x.end - LEFT, height, reading.paint(values.T[::-1])))
    marks += [*_bands(bands, names, (y, height)), *_frames(x, y + height)]
    marks += reading.key(LEFT, y + height + 46, min(x.end - LEFT, 260))
    told = f"Time from left to right, frequency from low at the bottom to high; {reading.legend}."
    return Picture(width, y + height + 76, tuple(marks), reading.title, told, _table(values))


def _energy(spectrogram: Array) -> Array:
    """Pixels (M, T, 4), high bands on top: grey on whatever paper there is, the louder, the stronger."""
    values = np.asarray(spectrogram, float).T[::-1]
    low, high = float(values.min()), float(values.max())
    pixels = np.empty((*values.shape, 4), np.uint8)
    pixels[..., :3] = ENERGY
    pixels[..., 3] = np.round(255 * (values - low) / ((high - low) or 1.0))
    return pixels


def _faded(pixels: Array) -> Array:
    pale = pixels.copy()
    pale[..., 3] = np.round(GROUND * pixels[..., 3])
    return pale


def _bands(count: int, names: Sequence[str] | None, place: tuple[float, float]) -> list[Mark]:
    """Labels of the frequency axis: names of its ends, or numbers of bands."""
    top, height = place
    y = Scale(-0.5, count - 0.5, top + height, top)
    if names is not None and len(names) == count:
        shown = [(0, names[0]), (count - 1, names[-1])]
    else:
        shown = [(int(t), tick_label(t, False)) for t in ticks(0, count - 1, 4)]
    marks: list[Mark] = [Text(LEFT - 8, y(place) + 4, text, "muted", SMALL, "end") for place, text in shown]
    return [*marks, Text(0, top - 10, "band", "muted", SMALL)]


def _frames(x: Scale, base: float) -> list[Mark]:
    marks: list[Mark] = []
    for tick in ticks(0, x.high - 0.5, 6):
        marks.append(Line([(x(tick), base), (x(tick), base + 4)], "reference", 1))
        marks.append(Text(x(tick), base + 18, tick_label(tick, False), "muted", SMALL, "middle"))
    marks.append(Text(x.end, base + 33, "time, in frames", "muted", SMALL, "end"))
    return marks


def _table(values: Floats) -> Table:
    """The cells that count most."""
    order = np.argsort(-np.abs(values).ravel(), kind="stable")[:10]
    places = [np.unravel_index(i, values.shape) for i in order]
    rows = tuple((int(t), int(m), figure(float(values[t, m]))) for t, m in places)
    return Table(("frame", "band", "attribution"), rows)
