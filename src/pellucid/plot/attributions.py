"""Why one example got its answer: signed bars for a table, a map beside the picture for an image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pellucid.core.numbers import figure, given
from pellucid.errors import InvalidInput
from pellucid.plot.axes import Scale, bar, limits
from pellucid.plot.heat import bound_of, grey, key, largest, paint
from pellucid.plot.ranking import by_column
from pellucid.plot.scene import Box, Line, Mark, Picture, Raster, Table, Text, shorten, text_width
from pellucid.plot.theme import SMALL
from pellucid.shapes import Array


def attribution(explanation: Any, index: int = 0, *, top: int = 10, width: float = 460) -> Picture:
    """The explanation of one example.

    Args:
        explanation: An `Explanation`.
        index: Which of its examples.
        top: How many inputs of a table are drawn; the rest are one bar of their sum.
        width: Width of the picture in pixels.

    Raises:
        InvalidInput: The explanation has no such example.
    """
    if not -len(explanation) <= index < len(explanation):
        raise InvalidInput(f"index: the explanation has {len(explanation)} examples, there is no number {index}")
    target = _target(explanation, index)
    if explanation.kind == "image" and getattr(explanation.values, "ndim", 0) in (3, 4):
        return _image(explanation, index, target, width)
    names, parts = by_column(explanation)
    return _bars(names, parts[index], _shown(explanation, names, index), target, (top, width))


def _target(explanation: Any, index: int) -> str:
    number = int(explanation.classes[index])
    names = explanation.class_names
    if explanation.unit is not None:
        return f"unit {explanation.unit.index} of {explanation.unit.layer}"
    if number < 0:
        return "the output"
    return f"“{names[number]}”" if names is not None and number < len(names) else f"class {number}"


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


def _bars(names: list[str], values: Array, shown: list[str], target: str, size: tuple[int, float]) -> Picture:
    top, width = size
    order = np.argsort(-np.abs(values), kind="stable")
    kept, rest = order[:top], order[top:]
    rows = [(names[i], shown[i], float(values[i])) for i in kept]
    if len(rest):
        rows.append((f"{len(rest)} other inputs", "", float(values[rest].sum())))
    left = min(width * 0.5, max(text_width(n) + text_width(s, SMALL) + 10 for n, s, _ in rows) + 14)
    low, high = limits([v for _, _, v in rows], include=(0.0,), pad=0.02)
    scale = Scale(low, high, left + (46 if low < 0 else 4), width - (50 if high > 0 else 6))
    base = 30 + 24 * len(rows)
    marks: list[Mark] = [
        Line([(scale(0), 26), (scale(0), base)], "reference", 1),
        *_heads(scale(0), target, (left, width)),
    ]
    for place, row in enumerate(rows):
        marks += _bar(row, 42 + 24 * place, scale, left)
    table = tuple((n, s, figure(v)) for n, s, v in [(names[i], shown[i], float(values[i])) for i in order[:50]])
    lead = ", ".join(f"{n} {figure(v)}" for n, _, v in rows[:3])
    title = f"What counted for and against {target}"
    return Picture(
        width,
        base + 6,
        tuple(marks),
        title,
        f"Largest: {lead}.",
        Table(("input", "its value", "attribution"), table),
    )


def _heads(zero: float, target: str, edges: tuple[float, float]) -> list[Mark]:
    left, width = edges
    marks: list[Mark] = []
    if width - zero > 60:
        marks.append(Text(width - 2, 14, shorten(f"for {target} →", width - zero, SMALL), "for", SMALL, "end"))
    if zero - left > 60:
        marks.append(Text(left, 14, "← against", "against", SMALL))
    return marks


def _bar(row: tuple[str, str, float], y: float, scale: Scale, left: float) -> list[Mark]:
    name, shown, value = row
    meaning = "for" if value >= 0 else "against"
    room = left - 16
    beside = shorten(shown, room * 0.5, SMALL)
    label = shorten(name, room - text_width(beside, SMALL) - 8)
    end = scale(value)
    place, anchor = (end + 6, "start") if value >= 0 else (end - 6, "end")
    return [
        Text(0, y + 4, label),
        Text(left - 8, y + 4, beside, "muted", SMALL, "end"),
        Box(*bar(y, scale(0), end, 14), meaning, 0.85, 2, f"{name}: {figure(value)}"),
        Text(place, y + 4, figure(value), meaning, SMALL, anchor),
    ]


def _image(explanation: Any, index: int, target: str, width: float) -> Picture:
    image, values = np.asarray(explanation.inputs[index]), np.asarray(explanation.values[index])
    values = values if values.ndim == 2 else values.sum(-1)
    side = (width - 24) / 2
    height = side * values.shape[0] / values.shape[1]
    bound = bound_of(values)
    marks: list[Mark] = [
        Text(0, 12, "what the model saw", "muted", SMALL),
        Raster(1, 22, side - 2, height, grey(image)),
        Text(side + 24, 12, shorten(f"what counted for and against {target}", side, SMALL), "muted", SMALL),
        Raster(side + 24, 22, side - 2, height, paint(values, bound)),
        *key(side + 24, height + 34, side - 2, bound, True),
    ]
    told = f"Input beside a map of attributions; blue pixels speak for {target}, orange ones against."
    return Picture(width, height + 64, tuple(marks), f"What counted for and against {target}", told, largest(values))
