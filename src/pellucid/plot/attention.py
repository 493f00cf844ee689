"""Every head of every layer at a glance: who looks at whom, as small maps on one scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pellucid.core.numbers import figure
from pellucid.plot.heat import bound_of, paint
from pellucid.plot.positions import check_example, positions
from pellucid.plot.scene import Box, Mark, Picture, Raster, Table, Text, shorten, text_width
from pellucid.plot.theme import SMALL
from pellucid.shapes import Floats

CELLS, SIDE, GAP = 500_000, 132.0, 8.0
"""Most cells of all maps together, which the size of a file comes from; most pixels a map is wide; pixels between two."""

WORDED = 48
"""Least width of a map, in pixels, whose head has "head" before its number."""


@dataclass(frozen=True, eq=False)
class Head:
    """One head of one layer: its map, and what it does in a few numbers.

    Attributes:
        cells: What is drawn (q, k): the weights (Q, K), or means of blocks of them.
        query, key, weight: Where the largest weight is, and the weight.
        breadth: How many keys a query looks at: exp of the entropy of its weights, on average over queries.
    """

    cells: Floats
    query: str
    key: str
    weight: float
    breadth: float


@dataclass(frozen=True)
class Layer:
    """The heads of one layer, and how many queries and keys a cell of their maps is the mean of."""

    name: str
    heads: tuple[Head, ...]
    block: tuple[int, int]

    @property
    def best(self) -> Head:
        """The head with the largest weight."""
        return max(self.heads, key=lambda head: head.weight)


def attention_grid(
    reading: Any, example: int = 0, *, tokens: Sequence[str] | None = None, width: float = 560
) -> Picture:
    """The weights a (Q, K) of every head in every layer of one example, as small maps: a row a layer, a column a head.

    A cell is how much of its attention a query (down) pays to a key (along): the stronger the teal, the more, on one scale
    for all maps. Padding of a text is left out. Where there are more positions than cells, a cell is the mean of a block.

    Args:
        reading: An `AttentionReading`.
        example: Which of its examples.
        tokens: The words of a text, one for each of its tokens (T,), or for each that is not padding; None takes them
            from the dataset's `vocabulary`, or else writes the tokens' numbers.
        width: Width of the picture in pixels.

    Raises:
        InvalidInput: The reading has no such example, or `tokens` has another number of words.

    Example:
        >>> import numpy as np, pellucid as pl
        >>> model = pl.models.tabular_transformer(3, classes=2, depth=1)
        >>> reading = pl.attention(model, pl.Dataset(np.ones((2, 3)), feature_names=["age", "dose", "weight"]))
        >>> picture = pl.plot.attention_grid(reading, example=1)
        >>> picture.title, len(picture.table.rows)
        ('Attention of every head', 4)

    Limits:
        The mean of a block hides a single strong weight among weak ones; the table names the strongest of each head.
    """
    check_example(reading, example)
    most = max(reading[name].shape[1] for name in reading)
    side = min(SIDE, (width - GAP * (most - 1)) / most)
    maps = sum(reading[name].shape[1] for name in reading)
    cells = max(8, int(min(side, (CELLS / maps) ** 0.5)))
    found = [_layer(reading, name, example, tokens, cells) for name in reading]
    bound = bound_of(np.concatenate([head.cells.ravel() for layer in found for head in layer.heads]))
    marks: list[Mark] = [Text(0, 12, "who looks at whom: a layer a row, a head a column", "muted", SMALL)]
    y = 24.0
    for layer in found:
        more, y = _row(layer, bound, side, (y, width))
        marks += more
    more, y = _foot(found, bound, (y, width))
    return Picture(width, y, tuple(marks + more), "Attention of every head", _told(found), _table(found))


def _layer(reading: Any, name: str, example: int, tokens: Sequence[str] | None, most: int) -> Layer:
    stack = np.asarray(reading[name][example], np.float32)
    queries, keys = (positions(reading, example, count, tokens) for count in stack.shape[1:])
    block = -(-len(queries) // most), -(-len(keys) // most)
    heads = (_head(weights[queries.places][:, keys.places], (queries.names, keys.names), block) for weights in stack)
    return Layer(name, tuple(heads), block)


def _head(weights: Floats, names: tuple[tuple[str, ...], tuple[str, ...]], block: tuple[int, int]) -> Head:
    query, key = map(int, np.unravel_index(int(weights.argmax()), weights.shape))
    logs = np.log(np.maximum(weights, 1e-12))
    breadth = float(np.exp(-np.einsum("qk,qk->q", weights, logs)).mean())
    cells = means(means(weights, block[0], 0), block[1], 1)
    return Head(cells, names[0][query], names[1][key], float(weights[query, key]), breadth)


def means(values: Floats, block: int, axis: int) -> Floats:
    """Means over blocks of so many values along one of two axes; the last block may be shorter."""
    if block == 1:
        return values
    count = values.shape[axis]
    starts = np.arange(0, count, block)
    sizes = np.diff([*starts, count])
    return np.add.reduceat(values, starts, axis) / np.expand_dims(sizes, 1 - axis)


def _row(layer: Layer, bound: float, side: float, place: tuple[float, float]) -> tuple[list[Mark], float]:
    """The maps of a layer, and where they end."""
    y, width = place
    tall, broad = layer.heads[0].cells.shape
    height = float(np.clip(side * tall / broad, min(side, 12), 2 * side))
    marks: list[Mark] = [Text(0, y + 14, shorten(layer.name, width), "ink", SMALL, bold=True)]
    worded, every = side >= WORDED, max(1, int(np.ceil(18 / (side + GAP))))
    for number, head in enumerate(layer.heads):
        x = number * (side + GAP)
        tip = f"{layer.name}, head {number}: most from {head.query} to {head.key}, {figure(head.weight)}"
        marks.append(Raster(x + 1, y + 38, side - 2, height - 2, paint(head.cells, bound, signed=False)))
        marks.append(Box(x + 1, y + 38, side - 2, height - 2, "card", 0.0, 0, tip))
        if number % every == 0:
            marks.append(Text(x + 1, y + 33, f"head {number}" if worded else f"{number}", "muted", SMALL))
    return marks, y + 38 + height + 6


def _foot(found: Sequence[Layer], bound: float, place: tuple[float, float]) -> tuple[list[Mark], float]:
    """The colour scale, and what a cell is."""
    y, width = place
    ramp, scale = np.linspace(0, bound, 61)[None, :], min(width - 2, 200)
    largest = max(float(head.cells.max()) for layer in found for head in layer.heads)
    high = f"{figure(bound)} or more" if largest > 1.005 * bound else figure(bound)
    marks: list[Mark] = [
        Raster(1, y + 6, scale, 8, paint(ramp, bound, signed=False)),
        Text(1, y + 30, "0", "muted", SMALL),
        Text(scale + 1, y + 30, high, "muted", SMALL, "end"),
    ]
    axes, beside = "queries ↓, keys →", scale + 24
    if width - beside >= text_width(axes, SMALL):
        marks.append(Text(beside, y + 14, axes, "muted", SMALL))
    else:
        y += 18
        marks.append(Text(1, y + 30, axes, "muted", SMALL))
    blocks = sorted({layer.block for layer in found if max(layer.block) > 1})
    for down, along in blocks:
        y += 18
        marks.append(Text(1, y + 30, f"each cell is the mean of {down} × {along} weights", "muted", SMALL))
    return marks, y + 38


def _told(found: Sequence[Layer]) -> str:
    count, layer = sum(len(layer.heads) for layer in found), max(found, key=lambda layer: layer.best.weight)
    best = layer.best
    return (
        f"{count} maps, queries down and keys along; the stronger the colour, the larger the weight. Largest: "
        f"{figure(best.weight)} from {best.query} to {best.key}, in head {layer.heads.index(best)} of {layer.name}."
    )


def _table(found: Sequence[Layer]) -> Table:
    rows = tuple(
        (layer.name, number, head.query, head.key, figure(head.weight), figure(head.breadth))
        for layer in found
        for number, head in enumerate(layer.heads)
    )
    return Table(("layer", "head", "most from", "to", "weight", "keys a query looks at"), rows)
