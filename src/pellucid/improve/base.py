"""What a remedy is: the places where it can act on training, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

from pellucid.core.dataset import Dataset
from pellucid.core.model import Model
from pellucid.core.record import Value
from pellucid.core.tensors import to_array
from pellucid.shapes import Array, Tensor

if TYPE_CHECKING:
    from pellucid.improve.rows import Rows
    from pellucid.improve.step import Step


class Remedy(Value):
    """A change to how a model is trained. Each hook is left as it is where the remedy does not act.

    A recipe first prepares the data with every remedy, then rebuilds the model, then adds every penalty, then starts every
    schedule, then finishes the trained model, and last fits what stands beside it; within each, remedies act by `rank`, then by
    name. So the order in which they are given does not matter.
    """

    owns: ClassVar[bool] = True
    slot: ClassVar[str] = ""
    """What the remedy takes hold of; a recipe has room for one remedy a slot."""

    against: ClassVar[dict[str, str]] = {}
    """Slots of remedies that it cannot be used beside, and why."""

    rank: ClassVar[int] = 0
    """Remedies that act in the same place act in this order."""

    members: int = 1
    """Models that are trained apart, from seeds of their own, and joined."""

    def require(self, rows: int) -> None:
        """Raise where batches of so many rows are too small to learn from."""

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


# -- in a step of training -------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Batch:
    """Examples on their way through a step.

    Attributes:
        x: What the model takes: a tensor, or a dict of them.
        y: Labels (B,), or (B, K) where each is a distribution over the classes.
        weight: The weight of each example (B,), or None.
        beside: What a remedy has to know of each example, by its slot and the name it gave.
    """

    x: Any
    y: Tensor
    weight: Tensor | None = None
    beside: Mapping[str, Mapping[str, Tensor]] = field(default_factory=dict)

    def with_(self, **changes: Any) -> Batch:
        """The same batch with other parts."""
        return replace(self, **changes)

    @property
    def size(self) -> Any:
        """How many examples there are."""
        from keras import ops

        return ops.shape(self.y)[0]


@dataclass(frozen=True, eq=False)
class Seen:
    """What one run of the model gave.

    Attributes:
        outputs: What the model puts out (B, K).
        attention: Weights (B, H, Q, K) by the name of their layer, in the order they run, where a remedy reads them.
        hidden: What layers put out, by name, where a remedy reads them.
        slopes: Gradients by each input (by the embeddings of tokens) of what a remedy differentiates.
        features: What goes into the last dense layer (B, D), where a remedy reads it.
    """

    outputs: Tensor
    attention: Mapping[str, Tensor]
    hidden: Mapping[str, Tensor]
    slopes: Sequence[Tensor] = ()
    features: Tensor | None = None


LossAt = Callable[[Sequence[Tensor]], tuple[Tensor, Any]]
"""The loss of a batch at other weights, and whatever else its run gave."""


class StepRemedy(Remedy):
    """A change to a step of training. Each hook is left as it is where the remedy does not act."""

    soft: ClassVar[bool] = False
    """Whether it needs labels that are distributions over the classes."""

    attends: ClassVar[bool] = False
    """Whether it reads attention."""

    featured: ClassVar[bool] = False
    """Whether it reads the features that go into the last dense layer."""

    def acts(self, hook: str) -> bool:
        """Whether it does something in a hook."""
        return getattr(type(self), hook) is not getattr(StepRemedy, hook)

    def reads(self, step: Step) -> Sequence[str]:
        """Names of the layers whose outputs it reads."""
        return ()

    def beside(self, train: Dataset) -> Mapping[str, Array]:
        """What it has to know of each training example (B, ...), by any name."""
        return {}

    def attach(self, step: Step, train: Dataset, seed: int) -> Any:
        """A Keras layer, a seed generator or a list of them: what it keeps from step to step. None: nothing."""
        return None

    def change(self, batch: Batch, step: Step, held: Any) -> Batch:
        """Other inputs, labels or weights for this step; `held` is what was attached."""
        return batch

    def rows(self, y: Tensor, outputs: Tensor, rows: Rows) -> Tensor:
        """The loss (B,) of each example in place of the compiled one."""
        raise NotImplementedError

    def combine(self, losses: Tensor, batch: Batch, seen: Seen, step: Step, held: Any) -> Tensor:
        """One number of the losses (B,) of the examples, in place of their weighted mean."""
        raise NotImplementedError

    def slope(self, outputs: Tensor, batch: Batch, step: Step) -> Tensor:
        """What is differentiated by the inputs, a scalar; its gradients are in what `term` sees."""
        raise NotImplementedError

    def term(self, batch: Batch, seen: Seen, step: Step) -> Tensor | None:
        """A price beside the data loss: (B,), of which the mean is taken, or a scalar. It is logged under the slot."""
        return None

    def evaluate(self, loss: LossAt, weights: Sequence[Tensor], step: Step) -> tuple[Sequence[Tensor], Any]:
        """Weights at which the loss is differentiated in place of `weights`, and what `loss(weights)` gave beside it."""
        raise NotImplementedError
