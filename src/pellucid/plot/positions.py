"""The positions between which attention is paid: what each is called, and which of them are padding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pellucid.errors import InvalidInput
from pellucid.plot.words import named
from pellucid.shapes import Array

CLASS = "[class]"
"""A token before all others, which stands for the whole example."""


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
    """
    inputs = reading.inputs
    if count == 1:
        return Positions(np.zeros(1, int), ("query",))
    if isinstance(inputs, dict):
        return _numbered(count, 0)
    shown = np.asarray(inputs[example])
    if reading.kind == "text" and shown.ndim == 1:
        found = named(shown, tokens)
        return _found(found, count, len(shown)) or _numbered(count, 0)
    lead = _lead(reading.kind, shown.shape, count)
    names = reading.feature_names
    if reading.kind == "tabular" and names is not None and len(names) == count - lead:
        return _named(list(names), lead)
    if reading.kind == "image" and (across := _square(shown.shape, count - lead)):
        return _named([f"{i // across}, {i % across}" for i in range(count - lead)], lead, "patches by row and column")
    return _numbered(count, lead)


def _found(words: Sequence[tuple[int, str]], count: int, length: int) -> Positions | None:
    """Words at their places, where there is a position for each of them, or one more."""
    lead = count - length
    if lead not in (0, 1):
        return None
    places = [*range(lead), *(place + lead for place, _ in words)]
    return Positions(np.array(places, int), (*[CLASS] * lead, *(word for _, word in words)))


def _lead(kind: str, shape: tuple[int, ...], count: int) -> int:
    """1 where the positions cannot be equal parts of an example of this shape, but all of them but one can."""
    grid = shape[:-1] if kind in ("image", "video", "sequence") else shape
    size = int(np.prod(grid))
    return int(size % count != 0 and size % (count - 1) == 0)


def _square(shape: tuple[int, ...], count: int) -> int:
    """How many square patches lie side by side where an image is cut into `count` of them; 0 if it cannot be."""
    height, width = shape[:2] if shape[0] not in (1, 3) or len(shape) == 2 else shape[-2:]
    side = round((height * width / count) ** 0.5)
    whole = side and height % side == 0 and width % side == 0 and (height // side) * (width // side) == count
    return width // side if whole else 0


def _named(names: Sequence[str], lead: int, read: str = "") -> Positions:
    return Positions(np.arange(len(names) + lead), (*[CLASS] * lead, *map(str, names)), read)


def _numbered(count: int, lead: int) -> Positions:
    return _named([str(i) for i in range(count - lead)], lead, "positions by number")
