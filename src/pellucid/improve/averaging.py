"""One model whose weights are a mean of those that training has passed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from pellucid.core import layers, options
from pellucid.core.dataset import Dataset
from pellucid.core.tensors import to_array
from pellucid.errors import InvalidOption, NotApplicable
from pellucid.improve.base import Remedy
from pellucid.improve.ensembles import PATH
from pellucid.shapes import Array, Floats, Tensor

ROWS = 256
"""Rows of a step while statistics are found."""


@dataclass(frozen=True, eq=False)
class WeightAveraging(Remedy):
    """Gives the model the mean of the weights that training passed, which lies in a flatter place than the last.

    Training jumps about at its end: is the middle of where it jumps better than where it stops?

        "epochs":  w = mean of the weights at the end of every epoch from `start` on  (stochastic weight averaging)
        "steps":   w <- momentum * w + (1 - momentum) * weights, after every step     (exponential; Keras's `use_ema`)

    Statistics of batch normalizations belong to no mean of weights: they are found anew, layer after layer, as the mean and
    variance over the training data of what each is given, without what a mask hides; those of frozen layers stay. The epoch
    `kept` of the log is of the mean, before that.

    Args:
        over: "epochs" or "steps".
        start: For epochs: the share of them before the mean begins, from 0 and below 1.
        momentum: For steps: how much of the mean stays, in (0, 1); it looks back on about 1 / (1 - momentum) steps.
        rate: For epochs: the learning rate while the mean is taken, None for "as it is". A constant, rather high one is usual.

    Raises:
        InvalidOption: An option outside its range.
        NotApplicable: While training, `rate` for an optimizer whose learning rate follows a schedule.

    Example:
        >>> import pellucid as pl
        >>> pl.WeightAveraging(start=0.5)
        WeightAveraging(over='epochs', start=0.5, momentum=0.99, rate=None)

    References:
        Izmailov, Podoprikhin, Garipov, Vetrov and Wilson 2018, "Averaging weights leads to wider optima and better
        generalization", arXiv:1803.05407. Polyak and Juditsky 1992, doi:10.1137/0330046.

    Limits:
        Only near the end of training do weights lie so that their mean makes sense: too early a start makes it worse. New
        statistics cost a pass over the training data for each batch normalization.
    """

    slot = "weights"
    rank = 10
    against: ClassVar[dict[str, str]] = PATH
    over: str = "epochs"
    start: float = 0.75
    momentum: float = 0.99
    rate: float | None = None

    def __post_init__(self) -> None:
        options.one_of(self, "over", ("epochs", "steps"))
        options.fraction(self, "momentum")
        options.not_negative(self, "start")
        if self.start >= 1:
            raise InvalidOption(f"WeightAveraging.start: expected a share of the epochs below 1, got {self.start!r}")
        if self.rate is not None:
            options.positive(self, "rate")

    def rebuild(self, model: Any) -> Any:
        """The same model; its optimizer takes the mean where that is over steps."""
        if self.over == "steps":
            optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
            optimizer.use_ema, optimizer.ema_momentum, optimizer.ema_overwrite_frequency = True, self.momentum, None
            # what is compiled anew after this model takes this very optimizer, and not another of its name
            model.compile(**{**model._compile_config.config, "optimizer": model.optimizer})
        return model

    def callbacks(self, *, validated: bool) -> list[Any]:
        """See `Remedy.callbacks`."""
        return [_averaging()(self)]

    def finish(self, model: Any, train: Dataset, validation: Dataset | None) -> Any:
        """See `Remedy.finish`."""
        renew_statistics(model, train.x)
        return model


def _averaging() -> type:
    from keras.callbacks import Callback

    class Averaging(Callback):
        """Adds up the weights at the end of epochs, or takes the mean that the optimizer has of steps, and gives the model that
        mean at the end of training, also where it is cut short.
        """

        def __init__(self, remedy: WeightAveraging) -> None:
            super().__init__()
            self._remedy, self._sums, self._count = remedy, list[Floats](), 0

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            if self._remedy.over == "steps" or self._remedy.rate is None or epoch < self._first:
                return
            if not hasattr(self.model.optimizer._learning_rate, "assign"):
                raise NotApplicable(
                    "WeightAveraging: rate: the learning rate of the optimizer follows a schedule: give it a number, or no rate"
                )
            self.model.optimizer.learning_rate = self._remedy.rate

        @property
        def _first(self) -> int:
            return int(self._remedy.start * self.params["epochs"])

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            if self._remedy.over == "steps":
                optimizer = getattr(self.model.optimizer, "inner_optimizer", self.model.optimizer)
                means = optimizer._model_variables_moving_average
                self._sums, self._count = [to_array(v.value).astype(np.float64) for v in means], 1
            elif epoch >= self._first:
                now = [to_array(v.value).astype(np.float64) for v in self.model.trainable_variables]
                self._sums = [a + b for a, b in zip(self._sums, now, strict=True)] if self._count else now
                self._count += 1

        def on_train_end(self, logs: Any = None) -> None:
            for variable, total in zip(self.model.trainable_variables, self._sums, strict=bool(self._count)):
                variable.assign((total / self._count).astype(np.float32))

        def cut_short(self, kept: int, told: str) -> tuple[int, str]:
            """Take the mean of what is there."""
            self.on_train_end()
            if not self._count:
                return kept, f"{told}, for the mean was to begin with epoch {self._first + 1}"
            if self._remedy.over == "steps":
                return kept, f"the weights are the mean over the steps up to epoch {kept + 1}"
            return (
                kept,
                f"the weights are the mean of those after epochs {self._first + 1} to {self._first + self._count}",
            )

    return Averaging


def renew_statistics(model: Any, x: Any) -> None:
    """Set the mean and variance of every batch normalization that is trained to those of what it is given, over all of x, layer
    after layer. One that is frozen keeps its own, as it does in training.
    """
    for layer in _normalizations(model, x):
        mean, variance = _moments(model, layer, x)
        layer.moving_mean.assign(mean.astype(np.float32))
        layer.moving_variance.assign(variance.astype(np.float32))


def _length(x: Any) -> int:
    return len(next(iter(x.values())) if isinstance(x, dict) else x)


def _rows(x: Any, where: slice) -> Any:
    return {k: v[where] for k, v in x.items()} if isinstance(x, dict) else x[where]


def _normalizations(model: Any, x: Any) -> Sequence[Any]:
    """Batch normalizations that are trained, in the order in which they are called first."""
    with layers.recorded(model) as calls:
        model(_rows(x, slice(0, 1)), training=False)
    found = {id(c.layer): c.layer for c in calls if hasattr(c.layer, "moving_variance")}
    return [layer for layer in found.values() if layer.trainable]


def _moments(model: Any, layer: Any, x: Any) -> tuple[Floats, Floats]:
    """Mean and variance of what a layer is given, along all axes but its own, over all rows that its mask leaves."""
    total, count, shift, sums, squares = _length(x), 0, np.zeros(1), np.zeros(1), np.zeros(1)
    for start in range(0, total, ROWS):
        for given, mask in _given(model, layer, _rows(x, slice(start, start + ROWS))):
            last = np.moveaxis(given.astype(np.float64), layer.axis, -1)
            flat = last[np.broadcast_to(True if mask is None else mask, last.shape[:-1])]
            if not len(flat):  # all of it is hidden
                continue
            shift = shift if count else flat.mean(axis=0)  # squares of small numbers lose no digits
            count, sums = count + len(flat), sums + (flat - shift).sum(axis=0)
            squares = squares + np.square(flat - shift).sum(axis=0)
    middle = sums / max(count, 1)
    return middle + shift, np.maximum(squares / max(count, 1) - middle**2, 0.0)


def _given(model: Any, layer: Any, x: Any) -> list[tuple[Array, Array | None]]:
    """What a layer is given and its mask, call by call."""
    seen: list[tuple[Array, Array | None]] = []

    def noted(original: layers.Call) -> layers.Call:
        def call(tensor: Tensor, *rest: Any, **named: Any) -> Any:
            mask = named.get("mask")
            seen.append((to_array(tensor), None if mask is None else to_array(mask).astype(bool)))
            return original(tensor, *rest, **named)

        return call

    with layers.replaced(layer, noted):
        model(x, training=False)
    return seen
