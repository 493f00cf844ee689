"""One head, or the mean of some: lines from each token to the tokens it looks at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pellucid.core.numbers import count, figure
from pellucid.errors import InvalidInput
from pellucid.plot.positions import Positions, check_example, positions
from pellucid.plot.scene import Line, Mark, Picture, Table, Text, shorten, text_width
from pellucid.plot.theme import SMALL
from pellucid.shapes import Array, Floats

SHARE, LINES, FAINTEST = 0.8, 160, 0.04
"""The largest weights are drawn until they hold this share of all, at most so many, and none that is less than this share
of the largest."""

PLACES, WRITTEN = 40, 24
"""Positions on a side that are all written; how many are, where there are more."""

STEP, TOP = 19.0, 50.0
"""Pixels from one position to the next, and above the first."""


@dataclass(frozen=True)
class Side:
    """A column of positions.

    Attributes:
        names: What every position is called.
        heights: The height of each that is written, by number, from the upper end of the column.
        texts: What is written: height, text, and whether it only stands between.
        tall: Height of the column.
    """

    names: tuple[str, ...]
    heights: dict[int, float]
    texts: tuple[tuple[float, str, bool], ...]
    tall: float


def attention_lines(
    reading: Any, layer: str | int = -1, head: int | Sequence[int] | None = None, example: int = 0, *,
    tokens: Sequence[str] | None = None, width: float = 460,
) -> Picture:  # fmt: skip
    """Who looks at whom in one layer: a line from a query (left) to a key (right), the stronger, the larger its weight.

    Opacity is the weight over the largest weight. The largest weights are drawn until they hold 80 % of all attention, but
    never more than 160 lines; the picture says what share it shows. Where there are more than 40 positions, up to 24 are
    written, those between which the largest weights are; the lines are between them, and the others are counted. Padding
    of a text is left out.

    Args:
        reading: An `AttentionReading`.
        layer: The name or number of an attention; the last by default.
        head: A head, or several whose mean is drawn; None for the mean of all.
        example: Which of the examples.
        tokens: The words of a text, one for each of its tokens (T,), or for each that is not padding; None takes them
            from the dataset's `vocabulary`, or else writes the tokens' numbers.
        width: Width of the picture in pixels.

    Raises:
        InvalidInput: There is no such example or head, or `tokens` has another number of words.
        UnknownName: There is no such layer.

    Example:
        >>> import numpy as np, pellucid as pl
        >>> model = pl.models.tabular_transformer(3, classes=2, depth=1)
        >>> reading = pl.attention(model, pl.Dataset(np.ones((2, 3)), feature_names=["age", "dose", "weight"]))
        >>> picture = pl.plot.attention_lines(reading, head=0)
        >>> picture.title, picture.table.columns
        ('Attention in attention, head 0', ('from', 'to', 'query', 'key', 'weight'))

    Limits:
        The mean of heads hides a head that differs from the others. A line says where a position looks, not what it takes
        from there nor whether the score needs it.
    """
    check_example(reading, example)
    weights, heading = chosen(reading, layer, head, example)
    ends = positions(reading, example, weights.shape[0], tokens), positions(reading, example, weights.shape[1], tokens)
    weights = weights[ends[0].places][:, ends[1].places]
    rows, columns = written(weights)
    inner = strongest(weights[np.ix_(rows, columns)])
    kept = np.stack([rows[inner[:, 0]], columns[inner[:, 1]]], axis=1)
    share = float(weights[kept[:, 0], kept[:, 1]].sum() / (weights.sum() or 1.0))
    note = f"{len(kept)} of {count(weights.size)} weights, ", f"{figure(share, percent=True)} of the attention"
    marks, base = _drawn(weights, kept, (_side(ends[0], rows), _side(ends[1], columns)), width)
    marks.append(Text(0, 12, shorten(heading, width, SMALL), "ink", SMALL, bold=True))
    notes = ["".join(note)] if text_width("".join(note), SMALL) < width else list(note)
    for line in (*notes, *dict.fromkeys(side.read for side in ends if side.read)):
        marks.append(Text(0, base + 14, line, "muted", SMALL))
        base += 18
    told = f"Lines from queries at the left to keys at the right, the largest weights: {''.join(note)}; the stronger, the larger."
    return Picture(width, base + 4, tuple(marks), f"Attention in {heading}", told, _table(weights, kept, ends))


def chosen(reading: Any, layer: str | int, head: int | Sequence[int] | None, example: int) -> tuple[Floats, str]:
    """The weights (Q, K) of a layer for one example, a mean over the heads asked for, and what to call them."""
    stack = np.asarray(reading[layer][example])
    name = layer if isinstance(layer, str) else reading.names[layer]
    asked = _heads(head, len(stack))
    if len(stack) == 1:
        return stack[0].astype(float), str(name)
    which = (
        f"head {asked[0] % len(stack)}"
        if len(asked) == 1
        else f"mean of {'all ' if head is None else ''}{len(asked)} heads"
    )
    return stack[asked].mean(0, dtype=float), f"{name}, {which}"


def _heads(head: int | Sequence[int] | None, count: int) -> list[int]:
    asked = list(range(count)) if head is None else [head] if isinstance(head, int | np.integer) else list(head)
    wrong = [h for h in asked if not -count <= h < count]
    if wrong or not asked:
        raise InvalidInput(f"head: the layer has {count} heads, numbered from 0; got {head!r}")
    return [int(h) for h in asked]


def strongest(weights: Floats) -> Array:
    """Queries and keys (n, 2) of the weights (Q, K) that are drawn, the largest first."""
    order = _largest(weights)
    order = order[: int(np.searchsorted(np.cumsum(weights[*order.T]), SHARE * weights.sum() * (1 - 1e-9))) + 1]
    return order[weights[*order.T] >= max(FAINTEST * float(weights.max()), 1e-12)]


def _largest(weights: Floats) -> Array:
    """Queries and keys (n, 2) of the largest weights, no more than are ever drawn."""
    flat = np.argsort(-weights, axis=None, kind="stable")[:LINES]
    return np.stack(np.unravel_index(flat, weights.shape), axis=1)


def written(weights: Floats) -> tuple[Array, Array]:
    """Queries and keys that are written: all of a few, of many those between which the largest weights are."""
    pairs = _largest(weights)
    for side, length in enumerate(weights.shape):
        if length > PLACES:
            pairs = pairs[: _until(pairs[:, side], WRITTEN)]
    rows, columns = (
        np.arange(length) if length <= PLACES else np.unique(pairs[:, side])
        for side, length in enumerate(weights.shape)
    )
    return rows, columns


def _until(places: Array, most: int) -> int:
    """How many of the first places can be had without naming more than so many different ones."""
    _, first = np.unique(places, return_index=True)
    return int(np.sort(first)[most]) if len(first) > most else len(places)


def _side(found: Positions, shown: Array) -> Side:
    """A column of the positions shown, with what lies between them counted."""
    heights, texts, y, last = {}, [], 0.0, -1
    for place in [*shown.tolist(), len(found)]:
        between = place - last - 1
        if between == 1:
            texts.append((y, found.names[place - 1], True))
            y += STEP
        elif between:
            texts.append((y, f"⋯ {between} more", True))
            y += STEP
        if place < len(found):
            heights[place] = y
            texts.append((y, found.names[place], False))
            y += STEP
        last = place
    return Side(found.names, heights, tuple(texts), y)


def _drawn(weights: Floats, kept: Array, sides: tuple[Side, Side], width: float) -> tuple[list[Mark], float]:
    """The lines between two columns, and where the longer column ends."""
    room = [min(0.36 * width, max(text_width(t) for _, t, _ in side.texts) + 12) for side in sides]
    edges, tall = (room[0], width - room[1]), max(side.tall for side in sides)
    tops = [TOP + (tall - side.tall) / 2 for side in sides]
    marks: list[Mark] = []
    largest = float(weights.max()) or 1.0
    for query, key in kept[::-1].tolist():  # the strongest on top
        weight = float(weights[query, key])
        start = edges[0] + 6, tops[0] + sides[0].heights[query] - 4
        end = edges[1] - 6, tops[1] + sides[1].heights[key] - 4
        tip, share = f"{sides[0].names[query]} to {sides[1].names[key]}: {figure(weight)}", weight / largest
        marks.append(Line([start, end], "accent", round(0.6 + 2.4 * share, 2), tip=tip, opacity=round(share, 3)))
    for side, (word, anchor) in enumerate((("from", "end"), ("to", "start"))):
        marks.append(Text(edges[side], tops[side] - 18, word, "muted", SMALL, anchor))
        for y, text, between in sides[side].texts:
            colour = "muted" if between else "ink"
            marks.append(Text(edges[side], tops[side] + y, shorten(text, room[side]), colour, anchor=anchor))
    return marks, TOP + tall


def _table(weights: Floats, kept: Array, ends: tuple[Positions, Positions]) -> Table:
    rows = tuple(
        (
            ends[0].names[q],
            ends[1].names[k],
            int(ends[0].places[q]),
            int(ends[1].places[k]),
            figure(float(weights[q, k])),
        )
        for q, k in kept[:50]
    )
    return Table(("from", "to", "query", "key", "weight"), rows)
