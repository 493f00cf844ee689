"""The verb `improve`: train a fresh model by a recipe, and show where its loss comes from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pellucid import training
from pellucid.core.copies import refuse_overlap
from pellucid.core.dataset import Dataset, as_dataset
from pellucid.core.loss_labels import weights_of_classes, weights_of_examples
from pellucid.core.model import Model, wrap
from pellucid.core.randomness import check_seed, seeded, stream
from pellucid.core.record import Provenance, Stopwatch, versions
from pellucid.errors import InvalidInput
from pellucid.improve.base import Remedy
from pellucid.improve.fitted import WithModel
from pellucid.improve.ledger import Ledger
from pellucid.improve.log import Log, Part, logged
from pellucid.improve.recipe import Recipe
from pellucid.improve.step import Step


@dataclass(frozen=True, eq=False)
class Run(WithModel):
    """One training by a recipe, or several whose models are joined: the log is then that of the first.

    Attributes:
        model: The trained model, wrapped; `model.keras` is the Keras model. No penalty is left in its loss.
        history: By name an array with one number an epoch, all of them found after the epoch with its last weights, in
            inference mode: `loss` = `data_loss` (the compiled loss) + the sum of `penalty` (a dict by name: "l2", "l1", and
            "own" for what the model was built with), and every compiled metric; with `val_` before it the same on validation
            data. Of more than 256 training rows 256 are logged, drawn once, or a 50th if that is more. `running` is Keras's own
            log: averages over an epoch's batches, while weights and dropout changed.
        recipe: What was done.
        kept: The epoch, from 0, whose weights the model has: the last, unless a schedule went back to a better one. Of snapshots
            it is that of the last.
        interrupted: Whether training was ended by Ctrl-C; the model is then that of the last whole epoch, or what a mean of
            weights or an ensemble of snapshots had by then: `provenance.notes` tell which.
        after: What was fitted to the finished model and stands beside it, by slot: `after["conformal"]` answers by sets
            (`ConformalSets`), `after["threshold"]` decides (`Threshold`).
        provenance: Seed, cost, versions.
    """

    history: Mapping[str, Any]
    recipe: Recipe
    kept: int
    interrupted: bool = False
    provenance: Provenance = field(default_factory=Provenance)
    after: Mapping[str, Any] = field(default_factory=dict)

    @property
    def epochs(self) -> int:
        """Epochs trained."""
        return len(self.history["loss"])

    def about(self, model: Model) -> None:
        """See `WithModel.about`; what stands beside the model is about it as well."""
        super().about(model)
        for fitted in self.after.values():
            fitted.about(model)

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
    each penalty are found with the same weights, in inference mode on rows of the training set, so that they add up.

    Args:
        build: A function without arguments that returns a compiled Keras model.
        recipe: A `Recipe`, or a single remedy.
        train: A `Dataset` or an (x, y) pair to learn from.
        validation: The same, held out from `train`, for schedules and for the log; None if nothing needs it.
        fit: `epochs` (20), `batch_size` (32) and whatever else `keras.Model.fit` takes.
        seed: Decides initial weights, order of examples, dropout; the same seed gives the same model.
        progress: Whether to show a bar of epochs; None for "where there is a terminal".

    Raises:
        InvalidInput: A builder that gives no compiled model; data that do not fit it; a schedule without validation; validation
            examples that are training examples.
        NotApplicable: A remedy that this model has no place for.
        TrainingDiverged: The loss became NaN or infinite; it says at which step, and its `model` has the last good weights.

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
        The log costs a pass over at most 256 training rows an epoch, or a 50th of them; `measure` looks at all. Losses that
        layers add themselves (activity penalties) are part of the data loss. Ctrl-C ends training early: what is done is given
        back, as it was after the last whole epoch.
    """
    recipe = recipe if isinstance(recipe, Recipe) else Recipe(recipe)
    check_seed(seed)
    fit = training.allowed(fit)
    clock, data = Stopwatch(), as_dataset(train)
    held = None if validation is None else as_dataset(validation)
    if held is not None:
        _check_alike(data, held)
        refuse_overlap(data, held)
    runs: list[_Trained] = []
    seeds = _seeds(recipe, seed)
    for number in seeds:
        try:
            runs.append(_trained(build, recipe, data, held, fit, seed=number, progress=progress))
        except KeyboardInterrupt:  # in the first epoch of a member: those before it are done
            if not runs:
                raise
            break
        if runs[-1].interrupted:
            break
    interrupted = runs[-1].interrupted or len(runs) < len(seeds)
    model = runs[0].model if recipe.joining is None else recipe.joining.join([run.model for run in runs])
    told = [note for remedy in recipe.remedies for note in remedy.notes(runs[0].model, data, held)]
    for remedy in recipe.remedies:
        model = remedy.finish(model, data, held)
    wrapped = wrap(model)
    rows = sum(len(run.history["loss"]) for run in runs) * (len(data) + (len(held) if held else 0))
    notes = tuple(dict.fromkeys([*_of_members(recipe, runs), *told]))
    about = Provenance(recipe, seed, rows, clock.seconds, wrapped.fingerprint(), versions=versions(), notes=notes)
    beside = {r.slot: found for r in recipe.remedies if (found := r.after(wrapped, held)) is not None}
    return Run(wrapped, runs[0].history, recipe, runs[0].kept, interrupted, about, beside)


