"""Objectives that know of groups: the worst group counts, or what holds in every environment."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from pellucid.core import options
from pellucid.core.dataset import Dataset
from pellucid.errors import InvalidInput
from pellucid.improve.base import Batch, Seen, StepRemedy
from pellucid.improve.step import Step, keeping
from pellucid.shapes import Array, Tensor


class Grouped(StepRemedy):
    """A remedy that knows which group each training example is of."""

    @property
    @abstractmethod
    def _given(self) -> Any:
        """The groups that were given as an option; None: those of the data."""

    def numbered(self, train: Dataset) -> tuple[Array, int]:
        """A number (B,) from 0 for the group of each training example, and how many groups there are.

        Raises:
            InvalidInput: No groups, groups of other data, or only one.
        """
        name, given = type(self).__name__, self._given if self._given is not None else train.groups
        if given is None:
            raise InvalidInput(
                f"{name} needs the group of each training example: give it, or train=pl.Dataset(..., groups=...)"
            )
        given = np.asarray(given)
        if given.shape != (len(train),):
            raise InvalidInput(
                f"{name}: expected a group for each of {len(train)} training examples, got {given.shape}"
            )
        names, numbers = np.unique(given, return_inverse=True)
        if len(names) < 2:
            raise InvalidInput(f"{name} compares groups, and all training examples are of {names[0]!r}")
        return numbers.astype(np.int32), len(names)

    def beside(self, train: Dataset) -> dict[str, Array]:
        """The number of each example's group, as a row of zeros and a one (B, G)."""
        numbers, count = self.numbered(train)
        return {"group": np.eye(count, dtype=np.float32)[numbers]}

    def means(self, losses: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """The mean loss (G,) of each group in a batch, 0 for one that is not in it, and whether it is (G,)."""
        from keras import ops

        group = batch.beside[self.slot]["group"]
        weight = group if batch.weight is None else group * batch.weight[:, None]
        total = ops.sum(weight, axis=0)
        return ops.sum(weight * losses[:, None], axis=0) / ops.maximum(total, 1e-12), ops.cast(total > 0, losses.dtype)


@dataclass(frozen=True, eq=False)
class GroupDro(Grouped):
    """Trains for the worst group: groups that lose more count more, and the more the longer they do.

    Is the worst group's loss smaller, and what does the mean pay for it?

        loss = sum over groups g of q_g L_g;   each step  q_g <- q_g exp(rate * (L_g + C / sqrt(n_g))),  sum of q = 1

    L_g is the mean loss of a group's examples in the batch, n_g its training examples.

    Args:
        groups: The group of each training example (B,), numbers or words; None for the `groups` of the data.
        rate: How fast the weights of groups move, above 0.
        adjustment: C, at least 0: how much more small groups count, since they generalize worse.

    Raises:
        InvalidOption: A `rate` that is not positive or a negative `adjustment`.
        InvalidInput: While training: no groups, or groups of other data.

    Example:
        >>> import pellucid as pl
        >>> pl.GroupDro(["a", "b", "a"], rate=0.1).rate
        0.1

    References:
        Sagawa, Koh, Hashimoto and Liang 2020, arXiv:1911.08731.

    Limits:
        It needs strong regularization (small weights, early stopping): a model that fits every training example has no worst
        group there. Batches should hold some of each group. What is unknown as a group is not protected.
    """

    slot = "group_dro"
    groups: Any = None
    rate: float = 0.01
    adjustment: float = 0.0

    def __post_init__(self) -> None:
        options.positive(self, "rate")
        options.not_negative(self, "adjustment")

    @property
    def _given(self) -> Any:
        return self.groups

    def attach(self, step: Step, train: Dataset, seed: int) -> Any:
        """The weight of each group, and what is added to its loss."""
        numbers, count = self.numbered(train)
        extra = self.adjustment / np.sqrt(np.bincount(numbers, minlength=count))
        return keeping(share=np.full(count, 1 / count, np.float32), extra=extra.astype(np.float32))

    def combine(self, losses: Tensor, batch: Batch, seen: Seen, step: Step, held: Any) -> Tensor:
        """The losses of groups by their weights, which move on."""
        from keras import ops

        each, present = self.means(losses, batch)
        worse = held.share * ops.exp(self.rate * ops.stop_gradient(each + held.extra) * present)
        share = worse / ops.sum(worse)
        held.share.assign(share)
        return ops.sum(share * each)


KINDS = ("irm", "vrex")


@dataclass(frozen=True, eq=False)
class InvariantRisk(Grouped):
    """Trains for what holds in every environment: the same last step should be best in all, or all should lose alike.

    Does the model rest on causes that hold in each environment, or on what helps in most?

        loss = mean over e of L_e(f) + strength * mean over e of |d/dw L_e(w f) at w = 1|^2         (IRMv1)
        loss = mean over e of L_e(f) + strength * variance over e of L_e(f)                         (V-REx)

    f are the scores of the model (logits). For the first `warm_up` steps the strength is at most 1: from then on it is a price
    on what has been learnt. The loss is as large as the strength makes it: the steps of Adam and its kind hardly depend on
    that, plain gradient descent wants a learning rate so many times smaller.

    Args:
        environments: The environment of each training example (B,); None for the `groups` of the data.
        strength: The factor, at least 0; 10 to 10,000 is usual.
        kind: "irm" or "vrex".
        warm_up: Steps before the penalty has its strength, at least 0.

    Raises:
        InvalidOption: A negative `strength` or `warm_up`, or another `kind`.
        InvalidInput: While training: no environments, or those of other data.

    Example:
        >>> import pellucid as pl
        >>> pl.InvariantRisk(["hungary", "zurich"], strength=100, kind="vrex").kind
        'vrex'

    References:
        Arjovsky, Bottou, Gulrajani and Lopez-Paz 2019, arXiv:1907.02893; Krueger et al. 2021, arXiv:2003.00688; Gulrajani and
        Lopez-Paz 2021, arXiv:2007.01434 (that how one selects decides what comes out).

    Limits:
        Selected by validation data of the training environments, it is hardly ever better than plain training; its gains are
        seen where strength is chosen by data of the new environment. It needs large batches, of which each holds many examples
        of each environment. Two environments with noise of the same kind cannot tell a cause from a companion.
    """

    slot = "invariance"
    environments: Any = None
    strength: float = 100.0
    kind: str = "irm"
    warm_up: int = 0

    def __post_init__(self) -> None:
        options.not_negative(self, "strength")
        options.one_of(self, "kind", KINDS)
        options.whole(self, "warm_up", 0)

    @property
    def _given(self) -> Any:
        return self.environments

    def attach(self, step: Step, train: Dataset, seed: int) -> Any:
        """The number of steps so far."""
        return keeping(steps=np.zeros((), np.float32))

    def combine(self, losses: Tensor, batch: Batch, seen: Seen, step: Step, held: Any) -> Tensor:
        """The mean loss of environments and the penalty on how they differ."""
        from keras import ops

        each, present = self.means(losses, batch)
        count = ops.maximum(ops.sum(present), 1.0)
        mean = ops.sum(each) / count
        if self.kind == "vrex":
            price = ops.sum(present * ops.square(each - mean)) / count
        else:
            price = ops.sum(ops.square(self._slopes(batch, seen, step))) / count
        strength = ops.where(held.steps < self.warm_up, min(1.0, self.strength), self.strength)
        held.steps.assign(held.steps + 1)
        return mean + strength * price

    def _slopes(self, batch: Batch, seen: Seen, step: Step) -> Tensor:
        """How the loss (G,) of each environment changes with a factor on its scores."""
        from keras import ops

        group = batch.beside[self.slot]["group"]

        def scaled(factors: Tensor) -> tuple[Tensor, None]:
            losses = step.losses(batch.y, step.rows.scaled(seen.outputs, ops.sum(group * factors, axis=1)))
            return ops.sum(self.means(losses, batch)[0]), None

        ones = ops.ones_like(group[0])
        return step.inside.backend.gradient(scaled, [ones], again=True)[1][0]


@dataclass(frozen=True, eq=False)
class Coral(Grouped):
    """A price on features whose covariance differs between domains, so that a new domain looks like the known ones.

    Do hospitals, cameras or months look alike to the last layer, and does it then do better on another?

        loss = data loss + strength * mean over pairs of domains of  |C_s - C_t|_F^2 / (4 D^2)

    C is the covariance (D, D) of a domain's features in the batch: of what goes into the last dense layer.

    Args:
        domains: The domain of each training example (B,); None for the `groups` of the data.
        strength: The factor, at least 0.

    Raises:
        InvalidOption: A negative strength.
        InvalidInput: While training: no domains, or those of other data.
        NotApplicable: While training: a model that does not end in a dense layer.

    Example:
        >>> import pellucid as pl
        >>> pl.Coral(["cleveland", "hungary"], strength=0.5).strength
        0.5

    References:
        Sun and Saenko 2016, arXiv:1607.01719.

    Limits:
        Where domains differ in their share of classes, alike features are wrong ones. Batches must hold several examples of
        each domain: one with fewer than two in a batch is left out of it.
    """

    slot = "coral"
    featured = True
    domains: Any = None
    strength: float = 1.0

    def __post_init__(self) -> None:
        options.not_negative(self, "strength")

    @property
    def _given(self) -> Any:
        return self.domains

    def term(self, batch: Batch, seen: Seen, step: Step) -> Tensor:
        """The distance between covariances."""
        from keras import ops

        group, h = batch.beside[self.slot]["group"], ops.cast(seen.features, "float32")
        covariances, enough = [], []
        for g in range(group.shape[1]):
            weight, count = group[:, g : g + 1], ops.sum(group[:, g])
            centred = weight * (h - ops.sum(weight * h, axis=0) / ops.maximum(count, 1.0))
            covariances.append(ops.matmul(ops.transpose(centred), centred) / ops.maximum(count - 1, 1.0))
            enough.append(ops.cast(count > 1, h.dtype))
        pairs = list(combinations(range(len(enough)), 2))
        both = [enough[a] * enough[b] for a, b in pairs]
        far = [ops.sum(ops.square(covariances[a] - covariances[b])) * w for (a, b), w in zip(pairs, both, strict=True)]
        return self.strength * sum(far[1:], far[0]) / (4 * h.shape[1] ** 2 * ops.maximum(sum(both[1:], both[0]), 1.0))
