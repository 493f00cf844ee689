"""Examples mixed from two, and their labels with them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from pellucid.core import options
from pellucid.core.dataset import Dataset
from pellucid.errors import NotApplicable
from pellucid.improve.augmentation.base import MARKS, Augmentation, by_row, real, typed
from pellucid.improve.augmentation.places import box
from pellucid.improve.base import Batch
from pellucid.improve.step import Step
from pellucid.shapes import Array, Tensor

_TWO = {
    **MARKS,
    **dict.fromkeys(("group_dro", "invariance", "coral"), "a mixed example would be of two groups"),
    "distill": "the teacher has not been asked about mixed examples",
}

POINTS = 4097
"""Points of the quantile function of the beta distribution, between which it is taken to be linear."""


@dataclass(frozen=True, eq=False)
class Mixing(Augmentation):
    """Every example of a batch mixed with another one of it, labels in the same share."""

    slot = "mixing"
    rank = 5
    soft = True
    against = _TWO
    kinds = ("tabular", "image", "sequence", "audio", "video")
    alpha: float = 0.2

    def __post_init__(self) -> None:
        options.positive(self, "alpha")

    def attach(self, step: Step | None, train: Dataset, seed: int) -> Any:
        """See `Augmentation.attach`.

        Raises:
            NotApplicable: Also a loss of class numbers that is no cross-entropy.
        """
        many = train.task == "classification" and train.y is not None and train.y.max() > 1
        if step is not None and step.rows.kind == "other" and many:
            raise NotApplicable(
                f"{type(self).__name__} mixes labels, and the loss {step.rows.name!r} takes class numbers, between which there "
                "is nothing; compile with a cross-entropy"
            )
        return super().attach(step, train, seed)

    def known(self, train: Dataset) -> dict[str, Array]:
        """The quantiles of the share: drawing from a beta distribution directly compiles on two of three backends."""
        from scipy.special import betaincinv

        return {"share": betaincinv(self.alpha, self.alpha, np.linspace(0, 1, POINTS)).astype(np.float32)}

    def share(self, draws: Any, *shape: Any) -> Tensor:
        """Numbers of the beta distribution."""
        from keras import ops

        at = draws.uniform(*shape) * (POINTS - 1)
        low = ops.minimum(ops.floor(at), POINTS - 2)
        first, after = (ops.take(draws["share"], ops.cast(low + i, "int32"), axis=0) for i in (0, 1))
        return first + (at - low) * (after - first)

    def partners(self, batch: Batch, draws: Any) -> Tensor:
        """The number (B,) of the example that each is mixed with: a random order."""
        from keras import ops

        return ops.argsort(draws.uniform(batch.size))

    def notes(self, model: Any, train: Dataset, validation: Dataset | None) -> list[str]:
        """Nothing: labels are mixed, so there is nothing that could survive."""
        return []


def mixed_labels(batch: Batch, partner: Tensor, share: Tensor) -> tuple[Tensor, Tensor | None]:
    """Labels and weights of mixed examples: the loss of each is share * w_i * l(y_i) + (1 - share) * w_j * l(y_j).

    With weights that is the weight `share w_i + (1 - share) w_j` and labels mixed in the shares of its two parts.
    """
    from keras import ops

    y = ops.cast(batch.y, "float32")
    other, weight = ops.take(y, partner, axis=0), batch.weight
    if weight is not None:
        own = share * weight
        total = own + (1 - share) * ops.take(weight, partner, axis=0)
        share, weight = ops.where(total > 0, own / ops.maximum(total, 1e-12), share), total
    share = by_row(share, y)
    return share * y + (1 - share) * other, weight


@dataclass(frozen=True, eq=False)
class MixUp(Mixing):
    """Mixes every example with another one of its batch, and their labels in the same share.

    Would a model that is linear between examples hold better on new data, and be less sure of itself?

        x' = s x_i + (1 - s) x_j,   y' = s y_i + (1 - s) y_j,   s ~ Beta(alpha, alpha),   j a random order of the batch

    For tables, images, sequences, sounds and dicts of them; for classes, yes-or-no answers and quantities. Sample weights are
    mixed so that the loss is the sum of both weighted losses.

    Args:
        alpha: Above 0; 0.1 to 0.4 is usual. The larger, the more examples lie half-way.
        each: "batch": one share for all examples of a batch; "example": one for each.

    Raises:
        InvalidOption: An `alpha` that is not above 0, another `each`.
        NotApplicable: While training, on token numbers or other whole numbers but those of images; on a loss of class numbers
            that is no cross-entropy.

    Example:
        >>> import pellucid as pl
        >>> pl.MixUp(0.2)
        MixUp(alpha=0.2, each='batch')

    References:
        Zhang, Cisse, Dauphin and Lopez-Paz 2018, "mixup: beyond empirical risk minimization", arXiv:1710.09412.

    Limits:
        Half of one example and half of another need not be anything: encoded categories become fractions. Probabilities are often
        too low afterwards: see `CalibrationError`. Batches of one are left as they are.
    """

    each: str = "batch"

    def __post_init__(self) -> None:
        super().__post_init__()
        options.one_of(self, "each", ("batch", "example"))

    def check(self, train: Dataset) -> None:
        """Raise for numbers between which there is nothing."""
        several = isinstance(train.x, dict)
        for name, array in (train.x if several else {"x": train.x}).items():
            whole = array.dtype.kind != "f" and not (array.dtype.kind in "iu" and array.ndim >= 4)
            if whole or (train.kind == "text" and not several):
                told = "token" if train.kind == "text" else "whole"
                raise NotApplicable(
                    f"MixUp mixes real numbers, and {name} holds {told} numbers ({array.dtype}), between which there is nothing; "
                    "mix after an embedding, inside the model, or give what is no number of a thing as floats"
                )

    def change(self, batch: Batch, step: Step | None, held: Any) -> Batch:
        """See `StepRemedy.change`."""
        import keras
        from keras import ops

        partner = self.partners(batch, held)
        share = self.share(held, batch.size if self.each == "example" else 1) + ops.zeros((batch.size,))

        def mixed(x: Tensor) -> Tensor:
            own, part = real(x), by_row(share, x)
            return typed(part * own + (1 - part) * ops.take(own, partner, axis=0), x)

        y, weight = mixed_labels(batch, partner, share)
        return batch.with_(x=keras.tree.map_structure(mixed, batch.x), y=y, weight=weight)

    def changed(self, x: Tensor, draws: Any) -> Tensor:
        """Not by itself: labels are mixed too."""
        raise NotImplementedError


@dataclass(frozen=True, eq=False)
class CutMix(Mixing):
    """Puts a rectangle of another image of the batch into every image, and mixes labels by its share of the area.

    Would a model that looks at more than the one most telling part hold better on new data?

        x' = x_j inside the rectangle, x_i outside;   y' = s y_i + (1 - s) y_j,   s = 1 - area of the rectangle / (H W)

    Its sides are sqrt(1 - l) of those of the image, l ~ Beta(alpha, alpha), rounded to whole pixels; its middle is anywhere in
    the image, and what lies outside is cut off: s is found after that, so labels are mixed exactly as pixels are.

    Args:
        alpha: Above 0; 1, every share as likely as any other, is usual.

    Raises:
        InvalidOption: An `alpha` that is not above 0.
        NotApplicable: While training, other data than images (B, H, W, C); on a loss of class numbers that is no cross-entropy.

    Example:
        >>> import pellucid as pl
        >>> pl.CutMix()
        CutMix(alpha=1.0)

    References:
        Yun, Han, Oh, Chun, Choe and Yoo 2019, "CutMix: regularization strategy to train strong classifiers with localizable
        features", arXiv:1905.04899.

    Limits:
        The share of the area is not the share of the object: a rectangle of background changes the label all the same.
    """

    kinds = ("image",)
    axes = (4, 4)
    alpha: float = 1.0

    def change(self, batch: Batch, step: Step | None, held: Any) -> Batch:
        """See `StepRemedy.change`."""
        from keras import ops

        partner, own = self.partners(batch, held), real(batch.x)
        inside = self.rectangles(batch.size, own.shape[1:3], held)
        y, weight = mixed_labels(batch, partner, 1 - ops.mean(ops.cast(inside, "float32"), axis=(1, 2, 3)))
        return batch.with_(x=typed(ops.where(inside, ops.take(own, partner, axis=0), own), batch.x), y=y, weight=weight)

    def rectangles(self, count: Tensor, sides: tuple[int, int], draws: Any) -> Tensor:
        """One rectangle an image (B, H, W, 1), drawn."""
        from keras import ops

        length, ends = ops.sqrt(1 - self.share(draws, count)), []
        for side in sides:
            first = ops.round(draws.uniform(count) * side - length * side / 2)
            ends += [ops.maximum(first, 0.0), ops.minimum(first + ops.round(length * side), float(side))]
        return box(ends, sides)

    def changed(self, x: Tensor, draws: Any) -> Tensor:
        """Not by itself: labels are mixed too."""
        raise NotImplementedError
