"""Attributions of a text: its words on grounds of colour, wrapped over lines."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pellucid.core.numbers import figure
from pellucid.errors import InvalidInput
from pellucid.plot.reading import Reading
from pellucid.plot.scene import Box, Mark, Picture, Table, Text, shorten, text_width
from pellucid.plot.theme import SMALL
from pellucid.shapes import Array, Floats

SIZE, STEP = 15.0, 44.0
"""Size of a word and height of a line, in pixels."""

STRONGEST = 0.46
"""Opacity behind the word that counts most: text on it keeps its contrast."""

LABELLED = 0.2
"""Words that count at least this much of the strongest one have their number below them."""


LONG, REMARKABLE, CONTEXT = 200, 40, 2
"""Of a text with more words than this, so many of the strongest are written, with so many words around each."""


@dataclass(frozen=True)
class Word:
    """A word, its place in the sequence, and what it counts for; or words left out, which count so much together."""

    text: str
    place: int
    value: float
    left_out: int = 0


def words_map(ids: Array, values: Floats, reading: Reading, tokens: Sequence[str] | None, width: float) -> Picture:
    """The words of a text with their attributions (T,), or of a coarser grid (t,), whose cells are drawn as blocks.

    Raises:
        InvalidInput: Not one word for each token (T,), or for each that is not padding.
    """
    along = np.asarray(values).reshape(len(values), -1).sum(1)
    along = along[np.arange(len(ids)) * len(along) // len(ids)]
    words, padding = _read(ids, along, tokens)
    words = _remarkable(words)
    marks, base = _written(words, reading, width)
    if padding:
        marks.append(Text(0, base + 4, f"padding: {figure(padding)}", "muted", SMALL))
    base += 24 if padding else 0
    marks += [Text(0, 12, reading.heading(width), "muted", SMALL), *_legend(reading, base + 4)]
    told = f"The text, each word on the colour of {reading.quantity}; {reading.legend}."
    told += " Stretches where no word counts much are left out." if any(w.left_out for w in words) else ""
    rows = [(w.place, w.text, figure(w.value)) for w in words] + ([("", "padding", figure(padding))] if padding else [])
    table = Table(("place", "word", "attribution"), tuple(rows))
    return Picture(width, base + 14, tuple(marks), reading.title, told, table)


def _legend(reading: Reading, y: float) -> list[Mark]:
    if not reading.bound:
        return [Text(0, y, "zero everywhere", "muted", SMALL)]
    if not reading.signed:
        return [Text(0, y, "the stronger, the larger", "accent", SMALL)]
    words = ("for", "against") if reading.contributes else ("above zero", "below")
    marks: list[Mark] = [Text(0, y, f"+ {words[0]}", "for", SMALL)]
    return [*marks, Text(90, y, f"− {words[1]}", "against", SMALL)] if reading.negative else marks


def _read(ids: Array, along: Floats, tokens: Sequence[str] | None) -> tuple[list[Word], float]:
    """Words with their values, and what is left for the padding (token 0 at either end)."""
    words = [Word(name, place, float(along[place])) for place, name in named(ids, tokens)]
    outside = np.delete(along, [word.place for word in words])
    return words, float(outside.sum()) if np.any(outside) else 0.0


def words_of(record: Any, ids: Array, tokens: Sequence[str] | None = None) -> Sequence[str] | None:
    """The words of token numbers (T,): those given, else those of the record's vocabulary; None where it has none."""
    known = getattr(record, "vocabulary", None)
    if tokens is not None or known is None:
        return tokens
    return [known[int(i)] if 0 <= i < len(known) else f"token {i}" for i in ids]


def named(ids: Array, tokens: Sequence[str] | None) -> list[tuple[int, str]]:
    """The places of tokens (T,) that are not padding (token 0 at either end), and their words; None: their numbers.

    Raises:
        InvalidInput: Not one word for each token, or for each that is not padding.
    """
    used = np.flatnonzero(ids)
    inner = list(range(int(used[0]), int(used[-1]) + 1)) if len(used) else []
    names = [f"token {i}" for i in ids] if tokens is None else list(map(str, tokens))
    if len(names) == len(ids):
        return [(i, names[i]) for i in inner]
    if len(names) == len(inner):
        return list(zip(inner, names, strict=True))
    raise InvalidInput(
        f"tokens: expected {len(ids)} words, one for each token, or {len(inner)} without padding; got {len(names)}"
    )


def _remarkable(words: list[Word]) -> list[Word]:
    """A long text without the stretches where no word counts much; each stretch is one word that says how long it was."""
    if len(words) <= LONG:
        return words
    order = np.argsort([-abs(word.value) for word in words], kind="stable")[:REMARKABLE]
    near = {int(i) + shift for i in order for shift in range(-CONTEXT, CONTEXT + 1)}
    shown: list[Word] = []
    for inside, run in itertools.groupby(range(len(words)), near.__contains__):
        stretch = [words[i] for i in run]
        if inside or len(stretch) == 1:
            shown += stretch
        else:
            total = sum(word.value for word in stretch)
            shown.append(Word(f"⋯ {len(stretch)} words ⋯", stretch[0].place, total, len(stretch)))
    return shown


def _written(words: Sequence[Word], reading: Reading, width: float) -> tuple[list[Mark], float]:
    """The words in lines no wider than the picture, and where the last one ends."""
    marks: list[Mark] = []
    x, y = 0.0, 42.0
    strongest = max((abs(w.value) for w in words if not w.left_out), default=0.0) or 1.0
    for word in words:
        text = shorten(word.text, width - 12, SIZE)
        label = _label(word, reading, strongest)
        room = max(text_width(text, SIZE) + 10, text_width(label, 11) + 4)
        if x and x + room > width:
            x, y = 0.0, y + STEP
        share = 0.0 if word.left_out else abs(word.value) / strongest
        colour, middle = reading.colour(word.value), x + room / 2
        marks.append(Box(x, y - 16, room, 23, colour, round(STRONGEST * share, 3), 4, f"{text}: {figure(word.value)}"))
        look = ("muted", SMALL) if word.left_out else ("ink", SIZE)
        marks.append(Text(middle, y, text, *look, anchor="middle"))
        marks += [Text(middle, y + 19, label, colour, 11, "middle")] if label else []
        x += room + 4
    return marks, y + 36


def _label(word: Word, reading: Reading, strongest: float) -> str:
    if word.left_out or abs(word.value) < LABELLED * strongest:
        return ""
    return ("+" if word.value > 0 and reading.signed else "") + figure(word.value)
