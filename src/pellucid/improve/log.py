"""What is written down of a training: after each epoch the data loss and each price, with the same weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pellucid.core.dataset import Dataset
from pellucid.core.inputs import broken_input
from pellucid.core.loss_labels import labels
from pellucid.core.randomness import some, stream
from pellucid.errors import InvalidInput, TrainingDiverged
from pellucid.improve.ledger import Ledger
from pellucid.shapes import Array

FEWEST, SHARE = 256, 50
"""Training rows that are logged after an epoch: so many, or one in so many; a log of all would cost a third of training."""

AT_ONCE = 16
"""Rows, in batches of training, that are evaluated in one pass: without its gradients a pass needs far less memory, and Keras
takes longer to set up the input of `evaluate` (80 ms on TensorFlow) than a small model takes for the rows (2 ms)."""


class Part:
    """Data that the log is about: how many of its rows, and what is put before the names."""

    def __init__(self, model: Any, data: Dataset, before: str = "", rows: Array | None = None) -> None:
        self.before, self.rows = before, np.arange(len(data)) if rows is None else rows
        some_only = data if rows is None or len(rows) == len(data) else data.take(rows)
        self._x, self._y = some_only.x, labels(model, some_only)

    def evaluated(self, model: Any, batch: int) -> dict[str, float]:
        """Loss and metrics, by name, of a model that is trained with such batches."""
        summed = getattr(model.loss, "reduction", None) == "sum"  # such a loss is one of a step: it grows with its rows
        at_once = batch if summed else AT_ONCE * batch
        if len(self.rows) <= at_once:
            found = model.test_on_batch(self._x, self._y, return_dict=True)
        else:
            found = model.evaluate(self._x, self._y, batch_size=at_once, verbose=0, return_dict=True)
        return {name: float(value) for name, value in found.items()}

    def require_number(self, loss: float) -> None:
        """Raise where the loss is no number: of training rows, training has diverged; of others, if they hold none either."""
        if np.isfinite(loss):
            return
        if not self.before:
            raise TrainingDiverged(f"the loss became {loss} with the weights at the end of an epoch")
        if found := broken_input(self._x):
            raise InvalidInput(
                f"validation: the loss is {loss}, for {found[0]} of example {found[1]} holds NaN or infinity"
            )


def logged(count: int, seed: int) -> Array:
    """The training rows that are logged after each epoch."""
    return some(count, max(FEWEST, count // SHARE), stream(seed, "log"))


class Log:
    """The rows of a log, and the Keras callback that writes them.

    Args:
        model: The model itself, not one around it: no price is in what it evaluates to.
        ledger: The prices.
        parts: What is evaluated after each epoch; the first is of training rows.
        batch: Rows a step of training takes.
        priced: Rows of what is learnt from whose prices are logged.
    """

    def __init__(self, model: Any, ledger: Ledger, parts: Sequence[Part], batch: int, priced: Array) -> None:
        self._model, self._ledger, self._parts, self._batch, self._priced = model, ledger, parts, batch, priced
        self.rows: list[dict[str, Any]] = []

    def callback(self) -> Any:
        """The callback; it puts what later callbacks look for into their logs."""
        from keras.callbacks import Callback

        log = self

        class Writing(Callback):
            def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
                row = log.written()
                log.rows.append(row | {"running": dict(logs or {})})
                if logs is not None:
                    logs.update({n: v for n, v in row.items() if n.startswith("val_") or n == "data_loss"})

        return Writing()

    def written(self) -> dict[str, Any]:
        """Loss, data loss, prices and metrics of the parts of the data, at the present weights."""
        penalty = self._ledger.amounts(self._priced)
        row: dict[str, Any] = {"penalty": penalty}
        for part in self._parts:
            with self._ledger.waived():
                found = part.evaluated(self._model, self._batch)
            data_loss = found.pop("loss")
            part.require_number(data_loss)
            row |= {f"{part.before}loss": data_loss + sum(penalty.values()), f"{part.before}data_loss": data_loss}
            row |= {f"{part.before}{name}": value for name, value in found.items()}
        return row

    def again(self, epoch: int) -> None:
        """Write an epoch once more, with the weights that the model has now: the end of training may have changed them."""
        self.rows[epoch] |= self.written()

    def columns(self) -> dict[str, Any]:
        """The log as arrays by name, one number an epoch."""
        return _columns(self.rows)


def _columns(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Rows of numbers, some of them nested, as arrays by name."""
    return {
        name: _columns([row[name] for row in rows])
        if isinstance(first, Mapping)
        else np.array([row[name] for row in rows])
        for name, first in rows[0].items()
    }
