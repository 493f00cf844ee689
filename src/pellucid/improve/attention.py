"""Prices on attention while training: weights that people would give, or few that are large."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np

from pellucid.core import options
from pellucid.core.dataset import Dataset
from pellucid.errors import InvalidInput, InvalidOption
from pellucid.improve.base import Batch, Seen, StepRemedy
from pellucid.improve.step import Step
from pellucid.shapes import Array, Tensor

SMALL = 1e-8
"""Added to a weight before its logarithm is taken, so that a weight of exactly zero has a price, and a finite one."""


@dataclass(frozen=True, eq=False)
class AttentionRemedy(StepRemedy):
    """A price on what a model attends to, added to its loss while it trains."""

    attends = True

    def term(self, batch: Batch, seen: Seen, step: Step) -> Tensor:
        """See `StepRemedy.term`."""
        return self.price(seen.attention, batch.beside[self.slot].get("marks"))

    @abstractmethod
    def price(self, weights: Mapping[str, Tensor], marks: Tensor | None) -> Tensor:
        """The price (B,) of attention weights (B, H, Q, K), by the name of their layer in the order they run."""

    def chosen(self, weights: Mapping[str, Tensor], layer: str | None) -> Tensor:
        """The weights of a layer; None: of the last one with a single query, which pools, or else the last.

        Raises:
            InvalidOption: There is no attention of that name.
        """
        if layer is not None:
            if layer not in weights:
                raise InvalidOption(
                    f"{type(self).__name__}.layer: expected the name of an attention ({', '.join(weights)}), got {layer!r}"
                )
            return weights[layer]
        found = list(weights.values())
        return next((w for w in reversed(found) if w.shape[2] == 1), found[-1])


@dataclass(frozen=True, eq=False)
class AttentionSupervision(AttentionRemedy):
    """Teaches a model to attend to what people marked as their reason.

    Does the model then look where people look, and at what price in accuracy?

        loss = data loss + strength * mean over examples of  - sum over k of p_k log a_k

    a_k is the attention to position k, averaged over heads and queries (or one query); p_k is 1 / m on the m marked
    positions of an example and 0 elsewhere. Examples without a mark have no price.

    Args:
        rationales: What people marked (B, T): 0 or 1, or any weights of at least 0, for each training example, in their order.
        strength: The factor, at least 0; 0.1 to 1 is usual.
        layer: The name of the attention; None for the last with a single query, which pools, or else the last.
        query: The position whose attention is meant: 0 for a class token in front; None for the mean over all.

    Raises:
        InvalidOption: A negative strength, rationales that are no numbers of at least 0, or a layer without attention.
        InvalidInput: While training: rationales for another number of examples or positions.

    Example:
        >>> import numpy as np, pellucid as pl
        >>> pl.AttentionSupervision(np.array([[0, 1, 0], [1, 1, 0]]), strength=0.5).strength
        0.5

    References:
        Strout, Zhang and Mooney 2019, "Do human rationales improve machine explanations?", arXiv:1905.13714; Zhong, Shao and
        McKeown 2019, "Fine-grained sentiment analysis with faithful attention", arXiv:1908.06870.

    Limits:
        A model that attends where people look need not decide by what it finds there: check with `AttentionFaithfulness`.
        Keys after the first layer hold what other positions have told them. Of a model that puts a class token in front, marks
        are moved by one.
    """

    slot = "attention_supervision"
    rationales: Any = None
    strength: float = 0.5
    layer: str | None = None
    query: int | None = None

    def __post_init__(self) -> None:
        options.not_negative(self, "strength")
        marks = np.asarray(self.rationales)
        if marks.ndim != 2 or marks.dtype.kind not in "biuf" or not np.isfinite(marks).all() or (marks < 0).any():
            raise InvalidOption(
                f"AttentionSupervision.rationales: expected marks of at least 0, of shape (B, T), got {marks.dtype} {marks.shape}"
            )

    def beside(self, train: Dataset) -> dict[str, Array]:
        """Marks (B, T) that add up to one, or to nothing."""
        marks = np.asarray(self.rationales, np.float32)
        if len(marks) != len(train):
            raise InvalidInput(
                f"AttentionSupervision.rationales: expected a row for each of {len(train)} training examples, got {len(marks)}"
            )
        total = marks.sum(1, keepdims=True)
        return {"marks": np.divide(marks, total, out=np.zeros_like(marks), where=total > 0)}

    def price(self, weights: Mapping[str, Tensor], marks: Tensor | None) -> Tensor:
        """See `AttentionRemedy.price`."""
        from keras import ops

        rows = ops.mean(self.chosen(weights, self.layer), axis=1)
        attended = ops.mean(rows, axis=1) if self.query is None else rows[:, self.query]
        front = attended.shape[-1] - marks.shape[-1]  # type: ignore[union-attr]
        if front not in (0, 1):
            raise InvalidInput(
                f"AttentionSupervision.rationales: expected marks for the {attended.shape[-1]} positions of the attention, "
                f"without a class token in front, got {marks.shape[-1]}"  # type: ignore[union-attr]
            )
        return -self.strength * ops.sum(marks * ops.log(attended[:, front:] + SMALL), axis=1)


@dataclass(frozen=True, eq=False)
class AttentionEntropy(AttentionRemedy):
    """A price on attention that is spread out: the model has to choose what it looks at.

    Does the model do as well with attention on few positions, which people can read?

        loss = data loss + strength * mean over examples, heads and queries of  H(a) = - sum over k of a_k log a_k   (nats)

    Args:
        strength: The factor; below 0 it is the other way round, and attention is kept from resting on few positions.
        layer: The name of an attention; None for the mean over all of them.

    Raises:
        InvalidOption: A strength that is no finite number, or a layer without attention.

    Example:
        >>> import pellucid as pl
        >>> pl.AttentionEntropy(0.05)
        AttentionEntropy(strength=0.05, layer=None)

    References:
        The entropy of attention as a term of the loss (below 0, against unintended bias): Attanasio, Nozza, Hovy and Baralis
        2022, arXiv:2203.09192; minimal entropy as a principle: Grandvalet and Bengio 2005, "Semi-supervised learning by entropy
        minimization".

    Limits:
        Sharp attention is easier to read and not more faithful: check with `AttentionFaithfulness`. Too high a price makes the
        model look at one position and learn nothing from the others.
    """

    slot = "attention_entropy"
    strength: float = 0.01
    layer: str | None = None

    def __post_init__(self) -> None:
        if isinstance(self.strength, bool) or not isinstance(self.strength, Real) or not np.isfinite(self.strength):
            raise InvalidOption(f"AttentionEntropy.strength: expected a finite number, got {self.strength!r}")

    def price(self, weights: Mapping[str, Tensor], marks: Tensor | None) -> Tensor:
        """See `AttentionRemedy.price`."""
        from keras import ops

        read = list(weights.values()) if self.layer is None else [self.chosen(weights, self.layer)]
        each = [ops.mean(-ops.sum(w * ops.log(w + SMALL), axis=-1), axis=(1, 2)) for w in read]
        return self.strength * sum(each[1:], each[0]) / len(each)
