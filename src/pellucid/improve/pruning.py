"""Connections that are taken away while training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pellucid.core import options
from pellucid.core.tensors import to_array
from pellucid.errors import InvalidOption, NotApplicable
from pellucid.improve.base import Remedy
from pellucid.improve.matrices import is_matrix
from pellucid.shapes import Array

OVER = ("layer", "model")


@dataclass(frozen=True, eq=False)
class Prune(Remedy):
    """Takes connections away while training, the smallest weights first: a model in which most weights are zero.

    Does the model do as well with few of its connections?

        share of zeros at time t:  s_t = share * (1 - (1 - (t - begin) / (end - begin))^3),   t from 0 to 1 of training

    So most go early, while many are left, and few at the end. What is zero stays zero: a mask is laid on the weights
    after every step, whatever the optimizer remembers. At the end exactly round(share * n) of n weights are zero, in each
    layer or over all of them. The model takes and gives the same.

    Args:
        share: The share of the weights of dense, convolution and recurrent kernels that is taken away, between 0 and 1. Biases,
            normalization and embeddings stay.
        over: "layer": this share in each layer; "model": over all of them, so that layers whose weights are small lose more.
        begin: When the first go, as a share of training, at least 0.
        end: When the last go, above `begin` and at most 1; later steps train what is left.
        updates: How often the masks are drawn anew between `begin` and `end`, at least 1.

    Raises:
        InvalidOption: An option outside its range; beside `EarlyStopping`, which may go back to weights before the last went.
        NotApplicable: While training: a model without such kernels, or one whose kernels have a constraint already.

    Example:
        >>> import pellucid as pl
        >>> pl.Prune(0.5, end=1.0).share_at(0.5)
        0.4375

    References:
        The schedule: Zhu and Gupta 2017, "To prune, or not to prune", arXiv:1710.01878; by magnitude: Han, Pool, Tran and Dally
        2015, "Learning both weights and connections for efficient neural networks", arXiv:1506.02626.

    Limits:
        The arrays keep their size, and ordinary libraries compute with zeros as with any number: the file compresses well,
        nothing is faster by itself. Over the model a layer can lose all it has. It takes some epochs after `end` to recover.
        Training that is interrupted has the share of that moment.
    """

    slot = "prune"
    against = {"stopping": "the best weights so far may be from before the last connections went"}
    rank = 15  # after what puts a mean of weights in their place, so that masks are laid on the mean
    share: float = 0.8
    over: str = "layer"
    begin: float = 0.0
    end: float = 0.75
    updates: int = 20

    def __post_init__(self) -> None:
        options.fraction(self, "share")
        options.one_of(self, "over", OVER)
        options.not_negative(self, "begin")
        options.positive(self, "end")
        options.whole(self, "updates")
        if not self.begin < self.end <= 1:
            raise InvalidOption(f"Prune.end: expected more than begin ({self.begin}) and at most 1, got {self.end}")

    def share_at(self, time: float) -> float:
        """The share of zeros at a time from 0 to 1 of training."""
        done = min(max((time - self.begin) / (self.end - self.begin), 0.0), 1.0)
        return self.share * (1 - (1 - done) ** 3)

    def masks(self, values: Sequence[Array], share: float) -> list[Array]:
        """1 for what is kept and 0 for what goes, of each array: round(share * n) of n weights, those nearest zero."""
        if self.over == "layer":
            return [_kept(np.abs(v).ravel(), share).reshape(v.shape) for v in values]
        joined = _kept(np.concatenate([np.abs(v).ravel() for v in values]), share)
        ends = np.cumsum([v.size for v in values])[:-1]
        return [part.reshape(v.shape) for part, v in zip(np.split(joined, ends), values, strict=True)]

    def callbacks(self, *, validated: bool) -> list[Any]:
        """What draws the masks; see `_schedule`."""
        return [_schedule()(self)]

    def finish(self, model: Any, train: Any, validation: Any) -> Any:
        """The model without masks: what is zero is zero by itself now."""
        _uncover(model.trainable_variables)
        return model


def _kept(sizes: Array, share: float) -> Array:
    """A mask of so many numbers; of equal ones the first go."""
    mask = np.ones(len(sizes), np.float32)
    mask[np.argsort(sizes, kind="stable")[: round(share * len(sizes))]] = 0
    return mask


@dataclass(frozen=True, eq=False)
class _Mask:
    """A constraint, which Keras lays on a variable after every step: its mask, a variable of the optimizer's."""

    mask: Any
    optimizer: Any

    def __call__(self, value: Any) -> Any:
        return value * self.mask


def _cover(variables: Sequence[Any], optimizer: Any) -> list[Any]:
    """Lay masks of ones on variables. They belong to the optimizer's state, which every backend hands on from step to step."""
    import keras

    for variable in variables:
        if variable.constraint is not None:
            raise NotApplicable(f"Prune: the weights {variable.path} have a constraint already; leave it out")
        mask = keras.Variable(np.ones(variable.shape), trainable=False, dtype=variable.dtype, name="mask")
        optimizer._track_variable(mask)
        variable.constraint = _Mask(mask, optimizer)
    return [variable.constraint.mask for variable in variables]


def _uncover(variables: Sequence[Any]) -> None:
    for variable in variables:
        if isinstance(held := variable.constraint, _Mask):
            variable.constraint = None
            held.optimizer._tracker.untrack(held.mask)


def _schedule() -> type:
    from keras.callbacks import Callback

    class Schedule(Callback):
        """Draws masks anew when their time has come, between two steps."""

        def __init__(self, remedy: Prune) -> None:
            super().__init__()
            self._remedy, self._epoch, self._drawn, self._kept = remedy, 0, 0, list[Array]()

        def on_train_begin(self, logs: Mapping[str, float] | None = None) -> None:
            model: Any = self.model
            self._variables = [v for v in model.trainable_variables if is_matrix(v)]
            if not self._variables:
                raise NotApplicable(f"Prune: {model.name} has no kernel of a dense, convolution or recurrent layer")
            self._masks = _cover(self._variables, model.optimizer)

        def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
            self._epoch = epoch

        def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
            self._draw((self._epoch + (batch + 1) / self.params["steps"]) / self.params["epochs"])

        def on_train_end(self, logs: Mapping[str, float] | None = None) -> None:
            for variable, mask in zip(self._variables, self._masks, strict=True):
                variable.assign(variable * mask)  # an optimizer that averages weights has just put others there
            _uncover(self._variables)

        def cut_short(self, kept: int, told: str) -> tuple[int, str]:
            """Lay the last masks on what may be a mean of weights by now; those of the optimizer may be lost in a broken step."""
            for variable, keep in zip(self._variables, self._kept, strict=bool(self._kept)):
                variable.assign(variable * keep)
            return kept, told

        def _draw(self, time: float) -> None:
            """Masks for the share that is due by now, on the weights as they are, if some are due."""
            remedy, model = self._remedy, self.model
            span = (remedy.end - remedy.begin) / remedy.updates
            due = min(int((time - remedy.begin) / span + 1e-9), remedy.updates)
            if due <= self._drawn:
                return
            self._drawn = due
            if hasattr(model, "jax_state_sync"):
                model.jax_state_sync()  # JAX keeps weights apart while it trains
            values = [to_array(v.value) for v in self._variables]
            self._kept = remedy.masks(values, remedy.share_at(remedy.begin + due * span))
            for variable, mask, value, keep in zip(self._variables, self._masks, values, self._kept, strict=True):
                mask.assign(keep)
                variable.assign(value * keep)

    return Schedule
