"""What goes wrong with texts: slips of the finger, words lost or in the wrong order, other words for the same.

A text is a row of token numbers (B, T) with the words of a vocabulary, padded with token 0; or a string, of an array (B,).
A word that is changed is looked up again. Where the vocabulary does not hold it, it becomes the unknown token, and where
there is none it is lost, as it would be before the model. A text never gets longer than T, and never empty.

What changes the meaning is not in `TEXT`: see `negation`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from pellucid.core.vocabulary import UNKNOWN, unknown
from pellucid.data.corruptions.base import Corruption, Reference, level
from pellucid.errors import NotApplicable
from pellucid.shapes import Array

NEGATIONS = ("not", "no", "never", "cannot")

_KEYS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_SHARES = (0.05, 0.1, 0.2, 0.3, 0.5)

Words = list[Any]
Change = Callable[[Words, np.random.Generator], Words]


def typos(x: Array, severity: int, generator: np.random.Generator, reference: Reference) -> Array:
    """One slip in 5, 10, 20, 30 or 50 % of the words of two letters or more: two letters exchanged, one lost, one twice, or
    the key beside it."""
    return _each_word(x, level(severity, _SHARES), generator, reference, slip)


def case(x: Array, severity: int, generator: np.random.Generator, reference: Reference) -> Array:
    """5, 10, 20, 30 or 50 % of the words in capitals, or in small letters where they have capitals."""
    if reference.words and not any(word != word.lower() for word in reference.words if word.lower() not in UNKNOWN):
        raise NotApplicable("the vocabulary has no capitals: case is lost before the model, and cannot disturb it")
    turned = lambda word, draws: word.lower() if word != word.lower() else word.upper()  # noqa: E731
    return _each_word(x, level(severity, _SHARES), generator, reference, turned)


def deletion(x: Array, severity: int, generator: np.random.Generator, reference: Reference) -> Array:
    """5, 10, 20, 30 or 50 % of the words are lost; of a text that would lose all of them the first stays."""
    share = level(severity, _SHARES)
    return _each_text(x, generator, lambda words, draws: [
        word for word, lost in zip(words, draws.random(len(words)) < share) if not lost] or words[:1])  # fmt: skip


def word_swap(x: Array, severity: int, generator: np.random.Generator, reference: Reference) -> Array:
    """Of all pairs of neighbouring words 5, 10, 20, 30 or 50 % are exchanged, one after the other."""
    share = level(severity, _SHARES)

    def exchanged(words: Words, draws: np.random.Generator) -> Words:
        found = list(words)
        for i in np.flatnonzero(draws.random(max(0, len(words) - 1)) < share):
            found[i], found[i + 1] = found[i + 1], found[i]
        return found

    return _each_text(x, generator, exchanged)


def synonyms(mapping: Mapping[str, Sequence[str]]) -> Corruption:
    """A corruption: 10, 20, 40, 60 or 100 % of the words that have synonyms become one of them, drawn.

    Args:
        mapping: Words, in small letters, to words that mean the same; what does is for you to say.

    Example:
        >>> import numpy as np
        >>> from pellucid.data.corruptions import Reference, synonyms
        >>> swap = synonyms({"film": ["movie"]})
        >>> str(swap(np.array(["a fine film"]), 5, np.random.default_rng(0), Reference())[0])
        'a fine movie'
    """

    def other(word: str, draws: np.random.Generator) -> str:
        known = mapping.get(word.lower(), ())
        return str(known[int(draws.random() * len(known))]) if len(known) else word

    def changed(x: Array, severity: int, generator: np.random.Generator, reference: Reference) -> Array:
        return _each_word(x, level(severity, (0.1, 0.2, 0.4, 0.6, 1.0)), generator, reference, other)

    return changed


def negation(x: Array, severity: int, generator: np.random.Generator, reference: Reference) -> Array:
    """In 20, 40, 60, 80 or 100 % of the texts a "not" is taken out, or put in before the last word where there is none.

    This changes what a text says, so its label may no longer be right, and a good model answers otherwise than before. It is
    therefore in no list of corruptions, and no loss of accuracy should be read from it: compare the answers themselves. A
    model whose answers do not change is insensitive to negation, which is no robustness.
    """
    share = level(severity, (0.2, 0.4, 0.6, 0.8, 1.0))
    lookup = _lookup(reference.words)
    said = lambda word: str(reference.words[word] if reference.words else word).lower()  # noqa: E731

    def turned(words: Words, draws: np.random.Generator) -> Words:
        if draws.random() >= share:
            return words
        kept = [word for word in words if said(word) not in NEGATIONS]
        return kept if len(kept) < len(words) else [*words[:-1], *lookup("not"), *words[-1:]]

    return _each_text(x, generator, turned)


def slip(word: str, generator: np.random.Generator) -> str:
    """A word with one letter wrong; the same word where nothing could go wrong."""
    if len(word) < 2:
        return word
    kind, at = (int(n) for n in generator.random(2) * (4, len(word) - 1))
    if kind == 0:
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    if kind == 1:
        return word[: at + 1] + word[at + 2 :]
    if kind == 2:
        return word[: at + 1] + word[at:]
    return word[:at] + key_beside(word[at]) + word[at + 1 :]


def key_beside(letter: str) -> str:
    """The key to the right of a letter, or to its left at the end of a row; the same letter where there is none."""
    row = next((row for row in _KEYS if letter.lower() in row), "")
    place = row.find(letter.lower())
    return row[place + 1 if place + 1 < len(row) else place - 1] if row else letter


def _each_word(
    x: Array, share: float, generator: np.random.Generator, reference: Reference,
    change: Callable[[str, np.random.Generator], str],
) -> Array:  # fmt: skip
    """A share of the words, drawn, each changed and looked up again."""
    if _is_tokens(x) and not reference.words:
        raise NotApplicable("letters can only be changed where the words are known; give pl.Dataset(vocabulary=...)")
    lookup = _lookup(reference.words)

    def changed(words: Words, draws: np.random.Generator) -> Words:
        found: Words = []
        for word, hit in zip(words, draws.random(len(words)) < share):
            text = reference.words[word] if reference.words else word
            new = change(text, draws) if hit else text
            found += [word] if new == text else lookup(new)
        return found or words[:1]

    return _each_text(x, generator, changed)


def _lookup(words: Sequence[str]) -> Callable[[str], Words]:
    """Gives the token of a word, in a list that is empty where the vocabulary has none; the word itself without one."""
    if not words:
        return lambda word: [word]
    numbers = {word: i for i, word in reversed(list(enumerate(words)))}
    other = unknown(words)
    instead = [] if other is None else [other]
    return lambda word: [numbers[word]] if word in numbers else instead


def _each_text(x: Array, generator: np.random.Generator, change: Change) -> Array:
    """Every text changed by draws of its own; tokens stay on the side on which they are."""
    draws = generator.spawn(len(x))
    if not _is_tokens(x):
        found = [" ".join(change(str(text).split(), one)) for text, one in zip(x, draws, strict=True)]
        return np.array(found, dtype=object if x.dtype == object else None)
    result = x.copy()
    for row, one in zip(result, draws, strict=True):
        at = np.flatnonzero(row)
        if not len(at):
            continue
        new = change([int(token) for token in row[at]], one)[: len(row)]
        if len(new) != len(at):
            at = np.arange(len(row) - len(new), len(row)) if row[0] == 0 else np.arange(len(new))
        row[:] = 0
        row[at] = new
    return result


def _is_tokens(x: Array) -> bool:
    return x.dtype.kind in "iuf"


TEXT: dict[str, Corruption] = {"typos": typos, "case": case, "deletion": deletion, "swap": word_swap}
