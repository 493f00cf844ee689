"""Which words of a vocabulary are none of a text: padding, the unknown word, and marks such as [CLS]."""

from __future__ import annotations

from collections.abc import Sequence

UNKNOWN = ("[unk]", "<unk>", "unk", "[oov]", "<oov>", "oov", "<unknown>", "[unknown]")
"""What vocabularies call a word that they do not hold, in lower case."""

MASK = ("[mask]", "<mask>")
"""What vocabularies call a word that a model was trained to do without, in lower case."""


def unknown(words: Sequence[str]) -> int | None:
    """The token of a word that the vocabulary does not hold; None where there is none."""
    return _first(words, UNKNOWN)


def blank(words: Sequence[str]) -> int | None:
    """The token that says nothing in a word's place: that of a mask, else the unknown word; None where there is neither."""
    mask = _first(words, MASK)
    return unknown(words) if mask is None else mask


def special(words: Sequence[str]) -> tuple[int, ...]:
    """The tokens that stand for no word: padding, the unknown word and all in brackets."""
    return tuple(
        i for i, word in enumerate(words) if i == 0 or word.lower() in UNKNOWN or word[:1] + word[-1:] in ("<>", "[]")
    )


def _first(words: Sequence[str], names: Sequence[str]) -> int | None:
    return next((i for i, word in enumerate(words) if word.lower() in names), None)