def _check_alike(data: Dataset, held: Dataset) -> None:
    """Raise where validation inputs are of other names or shapes than those that are learnt from."""
    shapes = [
        {n: a.shape[1:] for n, a in part.x.items()} if isinstance(part.x, dict) else part.x.shape[1:]
        for part in (data, held)
    ]
    if shapes[0] != shapes[1]:
        raise InvalidInput(f"validation: expected examples of shape {shapes[0]}, as those of train, got {shapes[1]}")


def _of_members(recipe: Recipe, runs: list[_Trained]) -> list[str]:
    """What is to be told of each training; of several, which it was."""
    many = recipe.joining is not None
    found = [f"member {i}: {note}" if many else note for i, run in enumerate(runs, 1) for note in run.notes]
    missing = recipe.joining.members - len(runs) if recipe.joining is not None else 0
    return [
        *found,
        *([f"training was interrupted; {missing} of {missing + len(runs)} members are not there"] if missing else []),
    ]


def _seeds(recipe: Recipe, seed: int) -> list[int]:
    """A seed for each member: the first is that of the model alone."""
    others = 0 if recipe.joining is None else recipe.joining.members - 1
    return [seed, *map(int, stream(seed, "members").integers(2**31, size=others))]


@dataclass(frozen=True)
class _Trained:
    """What one training gave."""

    model: Any
    history: dict[str, Any]
    kept: int
    notes: tuple[str, ...]
    interrupted: bool


def _trained(
    build: training.Build,
    recipe: Recipe,
    data: Dataset,
    held: Dataset | None,
    fit: Mapping[str, Any] | None,
    *,
    seed: int,
    progress: bool | None,
) -> _Trained:
    """One model, trained by what the recipe says of data, model, step and schedules."""
    schedules = [call for remedy in recipe.remedies for call in remedy.callbacks(validated=held is not None)]
    learnt = data
    for remedy in recipe.remedies:
        learnt = remedy.prepare(learnt, seed)
    batch = training.batch_size(fit)
    for remedy in recipe.remedies:
        remedy.require(min(batch, len(learnt)))
    model = _prepared(build, recipe, learnt, seed)
    step, settings = _step(model, recipe, learnt, fit, seed)
    trained = step.model if step else model
    ledger = Ledger(trained, recipe.remedies, step, batch)
    parts = [Part(model, data, rows=logged(len(data), seed)), *([Part(model, held, "val_")] if held else [])]
    log = Log(model, ledger, parts, batch, logged(len(learnt), seed))
    fed = learnt if step is None else Dataset(step.given(), learnt.y)
    interrupted = False
    with ledger.charged():
        try:
            training.fit(
                trained, fed, settings=settings, seed=seed, callbacks=[log.callback(), *schedules], progress=progress
            )
        except KeyboardInterrupt:
            interrupted = True
            if not log.rows:
                raise
        last = len(log.rows) - 1
        kept, note = _cut_short(schedules, last) if interrupted else _ended(schedules, last)
        log.again(kept)
    return _Trained(model, log.columns(), kept, (note,) if note else (), interrupted)


def _prepared(build: training.Build, recipe: Recipe, data: Dataset, seed: int) -> Any:
    """A fresh model, rebuilt by the remedies, with its weights made."""
    model = training.fresh(build, seed)
    one = data.take(slice(0, 1)).x
    with seeded(seed, "recipe"):
        _made(model, one)
        for remedy in recipe.remedies:
            model = _made(remedy.rebuild(model), one)
    return model


def _made(model: Any, one: Any) -> Any:
    """The model with its weights made, which some make only when they first see an example."""
    if not model.built:
        model(one, training=False)
    return model


def _step(
    model: Any, recipe: Recipe, data: Dataset, fit: Mapping[str, Any] | None, seed: int
) -> tuple[Step | None, Mapping[str, Any] | None]:
    """The changed step, if there is one, and what is left to tell Keras: weights of examples go with the step."""
    if not recipe.in_steps:
        return None, fit
    settings = dict(fit or {})
    weight = settings.pop("sample_weight", None)
    weight = None if weight is None else weights_of_examples(weight, data)
    if (by_class := settings.pop("class_weight", None)) is not None:
        weights = weights_of_classes(by_class, data)
        weight = weights if weight is None else weights * weight
    with seeded(seed, "step"):
        return Step(model, recipe.in_steps, data, seed=seed, weight=weight), settings


def _ended(schedules: Sequence[Any], last: int) -> tuple[int, str]:
    """The epoch whose weights are kept after training, and what is to be told of it."""
    kept = int(next((call.best_epoch for call in schedules if getattr(call, "best_weights", None)), last))
    told = f"training ended after epoch {last + 1}; the weights of epoch {kept + 1} were the best and are kept"
    return kept, told if kept != last else ""


def _cut_short(schedules: Sequence[Any], last: int) -> tuple[int, str]:
    """The same where training was interrupted. Keras has told schedules of no end; those that have something to bring to one
    do so in `cut_short`, of the epoch that is kept and what the weights are.
    """
    kept, told = last, f"the weights are those after epoch {last + 1}"
    for call in schedules:
        kept, told = call.cut_short(kept, told) if hasattr(call, "cut_short") else (kept, told)
    return kept, f"training was interrupted; {told}"
