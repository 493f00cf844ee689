"""Texts said a little otherwise: words lost, exchanged, mistyped, or said by another word.

A text is a row of token numbers (B, T), padded with token 0; it stays one: words that are lost leave padding on the side on
which the text has it.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np

from pellucid.core import options
from pellucid.core.dataset import Dataset
from pellucid.core.randomness import stream
from pellucid.core.vocabulary import special, unknown
from pellucid.data.corruptions.text import key_beside, slip
from pellucid.errors import InvalidOption, NotApplicable
from pellucid.improve.augmentation.base import MARKS, Augmentation
from pellucid.improve.augmentation.places import pairs
from pellucid.shapes import Array, Tensor

SLIPS = 8
"""Ways in which each word may be mistyped, drawn once and for all."""


class TextAugmentation(Augmentation):
    """A change of token numbers."""

    rate: float
    spared: Sequence[int]

    kinds = ("text",)
    axes = (2, 2)
    against = MARKS

    def __post_init__(self) -> None:
        options.fraction(self, "rate")
        if not isinstance(self.spared, Sequence) or not all(isinstance(t, Integral) and t >= 0 for t in self.spared):
            raise InvalidOption(
                f"{type(self).__name__}.spared: expected token numbers, such as (1, 2), got {self.spared!r}"
            )
        object.__setattr__(self, "spared", tuple(self.spared))

    def known(self, train: Dataset) -> dict[str, Array]:
        """On which side texts are padded that are not: in front where more texts of the training data begin with padding."""
        x = np.asarray(train.x)
        return {"front": np.array((x[:, 0] == 0).sum() > (x[:, -1] == 0).sum())}

    def changed(self, x: Tensor, draws: Any) -> Tensor:
        """See `Augmentation.changed`."""
        from keras import ops

        tokens = ops.cast(x, "int32")
        ready = tokens > 0
        for token in self.spared:
            ready = ready & (tokens != token)
        return ops.cast(self.rewritten(tokens, ready, draws), x.dtype)

    @abstractmethod
    def rewritten(self, tokens: Tensor, ready: Tensor, draws: Any) -> Tensor:
        """Other tokens (B, T); only those that are `ready` may be touched."""

    def vocabulary(self, train: Dataset) -> tuple[str, ...]:
        """The words of the tokens.

        Raises:
            NotApplicable: They are not known.
        """
        if train.vocabulary is None:
            raise NotApplicable(
                f"{type(self).__name__} changes words, and those of the tokens are not known; give pl.Dataset(vocabulary=...)"
            )
        return tuple(train.vocabulary)


def closed(tokens: Tensor, before: Tensor, front: Tensor) -> Tensor:
    """The tokens in order without gaps; padding on the side on which the text had it `before`, or else as the data have it."""
    from keras import ops

    length = tokens.shape[1]
    at = ops.arange(length, dtype="int32")[None]
    leads = (before[:, :1] == 0) | (front & (before[:, -1:] > 0))
    aside = ops.where(leads, at - length, at + length)
    return ops.take_along_axis(tokens, ops.argsort(ops.where(tokens > 0, at, aside), axis=1), axis=1)


def lost(tokens: Tensor, ready: Tensor, rate: float, draws: Any) -> Tensor:
    """Which tokens are lost: each with a probability, but a text never loses all of them."""
    from keras import ops

    drawn = ops.where(ready, draws.uniform(*ops.shape(tokens)), 2.0)
    last = ops.max(ops.where(tokens > 0, drawn, -1.0), axis=1, keepdims=True)
    return (drawn < rate) & (drawn < last)


@dataclass(frozen=True, eq=False)
class TokenDeletion(TextAugmentation):
    """Loses words by chance.

    Would the answer be the same if some words had not been said?

        every token is lost with probability `rate`; the others move together, and padding fills the side it is on

    Args:
        rate: The probability, between 0 and 1; of a text that would lose all tokens one stays.
        spared: Numbers of tokens that are never touched: of the class token, of separators.

    Raises:
        InvalidOption: A rate that is not between 0 and 1, or something else than token numbers.
        NotApplicable: While training, other data than token numbers (B, T).

    Example:
        >>> import pellucid as pl
        >>> pl.TokenDeletion(0.1, spared=(1, 2)).spared
        (1, 2)

    References:
        Wei and Zou 2019, "EDA: easy data augmentation techniques for boosting performance on text classification tasks",
        arXiv:1901.11196.

    Limits:
        A "not" may be lost, and with it the label.
    """

    slot = "token_deletion"
    rate: float = 0.1
    spared: Sequence[int] = ()

    def rewritten(self, tokens: Tensor, ready: Tensor, draws: Any) -> Tensor:
        """See `TextAugmentation.rewritten`."""
        from keras import ops

        return closed(ops.where(lost(tokens, ready, self.rate, draws), 0, tokens), tokens, draws["front"])


@dataclass(frozen=True, eq=False)
class TokenSwap(TextAugmentation):
    """Exchanges words of a text in pairs.

    Would the answer be the same if the order of the words were a little other?

        the tokens of a text are paired at random; the two of a pair change places with probability `rate`

    Args:
        rate: The probability, between 0 and 1: that share of the tokens moves (of an odd number one has no pair).
        spared: Numbers of tokens that are never touched: of the class token, of separators.

    Raises:
        InvalidOption: A rate that is not between 0 and 1, or something else than token numbers.
        NotApplicable: While training, other data than token numbers (B, T).

    Example:
        >>> import pellucid as pl
        >>> pl.TokenSwap(0.1).rate
        0.1

    References:
        Wei and Zou 2019, "EDA: easy data augmentation techniques for boosting performance on text classification tasks",
        arXiv:1901.11196 (which draws pairs with replacement).

    Limits:
        Who did what to whom is lost. Where only the words count and not their order, nothing is gained.
    """

    slot = "token_swap"
    rate: float = 0.1
    spared: Sequence[int] = ()

    def rewritten(self, tokens: Tensor, ready: Tensor, draws: Any) -> Tensor:
        """See `TextAugmentation.rewritten`."""
        from keras import ops

        shape = ops.shape(tokens)
        return ops.take_along_axis(tokens, pairs(draws.uniform(*shape), ready, draws.chance(self.rate, *shape)), axis=1)


@dataclass(frozen=True, eq=False)
class Typos(TextAugmentation):
    """Mistypes words, or characters where these are the tokens.

    Would the answer be the same if the text had slips of the finger in it?

        every word of two letters or more is mistyped with probability `rate`: two letters exchanged, one lost, one twice, or the
        key beside it; it becomes the token of what is written then, or the unknown token, or is lost where there is none

    Where all words of the vocabulary but special ones are single characters, a character is exchanged with the next one, lost, or
    the key beside it, each equally likely.

    Args:
        rate: The probability, between 0 and 1.
        spared: Numbers of tokens that are never touched: of the class token, of separators.

    Raises:
        InvalidOption: A rate that is not between 0 and 1, or something else than token numbers.
        NotApplicable: While training, other data than token numbers (B, T), or without `Dataset.vocabulary`.

    Example:
        >>> import pellucid as pl
        >>> pl.Typos(0.05).rate
        0.05

    References:
        Belinkov and Bisk 2018, "Synthetic and natural noise both break neural machine translation", arXiv:1711.02173.

    Limits:
        Most mistyped words are in no vocabulary of words, so that this is mostly the unknown token put in by chance. The keys are
        those of an English keyboard. Eight ways to mistype each word are drawn once and for all. Of characters that would be
        exchanged with the next one in a row only the first is.
    """

    slot = "typos"
    rate: float = 0.1
    spared: Sequence[int] = ()

    def known(self, train: Dataset) -> dict[str, Array]:
        """And what each token becomes (V, N)."""
        words = self.vocabulary(train)
        ways, kinds = (beside(words), 3) if characters(words) else (mistyped(words), 1)
        return {**super().known(train), "ways": ways, "kinds": np.zeros(kinds)}

    def rewritten(self, tokens: Tensor, ready: Tensor, draws: Any) -> Tensor:
        """See `TextAugmentation.rewritten`."""
        from keras import ops

        shape, ways = ops.shape(tokens), draws["ways"]
        kinds = draws["kinds"].shape[0]  # a word is written otherwise; a character may be lost or move as well
        hit, kind = draws.chance(self.rate, *shape) & ready, draws.whole(kinds, *shape)
        new = ops.take(ops.reshape(ways, (-1,)), tokens * ways.shape[1] + draws.whole(ways.shape[1], *shape))
        found = ops.where(hit & (kind == 0), new, ops.where(hit & (kind == 1), 0, tokens))
        found = ops.where(ops.any(found > 0, axis=1, keepdims=True), found, tokens)  # no text loses all of its words
        return closed(ops.take_along_axis(found, exchanged(hit & (kind == 2), ready), axis=1), tokens, draws["front"])


def exchanged(hit: Tensor, ready: Tensor) -> Tensor:
    """Where each place (B, T) takes its token from, when those that are hit change places with the next; of some in a row the
    first does."""
    from keras import ops

    none = ops.zeros_like(hit[:, :1])
    hit = hit & ops.concatenate([ready[:, 1:], none], axis=1)
    hit = hit & ops.logical_not(ops.concatenate([none, hit[:, :-1]], axis=1))
    after = ops.concatenate([none, hit[:, :-1]], axis=1)
    return ops.arange(hit.shape[1], dtype="int32")[None] + ops.cast(hit, "int32") - ops.cast(after, "int32")


def characters(words: Sequence[str]) -> bool:
    """Whether all words but special ones are single characters."""
    others = set(special(words))
    plain = [word for i, word in enumerate(words) if i not in others]
    return bool(plain) and all(len(word) == 1 for word in plain)


def mistyped(words: Sequence[str], seed: int = 0) -> Array:
    """The token (V, N) of each word after a slip of the finger; its own where nothing can go wrong in it."""
    numbers = {word: i for i, word in reversed(list(enumerate(words)))}
    instead = unknown(words) or 0
    draw = stream(seed, "typos")

    def token(number: int, word: str) -> int:
        tries = (slip(word, draw) for _ in range(SLIPS))
        new = next((text for text in tries if text != word), word)
        return number if new == word else numbers.get(new, instead)

    fixed = set(special(words))
    return np.array([[i if i in fixed else token(i, w) for _ in range(SLIPS)] for i, w in enumerate(words)], np.int32)


def _are_words(given: Any) -> bool:
    return isinstance(given, Sequence) and not isinstance(given, str) and all(isinstance(word, str) for word in given)


def beside(words: Sequence[str]) -> Array:
    """The token (V, 1) of the key beside each character; its own where the vocabulary has none."""
    numbers = {word: i for i, word in reversed(list(enumerate(words)))}
    return np.array([[numbers.get(key_beside(w), i) if len(w) == 1 else i] for i, w in enumerate(words)], np.int32)


@dataclass(frozen=True, eq=False)
class Synonyms(TextAugmentation):
    """Says words by other words for the same, from a list of yours.

    Would the answer be the same if the same were said otherwise?

        every token that has synonyms becomes one of them, each equally likely, with probability `rate`

    Args:
        words: Words to words that mean the same: {"film": ["movie", "picture"]}; what does is for you to say. Words that the
            vocabulary does not hold are passed over.
        rate: The probability, between 0 and 1.
        spared: Numbers of tokens that are never touched: of the class token, of separators.

    Raises:
        InvalidOption: No such list, a rate that is not between 0 and 1, or something else than token numbers.
        NotApplicable: While training, other data than token numbers (B, T), without `Dataset.vocabulary`, or where no word of the
            vocabulary has a synonym in it.

    Example:
        >>> import pellucid as pl
        >>> pl.Synonyms({"film": ["movie"]}, rate=0.2).rate
        0.2

    References:
        Zhang, Zhao and LeCun 2015, "Character-level convolutional networks for text classification", arXiv:1509.01626; Wei and
        Zou 2019, arXiv:1901.11196.

    Limits:
        Words seldom mean the same everywhere ("fine" weather, a "fine" for parking). Only single words are exchanged.
    """

    slot = "synonyms"
    words: Mapping[str, Sequence[str]]
    rate: float = 0.1
    spared: Sequence[int] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        listed = isinstance(self.words, Mapping) and self.words
        if not listed or not all(map(_are_words, self.words.values())):
            told = 'words to lists of words, such as {"film": ["movie"]}'
            raise InvalidOption(f"Synonyms.words: expected {told}, got {self.words!r}")

    def known(self, train: Dataset) -> dict[str, Array]:
        """And the tokens (V, N) that each may become, and how many they are (V,); its own where there are none."""
        words = self.vocabulary(train)
        numbers = {word: i for i, word in reversed(list(enumerate(words)))}
        found = [[numbers[w] for w in self.words.get(word, ()) if w in numbers] or [i] for i, word in enumerate(words)]
        if all(row == [i] for i, row in enumerate(found)):
            raise NotApplicable(
                "Synonyms: no word of the vocabulary has a synonym in it; look at capitals and at the list"
            )
        counts = np.array([len(row) for row in found], np.int32)
        table = [row + [0] * (counts.max() - len(row)) for row in found]
        return {**super().known(train), "ways": np.array(table, np.int32), "counts": counts}

    def rewritten(self, tokens: Tensor, ready: Tensor, draws: Any) -> Tensor:
        """See `TextAugmentation.rewritten`."""
        from keras import ops

        shape, ways = ops.shape(tokens), draws["ways"]
        choice = draws.whole(ops.take(draws["counts"], tokens), *shape)
        new = ops.take(ops.reshape(ways, (-1,)), tokens * ways.shape[1] + choice)
        return ops.where(draws.chance(self.rate, *shape) & ready, new, tokens)
