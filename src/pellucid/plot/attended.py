"""Where one position looks, drawn over the example itself: words, columns, patches of an image or of a spectrogram."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pellucid.errors import InvalidInput
from pellucid.plot.attributions import bars
from pellucid.plot.heat import bound_of
from pellucid.plot.lines import chosen
from pellucid.plot.maps import image_map
from pellucid.plot.positions import (
    BY_NUMBER,
    BY_PATCH,
    CLASS,
    across,
    check_example,
    grid_of,
    ids_of,
    lead_of,
    positions,
)
from pellucid.plot.reading import Reading
from pellucid.plot.scene import Picture, shorten, text_width
from pellucid.plot.signals import signal_map
from pellucid.plot.spectrograms import BANDS, spectrogram_map
from pellucid.plot.theme import SMALL
from pellucid.plot.words import words_map, words_of
from pellucid.shapes import Floats


@dataclass(frozen=True)
class Gaze(Reading):
    """Words and colours of attention: magnitudes; `target` is who looks and `method` in which layer and heads."""

    @property
    def quantity(self) -> str:
        """What the colours are."""
        return "its weight"

    @property
    def title(self) -> str:
        """What is drawn."""
        return f"Where {self.target} looks, in {self.method}"

    def heading(self, room: float) -> str:
        """The title, without the layer where there is little room."""
        short = text_width(self.title, SMALL) > room
        return shorten(f"Where {self.target} looks" if short else self.title, room, SMALL)


def attention_map(
    reading: Any, query: int = 0, layer: str | int = -1, head: int | Sequence[int] | None = None, example: int = 0, *,
    tokens: Sequence[str] | None = None, width: float = 460, beside: bool = True,
) -> Picture:  # fmt: skip
    """Where one position looks: its weights (K,) over the example, the stronger the teal, the larger.

    - Texts: the words on the colour of their weights.
    - Images: patches over the image, faded; spectrograms likewise. Patches are taken to be square.
    - Sequences: the signal over time, on blocks of colour.
    - Tables: bars, a column each.

    What a class token pays to itself has no place on the example and is left out.

    Args:
        reading: An `AttentionReading`.
        query: Which position looks; 0 is the class token, where there is one.
        layer: The name or number of an attention; the last by default.
        head: A head, or several whose mean is drawn; None for the mean of all.
        example: Which of the examples.
        tokens: The words of a text, one for each of its tokens (T,), or for each that is not padding; None takes them
            from the dataset's `vocabulary`, or else writes the tokens' numbers.
        width: Width of the picture in pixels.
        beside: Whether an image or spectrogram stands beside its map.

    Raises:
        InvalidInput: There is no such example, head or query, or the positions cannot be placed on the example.
        UnknownName: There is no such layer.

    Example:
        >>> import numpy as np, pellucid as pl
        >>> model = pl.models.vision_transformer((8, 8, 1), classes=3, patch=2, depth=1)
        >>> pl.plot.attention_map(pl.attention(model, np.ones((2, 8, 8, 1)))).title
        'Where [class] looks, in attention, mean of all 4 heads'

    Limits:
        After the first layer a position holds a mixture of others, so that what is looked at is no longer only what was
        there in the example.
    """
    check_example(reading, example)
    weights, heading = chosen(reading, layer, head, example)
    if not -len(weights) <= query < len(weights):
        raise InvalidInput(f"query: the layer has {len(weights)} queries, numbered from 0; got {query}")
    who = _called(reading, example, len(weights), query % len(weights), tokens)
    return _placed(reading, example, (weights[query], who, heading), tokens, (width, beside))


def _called(reading: Any, example: int, count: int, query: int, tokens: Sequence[str] | None) -> str:
    """A position in words."""
    found = positions(reading, example, count, tokens)
    name = dict(zip(found.places.tolist(), found.names, strict=True)).get(query)
    if count == 1:
        return "the model"  # a query of no position: that of a layer that pools
    if name is None or name == CLASS:
        return name or "padding"
    word = {BY_PATCH: "patch ", BY_NUMBER: "position "}.get(found.read, "")
    return f"{word}{name}" if word else f"“{name}”"


def _placed(
    reading: Any, example: int, looked: tuple[Floats, str, str], tokens: Sequence[str] | None, room: tuple[float, bool]
) -> Picture:
    row, name, heading = looked
    if (ids := ids_of(reading, example, len(row))) is not None:
        row = row[len(row) - len(ids) :]
        return words_map(ids, row, _gaze(name, heading, row), words_of(reading, ids, tokens), room[0])
    inputs = reading.inputs
    shown = np.asarray(next(iter(inputs.values())) if isinstance(inputs, dict) else inputs)[example]
    grid = grid_of(reading.kind, shown.shape)
    row = row[lead_of(grid, len(row)) :]
    gaze, names, kind = _gaze(name, heading, row), reading.feature_names, reading.kind
    if kind in ("image", "audio") and len(grid) == 2 and (columns := across(grid, len(row))):
        patches = row.reshape(-1, columns)
        if kind == "image":
            return image_map(shown, patches, gaze, True, room)
        if shown.shape[1] >= BANDS:
            return spectrogram_map(shown, patches, gaze, names, room)
    if kind == "sequence" and shown.ndim == 2 and len(shown) % len(row) == 0:
        return signal_map(shown, row, gaze, names, room[0])
    if kind == "tabular" and shown.shape == row.shape:
        columns = (
            list(names) if names is not None and len(names) == len(row) else [f"input {i}" for i in range(len(row))]
        )
        return bars(columns, row, [f"{value:.4g}" for value in shown.tolist()], gaze, (10, room[0]))
    raise InvalidInput(
        f"reading: {len(row)} positions cannot be placed on {kind} inputs of shape {np.shape(shown)}; attention_lines draws "
        "them by number, and pl.explain with an attention method places them"
    )


def _gaze(name: str, heading: str, row: Floats) -> Gaze:
    return Gaze(name, heading, False, bound_of(row) if np.any(row) else 0.0, False)
