"""What a remedy is: the places where it can act on training, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from pellucid.core.dataset import Dataset
from pellucid.core.model import Model
from pellucid.core.record import Value
from pellucid.core.tensors import to_array
from pellucid.shapes import Array, Tensor


class Remedy(Value):
    """A change to how a model is trained. Each hook is left as it is where the remedy does not act.

    A recipe first prepares the data with every remedy, then rebuilds the model, then adds every penalty, then starts every
    schedule, then finishes the trained model, and last fits what stands beside it; within each, remedies act by `rank`, then by
    name. So the order in which they are given does not matter.
    """

    slot: ClassVar[str] = ""
    """What the remedy takes hold of; a recipe has room for one remedy a slot."""

    against: ClassVar[dict[str, str]] = {}
    """Slots of remedies that it cannot be used beside, and why."""

    rank: ClassVar[int] = 0
    """Remedies that act in the same place act in this order."""

    members: int = 1
    """Models that are trained apart, from seeds of their own, and joined."""

    def prepare(self, train: Dataset, seed: int) -> Dataset:
        """The training data that are learnt from; what is logged as the data loss is still that of `train`."""
        return train

    def rebuild(self, model: Any) -> Any:
        """The model with changed layers or another optimizer, compiled as it was; weights are kept."""
        return model

    def penalizes(self, variable: Any) -> bool:
        """Whether `penalty` is added to the loss for this trainable variable."""
        return False

    def keeps(self, value: Array) -> Array | None:
        """What `penalty` keeps from step to step for a variable, at its first value; None: nothing."""
        return None

    def penalty(self, value: Tensor, kept: Any = None) -> Tensor:
        """The penalty on one variable's value, written in `keras.ops`; `kept` is the Keras variable of what it keeps."""
        raise NotImplementedError

    def exactly(self, value: Array) -> float:
        """The same in NumPy, of a value in 64 bits: what the log tells."""
        return float(to_array(self.penalty(value)))

    def callbacks(self, *, validated: bool) -> list[Any]:
        """Keras callbacks; `validated` says whether the log holds values on validation data."""
        return []

    def join(self, models: Sequence[Any]) -> Any:
        """One Keras model of the members, each trained by the rest of the recipe."""
        raise NotImplementedError

    def finish(self, model: Any, train: Dataset, validation: Dataset | None) -> Any:
        """The Keras model after training: what it gives is changed, not what it has learnt."""
        return model

    def notes(self, model: Any, train: Dataset, validation: Dataset | None) -> Sequence[str]:
        """What a reader of the run has to know: what was taken for granted, or found out about the Keras model after training."""
        return ()

    def after(self, model: Model, validation: Dataset | None) -> Any:
        """A record of what is fitted to the finished model and kept beside it, in `Run.after` under the slot; None: nothing."""
        return None
