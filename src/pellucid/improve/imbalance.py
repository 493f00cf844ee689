"""Objectives for classes that are rare or examples that are easy: what counts how much."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from pellucid.core import options
from pellucid.core.dataset import Dataset
from pellucid.errors import NotApplicable
from pellucid.improve.base import Batch, StepRemedy
from pellucid.improve.rows import Rows
from pellucid.improve.step import Step
from pellucid.shapes import Array, Tensor


@dataclass(frozen=True, eq=False)
class FocalLoss(StepRemedy):
    """Lets examples that are right and sure count less, so that the many easy ones do not drown the few hard ones.

    Does the model find more of a rare class, or is it better calibrated, when easy examples count less?

        loss of an example = - (1 - p_y)^gamma log p_y

    Args:
        gamma: How much less easy examples count, at least 0; 0 is the cross-entropy, 1 to 5 is usual.

    Raises:
        InvalidOption: A negative gamma.
        NotApplicable: While training: a model whose loss is no cross-entropy.

    Example:
        >>> import pellucid as pl
        >>> pl.FocalLoss(2).gamma
        2

    References:
        Lin, Goyal, Girshick, He and Dollár 2017, arXiv:1708.02002; Mukhoti et al. 2020, arXiv:2002.09437 (calibration).

    Limits:
        Probabilities are too modest rather than too sure: calibrate afterwards. Wrong labels are hard examples.
    """

    slot = "focal"
    gamma: float = 2.0

    def __post_init__(self) -> None:
        options.not_negative(self, "gamma")

    def attach(self, step: Step, train: Dataset, seed: int) -> Any:
        """Nothing; the place where the loss is looked at."""
        step.rows.need_classes(type(self).__name__)

    def rows(self, y: Tensor, outputs: Tensor, rows: Rows) -> Tensor:
        """The focal loss (B,)."""
        from keras import ops

        logs = rows.log_probabilities(outputs)
        easy = ops.power(
            ops.maximum(1 - ops.exp(logs), 1e-7), self.gamma
        )  # above 0, where a power below 1 has no slope
        return -ops.sum(rows.targets(y, outputs) * easy * logs, axis=1)


@dataclass(frozen=True, eq=False)
class ClassBalanced(StepRemedy):
    """Weighs classes by how many different examples they have, so that rare classes count as much as common ones.

    Does the model do better on rare classes, and what do the common ones pay?

        weight of class c  ~  (1 - beta) / (1 - beta^n_c),   with mean 1 over the classes

    Args:
        beta: How much a further example of a class adds, from 0 (all classes weigh the same) to below 1 (towards 1: the inverse
            of the number of examples); 0.9 to 0.9999 is usual.

    Raises:
        InvalidOption: A beta outside [0, 1).
        NotApplicable: While training: labels that are no classes.

    Example:
        >>> import pellucid as pl
        >>> pl.ClassBalanced(0.99).beta
        0.99

    References:
        Cui, Jia, Lin, Song and Belongie 2019, arXiv:1901.05555.

    Limits:
        Probabilities are those of a population with other shares of classes: calibrate on data with the true ones. What the
        compiled loss or `class_weight` says is multiplied with it.
    """

    slot = "class_weight"
    beta: float = 0.999

    def __post_init__(self) -> None:
        options.from_zero_below_one(self, "beta")

    def beside(self, train: Dataset) -> dict[str, Array]:
        """The weight (B,) of each example."""
        if train.task != "classification" or train.y is None:
            raise NotApplicable("ClassBalanced weighs classes, and the labels are values")
        classes, numbers, counts = np.unique(train.y, return_inverse=True, return_counts=True)
        weight = (1 - self.beta) / (1 - np.power(self.beta, counts.astype(float)))
        return {"weight": (weight * len(classes) / weight.sum())[numbers].astype(np.float32)}

    def change(self, batch: Batch, step: Step, held: Any) -> Batch:
        """The batch with weights."""
        own = batch.beside[self.slot]["weight"]
        return batch.with_(weight=own if batch.weight is None else own * batch.weight)


@dataclass(frozen=True, eq=False)
class LabelSmoothing(StepRemedy):
    """Teaches a model to leave a little probability to the other classes, so that it is never quite sure.

    Is the model better calibrated, or better on new data, when no label is certain?

        y_k <- (1 - amount) y_k + amount / K

    Args:
        amount: The probability that is spread over the classes, between 0 and 1; 0.05 to 0.2 is usual.

    Raises:
        InvalidOption: An amount that is not between 0 and 1.
        NotApplicable: While training: a model whose loss is no cross-entropy.

    Example:
        >>> import pellucid as pl
        >>> pl.LabelSmoothing(0.1).amount
        0.1

    References:
        Szegedy, Vanhoucke, Ioffe, Shlens and Wojna 2016, arXiv:1512.00567; Müller, Kornblith and Hinton 2019, arXiv:1906.02629.

    Limits:
        Sure answers become rare, right or wrong: selecting by confidence and distilling from such a model get worse.
    """

    slot = "label_smoothing"
    soft = True
    rank = 8
    amount: float = 0.1

    def __post_init__(self) -> None:
        options.fraction(self, "amount")

    def attach(self, step: Step, train: Dataset, seed: int) -> Any:
        """Nothing; the place where the loss is looked at."""
        step.rows.need_classes(type(self).__name__)

    def change(self, batch: Batch, step: Step, held: Any) -> Batch:
        """The batch with softer labels."""
        from keras import ops

        y = ops.cast(batch.y, "float32")
        return batch.with_(y=(1 - self.amount) * y + self.amount / (2 if step.rows.kind == "binary" else y.shape[-1]))
