"""The verb `improve`: train a fresh model by a recipe, and show where its loss comes from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pellucid import training
from pellucid.core.dataset import Dataset, as_dataset
from pellucid.core.model import Model, wrap
from pellucid.core.model_files import load_model
from pellucid.core.randomness import check_seed, seeded
from pellucid.core.record import Provenance, Record, Stopwatch, Value, versions
from pellucid.errors import InvalidOption
from pellucid.improve.attention import attentive
from pellucid.improve.base import Remedy
from pellucid.improve.penalties import Ledger
from pellucid.improve.priced import Priced

_FILE = "model.keras"


@dataclass(frozen=True, eq=False, init=False)
class Recipe(Value):
    """Remedies that are used together. Their order says nothing: two recipes of the same remedies are equal.

    Args:
        remedies: Any of `L2`, `L1`, `Dropout`, `EarlyStopping`, `AttentionSupervision`, `AttentionEntropy`; none for plain
            training.

    Raises:
        InvalidOption: Something that is no remedy, or two that take hold of the same thing.

    Example:
        >>> import pellucid as pl
        >>> pl.Recipe(pl.L2(0.01), pl.Dropout(0.2)) == pl.Recipe(pl.Dropout(0.2), pl.L2(0.01))
        True
    """

    remedies: tuple[Remedy, ...] = ()

    def __init__(self, *given: Remedy, remedies: Sequence[Remedy] = ()) -> None:
        chosen = (*given, *remedies)
        for remedy in chosen:
            if not isinstance(remedy, Remedy):
                raise InvalidOption(f"Recipe: expected remedies such as L2(0.01) or Dropout(0.2), got {remedy!r}")
        for one, two in ((a, b) for i, a in enumerate(chosen) for b in chosen[:i]):
            if one.slot == two.slot:
                raise InvalidOption(f"Recipe: {two!r} and {one!r} do the same thing; keep one of them")
        object.__setattr__(self, "remedies", tuple(sorted(chosen, key=repr)))

    def __str__(self) -> str:
        return " + ".join(map(repr, self.remedies)) or "plain"


@dataclass(frozen=True, eq=False)
class Run(Record):
    """One training by a recipe.

    Attributes:
        model: The trained model, wrapped; `model.keras` is the Keras model. No penalty is left in its loss.
        history: By name an array with one number an epoch, all of them found after the epoch with its last weights, in
            inference mode: `loss` = `data_loss` + the sum of `penalty` (a dict by name: "l2", "l1", and "own" for what
            the model was built with), and every compiled metric; with `val_` before it the same on validation data.
            `running` is Keras's own log: averages over an epoch's batches, while weights and dropout changed.
        recipe: What was done.
        kept: The epoch, from 0, whose weights the model has: the last, unless a schedule went back to a better one.
        provenance: Seed, cost, versions.
    """

    model: Model
    history: Mapping[str, Any]
    recipe: Recipe
    kept: int
    provenance: Provenance = field(default_factory=Provenance)

    @property
    def epochs(self) -> int:
        """Epochs trained."""
        return len(self.history["loss"])

    def save(self, folder: str | Path) -> Path:
        """Write the record and, beside it, the model as `model.keras`."""
        folder = super().save(folder)
        self.model.keras.save(folder / _FILE)
        return folder

    def bring_back(self, folder: Path) -> None:
        """The model, read in safe mode."""
        object.__setattr__(self, "model", wrap(load_model(folder / _FILE)))

    def __str__(self) -> str:
        parts = [f"{name} {amounts[self.kept]:.4g}" for name, amounts in self.history["penalty"].items()]
        told = " + ".join([f"data loss {self.history['data_loss'][self.kept]:.4g}", *parts])
        return f"{self.recipe}: loss {self.history['loss'][self.kept]:.4g} = {told} after epoch {self.kept + 1} of {self.epochs}"


def improve(
    build: training.Build,
    recipe: Recipe | Remedy,
    *,
    train: Any,
    validation: Any = None,
    fit: Mapping[str, Any] | None = None,
    seed: int = 0,
    progress: bool | None = None,
) -> Run:
    """Train a fresh model by a recipe.

        loss = data loss + sum over penalties,   e.g. L2: strength * sum over i of w_i^2

    The model keeps the user's optimizer, loss, metrics and penalties of its own. After every epoch the data loss and
    each penalty are found with the same weights, in inference mode on the whole training set, so that they add up.

    Args:
        build: A function without arguments that returns a compiled Keras model.
        recipe: A `Recipe`, or a single remedy.
        train: A `Dataset` or an (x, y) pair to learn from.
        validation: The same, held out from `train`, for schedules and for the log; None if nothing needs it.
        fit: `epochs` (20), `batch_size` (32) and whatever else `keras.Model.fit` takes.
        seed: Decides initial weights, order of examples, dropout; the same seed gives the same model.
        progress: Whether to show a bar of epochs; None for "where there is a terminal".

    Raises:
        InvalidInput: A builder that gives no compiled model; data that do not fit it; a schedule without validation.
        NotApplicable: A remedy that this model has no place for.
        TrainingDiverged: The loss became NaN or infinite.

    Example:
        >>> import keras, numpy as np, pellucid as pl
        >>> def build():
        ...     net = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        ...     net.compile("sgd", "mse")
        ...     return net
        >>> x = np.random.default_rng(0).normal(size=(64, 2)).astype("float32")
        >>> run = pl.improve(build, pl.L2(0.1), train=(x, x[:, 0]), fit={"epochs": 3})
        >>> bool(np.all(run.history["loss"] == run.history["data_loss"] + run.history["penalty"]["l2"]))
        True

    Limits:
        The log costs one more pass over the training data an epoch. Losses that layers add themselves (activity
        penalties) are part of the data loss.
    """
    recipe = recipe if isinstance(recipe, Recipe) else Recipe(recipe)
    check_seed(seed)
    clock, data = Stopwatch(), as_dataset(train)
    held = None if validation is None else as_dataset(validation)
    schedules = [call for remedy in recipe.remedies for call in remedy.callbacks(validated=held is not None)]
    model = trained = _prepared(build, recipe, data, seed)
    learnt, priced = data, None
    if costs := attentive(recipe.remedies):
        priced = Priced(model, costs, data)
        trained, learnt = priced.model, priced.train
    ledger = Ledger(trained, recipe.remedies, priced)
    log = _log_class()(ledger, model, {"": data} | ({"val_": held} if held else {}), 4 * _batch(fit))
    with ledger.charged():
        training.fit(trained, learnt, settings=fit, seed=seed, callbacks=[log, *schedules], progress=progress)
    history = _columns(log.rows)
    kept = next((call.best_epoch for call in schedules if getattr(call, "best_weights", None)), len(log.rows) - 1)
    wrapped = wrap(model)
    rows = len(log.rows) * (2 * len(data) + (len(held) if held else 0))
    about = Provenance(
        recipe, seed, rows, clock.seconds, wrapped.fingerprint(), versions=versions(), notes=_notes(kept, history)
    )
    return Run(wrapped, history, recipe, int(kept), about)


def _prepared(build: training.Build, recipe: Recipe, data: Dataset, seed: int) -> Any:
    """A fresh model, rebuilt by the remedies, with its weights made."""
    model = training.fresh(build, seed)
    with seeded(seed, "recipe"):
        for remedy in recipe.remedies:
            model = remedy.rebuild(model)
        if not model.built:
            one = data.take(slice(0, 1)).x
            model(one, training=False)
    return model


def _batch(fit: Mapping[str, Any] | None) -> int:
    """The batch of training; what it must be is told by `training.fit`."""
    given = (fit or {}).get("batch_size")
    return given if isinstance(given, int) and given > 0 else training.BATCH


def _log_class() -> type:
    from keras.callbacks import Callback

    class Log(Callback):
        """After each epoch: data loss, penalties and metrics with the same weights; also for later callbacks.

        The model itself is asked (`own`), not the one around it whose attention has a price, and in batches that take about
        the memory of a step of training.
        """

        def __init__(self, ledger: Ledger, own: Any, parts: Mapping[str, Dataset], batch: int) -> None:
            super().__init__()
            self._ledger, self._own, self._parts, self._batch = ledger, own, parts, batch
            self.rows: list[dict[str, Any]] = []

        def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
            penalty = self._ledger.amounts()
            row: dict[str, Any] = {"penalty": penalty, "running": dict(logs or {})}
            for before, data in self._parts.items():
                with self._ledger.waived():
                    found = self._own.evaluate(
                        data.x, training.labels(self._own, data), batch_size=self._batch, verbose=0, return_dict=True
                    )
                data_loss = float(found.pop("loss"))
                row |= {f"{before}loss": data_loss + sum(penalty.values()), f"{before}data_loss": data_loss}
                row |= {f"{before}{name}": float(value) for name, value in found.items()}
            self.rows.append(row)
            if logs is not None:
                logs.update(
                    {name: value for name, value in row.items() if name.startswith("val_") or name == "data_loss"}
                )

    return Log


def _columns(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Rows of numbers, some of them nested, as arrays by name."""
    return {
        name: _columns([row[name] for row in rows])
        if isinstance(first, Mapping)
        else np.array([row[name] for row in rows])
        for name, first in rows[0].items()
    }


def _notes(kept: int, history: Mapping[str, Any]) -> tuple[str, ...]:
    last = len(history["loss"]) - 1
    if kept == last:
        return ()
    return (f"training ended after epoch {last + 1}; the weights of epoch {kept + 1} were the best and are kept",)
