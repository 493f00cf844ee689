"""Learning from another model's answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from pellucid.core import options
from pellucid.core.dataset import Dataset
from pellucid.core.model import wrap
from pellucid.errors import InvalidInput
from pellucid.improve.base import Batch, Seen, StepRemedy
from pellucid.improve.rows import divergence
from pellucid.improve.step import Step
from pellucid.shapes import Array, Tensor


@dataclass(frozen=True, eq=False)
class Distill(StepRemedy):
    """Teaches a model to answer as another does, with all its doubts: a small model learns from a large one or an ensemble.

    Does a simpler model come near the one that cannot be shipped, or cannot be read?

        loss = data loss + strength * T^2 KL(teacher at T || model at T),    p at T ~ p^(1/T)

    Args:
        teacher: The probabilities (B, K) that a teacher gives each training example, or the teacher: what `pl.wrap` takes.
        temperature: T, above 0: above 1 the classes that the teacher thinks unlikely count more.
        strength: The factor, at least 0.

    Raises:
        InvalidOption: A temperature that is not positive, or a negative strength.
        InvalidInput: While training: probabilities for other examples or classes.
        NotApplicable: While training: a loss that is no cross-entropy.

    Example:
        >>> import numpy as np, pellucid as pl
        >>> pl.Distill(np.array([[0.9, 0.1], [0.2, 0.8]]), temperature=3).temperature
        3

    References:
        Hinton, Vinyals and Dean 2015, arXiv:1503.02531.

    Limits:
        The teacher is asked once, about the examples as they are: where they are augmented, it answers for the originals. What
        the teacher has wrong is learnt too. A record keeps the probabilities, not a teacher that was given as a model.
    """

    slot = "distill"
    teacher: Any = None
    temperature: float = 2.0
    strength: float = 1.0

    def __post_init__(self) -> None:
        options.positive(self, "temperature")
        options.not_negative(self, "strength")

    def beside(self, train: Dataset) -> dict[str, Array]:
        """The teacher's probabilities (B, K)."""
        given = (
            self.teacher
            if isinstance(self.teacher, np.ndarray | list | tuple)
            else wrap(self.teacher).probabilities(train)
        )
        found = np.asarray(given, np.float32)
        if found.ndim != 2 or len(found) != len(train):
            raise InvalidInput(
                f"Distill.teacher: expected probabilities of {len(train)} examples (B, K), got {found.shape}"
            )
        if (found < 0).any() or (np.abs(found.sum(1) - 1) > 1e-3).any():
            raise InvalidInput("Distill.teacher: expected rows of probabilities that sum to one")
        return {"teacher": found}

    def attach(self, step: Step, train: Dataset, seed: int) -> Any:
        """Nothing; the place where the loss and the number of classes are looked at."""
        step.rows.need_classes(type(self).__name__)
        taught = step.given(slice(0, 1))[f"{self.slot}/teacher"].shape[1]
        if taught != step.rows.width:
            raise InvalidInput(f"Distill.teacher: expected probabilities of {step.rows.width} classes, got {taught}")

    def term(self, batch: Batch, seen: Seen, step: Step) -> Tensor:
        """The divergence (B,)."""
        from keras import ops

        logs, taught = step.rows.log_probabilities(seen.outputs), batch.beside[self.slot]["teacher"]
        mine, its = (ops.log_softmax(p / self.temperature) for p in (logs, ops.log(ops.clip(taught, 1e-7, 1.0))))
        return self.strength * self.temperature**2 * divergence(its, mine)
