"""The positions between which attention is paid: what each is called, and which of them are padding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pellucid.errors import InvalidInput
from pellucid.plot.heat import channels_first
from pellucid.plot.words import named, words_of
from pellucid.shapes import Array

CLASS = "[class]"
"""A token before all others, which stands for the whole example."""

BY_PATCH, BY_NUMBER = "patches by row and column", "positions by number"
"""How to read names that do not say it themselves."""


@dataclass(frozen=True)
class Positions:
    """Positions that are drawn.

    Attributes:
        places: Their numbers (n,) among all positions of the weights.
        names: What each is called.
        read: How to read the names, where they do not say it themselves.
    """

    places: Array
    names: tuple[str, ...]
    read: str = ""

    def __len__(self) -> int:
        return len(self.names)


def check_example(reading: Any, example: int) -> None:
    """Refuse an example that the reading does not have."""
    if not -len(reading) <= example < len(reading):
        raise InvalidInput(f"example: the reading has {len(reading)} examples, there is no number {example}")


def positions(reading: Any, example: int, count: int, tokens: Sequence[str] | None) -> Positions:
    """The positions of queries or keys, of which there are `count`, in one example; padding of a text is left out.

    A position more than the example has is a class token before the others. Words, columns and square patches (row and
    column) have names, moments and other patches are numbers.

    Raises:
        InvalidInput: Words that do not fit.
    """
    if count == 1:
        return Positions(np.zeros(1, int), ("query",))
    ids = ids_of(reading, example, count)
    if ids is not None and (found := _words(named(ids, words_of(reading, ids, tokens)), count - len(ids))):
        return found  # a text that is all padding has no words: its positions are numbers
    if tokens is not None and ids is None:
        return _given(tokens, count)
    if isinstance(reading.inputs, dict):
        return _numbered(count, 0)
    grid = grid_of(reading.kind, np.shape(reading.inputs)[1:])
    lead, names = lead_of(grid, count), reading.feature_names
    if reading.kind == "tabular" and names is not None and len(names) == count - lead:
        return _named(names, lead)
    if reading.kind == "image" and len(grid) == 2 and (columns := across(grid, count - lead)):
        return _named([f"{i // columns}, {i % columns}" for i in range(count - lead)], lead, BY_PATCH)
    return _numbered(count, lead)


def one_looks(reading: Any, example: int) -> bool:
    """Whether the first query of the last layer stands for the whole example: a class token, or the only one."""
    count = reading[-1].shape[2]
    return positions(reading, example, count, None).names[:1] in ((CLASS,), ("query",))


def ids_of(reading: Any, example: int, count: int) -> Array | None:
    """The token numbers of a text that has a position for each of them, or one more; None for what is no text."""
    if reading.kind != "text":
        return None
    inputs = reading.inputs if isinstance(reading.inputs, dict) else {"": reading.inputs}
    first = [name for name in ("input_ids", "token_ids", "tokens") if name in inputs]
    for name in [*first, *inputs]:
        array = np.asarray(inputs[name])
        if array.ndim == 2 and array.dtype.kind in "iuf" and count - array.shape[1] in (0, 1):
            return array[example]
    return None


def _words(words: Sequence[tuple[int, str]], lead: int) -> Positions:
    """Words at their places after the class token, if there is one; nothing of a text that is all padding."""
    places = [*range(lead), *(place + lead for place, _ in words)]
    return Positions(np.array(places, int), (*[CLASS] * lead, *(word for _, word in words)))


def _given(tokens: Sequence[str], count: int) -> Positions:
    """Names given for what is no text, such as the columns or moments of an embedded input."""
    if count - len(tokens) not in (0, 1):
        raise InvalidInput(f"tokens: expected {count} words, one for each position, got {len(tokens)}")
    return _named(tokens, count - len(tokens))


def grid_of(kind: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The axes along which an example of this shape is cut into patches."""
    if kind == "image" and channels_first(shape):
        return shape[1:]
    return shape[:-1] if kind in ("image", "video", "sequence") else shape


def lead_of(grid: tuple[int, ...], count: int) -> int:
    """1 where the positions cannot be equal parts of a grid, but all of them but one can."""
    size = int(np.prod(grid))
    return int(size % count != 0 and size % (count - 1) == 0)


def across(grid: tuple[int, ...], count: int) -> int:
    """How many square patches lie side by side where an image is cut into `count` of them; 0 if it cannot be."""
    height, width = grid
    side = max(1, round((height * width / count) ** 0.5))
    whole = height % side == 0 and width % side == 0 and (height // side) * (width // side) == count
    return width // side if whole else 0


def _named(names: Sequence[str], lead: int, read: str = "") -> Positions:
    return Positions(np.arange(len(names) + lead), (*[CLASS] * lead, *map(str, names)), read)


def _numbered(count: int, lead: int) -> Positions:
    return _named([str(i) for i in range(count - lead)], lead, BY_NUMBER)
