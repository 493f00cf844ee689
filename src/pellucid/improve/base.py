"""What a remedy is: the three places where it can act on training, and nothing else."""

from __future__ import annotations

from typing import Any, ClassVar

from pellucid.core.record import Value
from pellucid.shapes import Tensor


class Remedy(Value):
    """A change to how a model is trained. Each hook is left as it is where the remedy does not act.

    A recipe first rebuilds the model with every remedy, then adds every penalty, then starts every schedule; so the
    order in which remedies are given does not matter.
    """

    slot: ClassVar[str] = ""
    """What the remedy takes hold of; a recipe has room for one remedy a slot."""

    def rebuild(self, model: Any) -> Any:
        """The model with changed layers, compiled as it was; weights are kept."""
        return model

    def penalizes(self, variable: Any) -> bool:
        """Whether `penalty` is added to the loss for this trainable variable."""
        return False

    def penalty(self, value: Tensor) -> Tensor:
        """The penalty on one variable's value, written in `keras.ops`."""
        raise NotImplementedError

    def callbacks(self, *, validated: bool) -> list[Any]:
        """Keras callbacks; `validated` says whether the log holds values on validation data."""
        return []
