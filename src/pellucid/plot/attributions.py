"""Why one example got its answer: bars for a table, a map for an image, a sound, a video, a line over time, words on
colours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pellucid.core.numbers import figure, given
from pellucid.errors import InvalidInput
from pellucid.plot.axes import Scale, bar, limits
from pellucid.plot.heat import channels_last
from pellucid.plot.maps import channel_maps, flat_map, image_map, laid, unit_grid
from pellucid.plot.ranking import by_column
from pellucid.plot.reading import Reading, reading_of
from pellucid.plot.scene import Box, Line, Mark, Picture, Table, Text, shorten, text_width
from pellucid.plot.signals import signal_map
from pellucid.plot.spectrograms import BANDS, spectrogram_map
from pellucid.plot.theme import SMALL
from pellucid.plot.videos import video_strip
from pellucid.plot.words import words_map, words_of
from pellucid.shapes import Array


def attribution(
    explanation: Any, index: int = 0, *, top: int = 10, width: float = 460, tokens: Sequence[str] | None = None,
    beside: bool = True,
) -> Picture:  # fmt: skip
    """The explanation of one example, drawn as what it is about.

    - Tables: bars, the largest first.
    - Images: a map, beside the picture; what only says where a layer looked (a class activation map) lies over it.
    - Sequences: the signal over time on the colours of its attributions, and their sum at each moment.
    - Sounds: a spectrogram with its map below, time along and frequency up; a waveform as a sequence.
    - Videos: frames side by side, each with its map below.
    - Texts: the words, each on the colour of what it counts for; padding (token 0 at the ends) is left out, and so are
      stretches of long texts where no word counts much.
    - Hidden layers: bars of units, a grid of units and places, or a map for each of the strongest channels.

    Blue counts for the score, orange against; values without a sign, of methods that promise no contributions, are teal.

    Args:
        explanation: An `Explanation`.
        index: Which of its examples.
        top: How many inputs of a table are drawn; the rest are one bar of their sum, where a sum means something.
        width: Width of the picture in pixels.
        tokens: The words of a text, one for each of its tokens (T,), or for each that is not padding; None takes them
            from the dataset's `vocabulary`, or else writes the tokens' numbers.
        beside: Whether an image stands beside its map, and the like for sounds and videos.

    Raises:
        InvalidInput: The explanation has no such example, or `tokens` has another number of words.
    """
    if not -len(explanation) <= index < len(explanation):
        raise InvalidInput(f"index: the explanation has {len(explanation)} examples, there is no number {index}")
    drawn = None if isinstance(explanation.values, dict) else _placed(explanation, index, (width, beside), tokens)
    if drawn is not None:
        return drawn
    names, parts = by_column(explanation)
    values = parts[index].reshape(-1)
    return bars(names, values, _shown(explanation, names, index), reading_of(explanation, index, values), (top, width))


def _placed(e: Any, index: int, room: tuple[float, bool], tokens: Sequence[str] | None) -> Picture | None:
    """Values drawn where they are: on the grid of an image, over time, under words; None if they have no place."""
    width, values = room[0], np.asarray(e.values[index], float)
    shape, reading = e.inputs.shape[1:] if hasattr(e.inputs, "shape") else (), reading_of(e, index, values)
    if e.hidden and not laid(e):
        if values.ndim == 3:
            return channel_maps(channels_last(values, shape), reading, str(e.layer), width)
        return unit_grid(values, reading, str(e.layer), width) if values.ndim == 2 else None
    if e.kind == "image" and len(shape) == 3 and values.ndim in (2, 3):
        values = flat_map(values, e.inputs[index])
        return image_map(np.asarray(e.inputs[index]), values, reading_of(e, index, values), laid(e), room)
    if e.kind == "audio":
        return _sound(e, index, values, room)
    if e.kind == "video" and len(shape) == 4 and values.ndim in (3, 4):
        maps = values if values.ndim == 3 else values.sum(-1)
        return video_strip(np.asarray(e.inputs[index]), maps, reading_of(e, index, maps), room)
    if e.kind == "sequence" and len(shape) == 2 and values.ndim <= 2:
        return signal_map(np.asarray(e.inputs[index]), values, reading, e.feature_names, width)
    if len(shape) == 1 and values.ndim == 1 and (e.kind == "text" or tokens is not None):
        ids = np.asarray(e.inputs[index])
        return words_map(ids, values, reading, words_of(e, ids, tokens), width)
    return None


def _sound(e: Any, index: int, values: Array, room: tuple[float, bool]) -> Picture | None:
    """A spectrogram (T, M) or (T, M, 1), or a waveform (T,) or (T, channels), with its map."""
    heard = np.asarray(e.inputs[index], float)
    if heard.ndim == 1:
        heard = heard[:, None]
    if heard.ndim == 3 and heard.shape[-1] == 1:
        heard, values = heard[..., 0], values[..., 0] if values.ndim == 3 else values
    if heard.ndim != 2 or values.ndim > 2:
        return None
    reading = reading_of(e, index, values)
    if heard.shape[1] < BANDS:
        return signal_map(heard, values, reading, e.feature_names, room[0])
    return spectrogram_map(heard, values, reading, e.feature_names, room)


def _shown(explanation: Any, names: list[str], index: int) -> list[str]:
    """What each input was in this example, as text; encoded columns show the one that was set."""
    inputs = explanation.inputs
    if explanation.hidden:
        return [""] * len(names)
    flat = (
        np.concatenate([v[index].ravel() for v in inputs.values()])
        if isinstance(inputs, dict)
        else np.ravel(inputs[index])
    )
    if len(flat) == len(names):
        return [given(float(v)) if flat.dtype.kind in "fiu" else str(v) for v in flat]
    columns: list[str] = list(explanation.columns or ())
    return (
        [_encoded(explanation, columns, flat, name) for name in names]
        if len(columns) == len(flat)
        else [""] * len(names)
    )


def _encoded(explanation: Any, columns: Sequence[str], flat: Array, origin: str) -> str:
    own = [i for i, column in enumerate(columns) if column == origin]
    if len(own) == 1:
        return given(float(flat[own[0]]))
    best = own[int(np.argmax(flat[own]))]
    full = str((explanation.feature_names or columns)[best])
    return full.removeprefix(origin).lstrip("=_: ") or full


def bars(names: list[str], values: Array, shown: list[str], reading: Reading, size: tuple[int, float]) -> Picture:
    """Inputs by name, with what they were and what they count for, the largest first: so many of them, so wide."""
    top, width = size
    order = np.argsort(-np.abs(values), kind="stable")
    kept, rest = order[:top], order[top:]
    rows = [(names[i], shown[i], float(values[i])) for i in kept]
    if len(rest) and reading.contributes:
        rows.append((f"{len(rest)} others", "", float(values[rest].sum())))
    left = min(width * 0.5, max(text_width(n) + text_width(s, SMALL) + 10 for n, s, _ in rows) + 16)
    low, high = limits([v for _, _, v in rows], include=(0.0,), pad=0.02)
    scale = Scale(low, high, left + (46 if low < 0 else 4), width - (50 if high > 0 else 6))
    base = 30 + 24 * len(rows)
    marks: list[Mark] = [
        Line([(scale(0), 26), (scale(0), base)], "reference", 1),
        *_heads(scale(0), reading, (left, width)),
    ]
    for place, row in enumerate(rows):
        marks += _bar(row, 42 + 24 * place, scale, (left, reading.colour(row[2])))
    table = tuple((n, s, figure(v)) for n, s, v in [(names[i], shown[i], float(values[i])) for i in order[:50]])
    lead = ", ".join(f"{n} {figure(v)}" for n, _, v in rows[:3])
    return Picture(
        width,
        base + 6,
        tuple(marks),
        reading.title,
        f"Largest: {lead}.",
        Table(("input", "its value", "attribution"), table),
    )


def _heads(zero: float, reading: Reading, edges: tuple[float, float]) -> list[Mark]:
    left, width = edges
    if not reading.contributes:
        return [Text(0, 14, reading.heading(width), "muted", SMALL)]
    marks: list[Mark] = []
    if width - zero > 60:
        told = f"for {reading.target} →"
        told = told if text_width(told, SMALL) < width - zero else "for →"
        marks.append(Text(width - 2, 14, told, "for", SMALL, "end"))
    if zero - left > 60:
        marks.append(Text(left, 14, "← against", "against", SMALL))
    return marks


def _bar(row: tuple[str, str, float], y: float, scale: Scale, look: tuple[float, str]) -> list[Mark]:
    left, meaning = look
    name, shown, value = row
    room = left - 16
    beside = shorten(shown, max(room * 0.5, room - text_width(name) - 8), SMALL)
    label = shorten(name, room - text_width(beside, SMALL) - 8)
    end = scale(value)
    place, anchor = (end + 6, "start") if value >= 0 else (end - 6, "end")
    return [
        Text(0, y + 4, label),
        Text(left - 8, y + 4, beside, "muted", SMALL, "end"),
        Box(*bar(y, scale(0), end, 14), meaning, 0.85, 2, f"{name}: {figure(value)}"),
        Text(place, y + 4, figure(value), meaning, SMALL, anchor),
    ]
