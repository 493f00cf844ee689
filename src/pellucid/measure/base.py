"""The verb `measure`: one call for every quantity about how a model will do on new data."""

from __future__ import annotations

import dataclasses
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields
from typing import Any, ClassVar

import numpy as np

from pellucid.core.dataset import Dataset, as_dataset
from pellucid.core.inputs import broken_row
from pellucid.core.labels import checked_labels as checked_labels
from pellucid.core.measurement import Measurement as Measurement
from pellucid.core.model import Model, to_probabilities, wrap
from pellucid.core.progress import Progress
from pellucid.core.randomness import check_seed, stream
from pellucid.core.record import Provenance, Stopwatch, Value, versions
from pellucid.core.registry import entries
from pellucid.errors import InvalidInput, InvalidOption, NotApplicable
from pellucid.shapes import Array, Floats, Inputs

NOT_APPLICABLE, LEFT_OUT = "not applicable", "left out"


class Context:
    """What the measures of one call share: the data, and the model's answers on it, each computed once.

    Attributes:
        asking: Name of the measure that is being computed, for messages and random streams.
        evaluations: Rows given to the model so far.
        speed: Rows a second that it was seen to take, at best; 0 before it was run.
    """

    def __init__(self, model: Model | None, train: Dataset | None, test: Dataset | None, seed: int) -> None:
        self._model, self._data, self._seed = model, {"train": train, "test": test}, seed
        self._scores: dict[str, Floats] = {}
        self._labels: dict[str, Array] = {}
        self._shared: dict[Any, Any] = {}
        self.asking, self.evaluations, self.speed = "measure", 0, 0.0

    @property
    def model(self) -> Model:
        """The model; raises where none was given."""
        if self._model is None:
            raise InvalidInput(f"{self.asking} needs a model, got None")
        return self._model

    @property
    def has_model(self) -> bool:
        """Whether a model was given."""
        return self._model is not None

    def has(self, split: str) -> bool:
        """Whether "train" or "test" was given."""
        return self._data[split] is not None

    def data(self, split: str) -> Dataset:
        """The "train" or "test" examples; raises where none were given."""
        if (data := self._data[split]) is None:
            raise InvalidInput(f"{self.asking} needs {split}=pl.Dataset(x, y), got none")
        return data

    def once(self, key: Any, make: Callable[[], Any]) -> Any:
        """What `make` gives, made at the first question: for costly work that several measures of a call share."""
        if key not in self._shared:
            self._shared[key] = make()
        return self._shared[key]

    def stream(self, *purpose: str | int) -> np.random.Generator:
        """A generator for one purpose of the measure being computed, whatever else is measured beside it."""
        return stream(self._seed, self.asking, *purpose)

    @property
    def task(self) -> str:
        """The model's task: "classification" or "regression"."""
        data = self.data("test" if self.has("test") else "train")
        self.model.prepare(data.take(slice(0, 1)))  # the first look at the model tells
        self.model.require_one_output()
        return self.model.task

    def require_classes(self, why: str) -> None:
        """Raise `NotApplicable` for a model that gives values."""
        if self.task != "classification":
            raise NotApplicable(
                f"{self.asking} {why}, but {self.model.name} gives values; wrap it with output= if they are classes"
            )

    def scores(self, split: str) -> Floats:
        """The model's scores (B, K) of a split, computed at the first question."""
        if split not in self._scores:
            self._scores[split] = self.run(self.data(split).x, split)
        return self._scores[split]

    def run(self, x: Inputs, name: str) -> Floats:
        """The model's scores (B, K) of any inputs; `name` says in an error which ones."""
        watch = Stopwatch()
        try:
            found = self.model.scores(x)
        except InvalidInput as problem:
            raise InvalidInput(f"{name}: {problem}") from problem
        self.evaluations += len(found)
        self.speed = max(self.speed, len(found) / max(watch.seconds, 1e-9))
        if (row := broken_row(found)) is not None:
            raise InvalidInput(
                f"{name}: {self.model.name} gave NaN or infinity at row {row}; its numbers cannot be measured"
            )
        return found

    def probabilities(self, split: str) -> Floats:
        """Class probabilities (B, K) of a split."""
        return self.as_probabilities(self.scores(split), split)

    def as_probabilities(self, scores: Floats, name: str) -> Floats:
        """Class probabilities (B, K) of scores, or an error if they are none."""
        found = to_probabilities(scores, self.model.output)
        wrong = (found < -1e-6).any(axis=1) | (np.abs(found.sum(axis=1) - 1) > 1e-3)
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            least = found[row].min()
            why = f"one is {least:.4g}" if least < -1e-6 else f"they sum to {found[row].sum():.4g}"
            raise InvalidInput(
                f"{name}: the outputs of {self.model.name} at row {row} are no class probabilities ({why}); "
                "wrap the model with the right output=, or one model a label"
            )
        return np.clip(found, 0.0, 1.0)

    def values(self, split: str) -> Floats:
        """Predictions (B,) of a regression."""
        return self.as_values(self.scores(split))

    def as_values(self, scores: Floats) -> Floats:
        """Predictions (B,) of a regression's scores."""
        if scores.shape[1] != 1:
            raise NotApplicable(
                f"{self.asking} reads one value an example, but {self.model.name} gives {scores.shape[1]}"
            )
        return scores[:, 0].astype(float)

    def labels(self, split: str) -> Array:
        """The labels (B,) of a split, checked: class numbers of the model, or finite values for a regression."""
        if split not in self._labels:
            data = self.data(split)
            if data.y is None:
                raise InvalidInput(f"{split}: {self.asking} needs labels; give {split}=pl.Dataset(x, y)")
            classes = self.model.classes if self.task == "classification" else 0
            self._labels[split] = checked_labels(split, data.y, classes)
        return self._labels[split]


class Measure(Value, ABC):
    """A quantity, with its options; a frozen dataclass.

    A subclass states its `quantity` (the name its result carries) and computes a `Measurement` from a `Context`.
    It raises `NotApplicable` where the quantity makes no sense for the model or the data. Which way is better, and whether the
    quantity is a share, is stated for the class, or in the result where that depends on what was asked.
    """

    owns: ClassVar[bool] = True
    quantity: ClassVar[str]
    better: ClassVar[str] = ""
    share: ClassVar[bool] = False

    def passes(self, train: int, test: int) -> int:
        """About how many rows it gives the model, of so many, beyond their answers that all measures share.

        A pass back counts as two, a product with second derivatives as six.
        """
        del train, test
        return 0

    @abstractmethod
    def compute(self, context: Context) -> Measurement:
        """The quantity; provenance is added by `measure`."""


def measure(
    model: Any,
    measures: Measure | Sequence[Measure],
    *,
    train: Any = None,
    test: Any = None,
    seed: int = 0,
    budget: float | None = None,
    progress: bool | None = None,
) -> tuple[Measurement, ...]:
    """Measure how a model will do on new data.

    The model runs at most once on each split, however many measures read its answers.

    Args:
        model: A Keras model, `torch.nn.Module` or callable, wrapped or not; None where no measure needs one (`Leakage`).
        measures: What to measure; a single one gives a tuple of one.
        train: What the model was trained on: a `pl.Dataset` or an `(x, y)` pair.
        test: Data it has not seen, likewise.
        seed: Same seed, same numbers.
        budget: Seconds. Measures are made in the order of their cost, and those are left out that would take longer than what
            is left, at the speed the model was seen to run; None for no limit.
        progress: Show a bar; None shows it on a terminal.

    Returns:
        A `Measurement` for each measure, in order. One that makes no sense here has `value` None, the verdict
        "not applicable", and the reason in `detail["explanation"]`; one the budget does not reach for, "left out".

    Raises:
        InvalidInput: No data, NaN, labels that are missing or that the model does not have; names the split and row.
        InvalidOption: Something that is not a measure.

    Example:
        >>> import numpy as np, pellucid as pl
        >>> x = np.linspace(0, 1, 200)[:, None]
        >>> model = pl.wrap(lambda x: np.hstack([1 - x, x]), output="probabilities")
        >>> accuracy, = pl.measure(model, pl.Performance(), test=(x, (x[:, 0] > 0.4).astype(int)))
        >>> print(accuracy)
        performance.accuracy = 0.9 [0.8506, 0.9343]

    Limits:
        Rows that an earlier measure of the same call had the model run on are counted in that one's `evaluations`.
    """
    items = _checked(measures)
    seed = check_seed(seed)
    splits = tuple(None if d is None else as_dataset(d) for d in (train, test))
    context = Context(None if model is None else wrap(model), splits[0], splits[1], seed)
    shared = Provenance(
        seed=seed, model="" if model is None else context.model.fingerprint(), inputs=fingerprint(*splits), versions=versions()
    )  # fmt: skip
    sizes = [0 if d is None else len(d) for d in splits]
    order = sorted(range(len(items)), key=lambda i: 0 if budget is None else items[i].passes(*sizes))
    watch, found = Stopwatch(), dict[int, Measurement]()
    with Progress("measuring", len(items), progress) as bar:
        for i in order:
            over = "" if budget is None else _beyond(items[i].passes(*sizes), context.speed, budget - watch.seconds)
            found[i] = _left_out(items[i], over, shared) if over else _one(items[i], context, shared)
            bar.advance()
    return tuple(found[i] for i in range(len(items)))


def default_measures() -> list[Measure]:
    """The measures that need not be told anything, such as which groups there are: what an audit makes of itself.

    Example:
        >>> import pellucid as pl
        >>> asked = [*pl.default_measures(), pl.Subgroups("sex")]  # pl.audit(..., measures=asked)
    """
    kinds = [entry.load() for entry in entries("measure")]
    told = lambda f: f.default is MISSING and f.default_factory is MISSING  # noqa: E731
    return [kind() for kind in kinds if not any(map(told, fields(kind)))]


def _checked(measures: Any) -> Sequence[Measure]:
    items = (measures,) if isinstance(measures, Measure) else measures
    if not isinstance(items, Sequence) or isinstance(items, str) or not items:
        raise InvalidOption(f"measures: expected one measure or a list of them, such as [pl.Gap()], got {measures!r}")
    for item in items:
        if not isinstance(item, Measure):
            hint = f"; write pl.{item.__name__}() with its brackets" if isinstance(item, type) else ""
            raise InvalidOption(f"measures: expected measures such as pl.Gap(), got {item!r}{hint}")
    return items


def _beyond(rows: int, speed: float, left: float) -> str:
    """Why there is no time for so many rows; empty where there is."""
    needed = rows / speed if speed else 0.0
    if not rows or needed <= left:
        return ""
    return f"it would take about {needed:.0f} s, of which the budget leaves {max(0.0, left):.0f}; give a larger one"


def _left_out(item: Measure, why: str, shared: Provenance) -> Measurement:
    told = {"explanation": f"{type(item).__name__} was left out: {why}"}
    return Measurement(item.quantity, None, None, LEFT_OUT, told, dataclasses.replace(shared, method=item))


def _one(item: Measure, context: Context, shared: Provenance) -> Measurement:
    watch, before = Stopwatch(), context.evaluations
    context.asking = type(item).__name__
    try:
        found = item.compute(context)
    except NotApplicable as reason:
        found = Measurement(item.quantity, None, verdict=NOT_APPLICABLE, detail={"explanation": str(reason)})
    cost = {"evaluations": context.evaluations - before, "seconds": watch.seconds}
    way = {"better": found.better or item.better, "share": found.share or item.share}
    return dataclasses.replace(found, provenance=dataclasses.replace(shared, method=item, **cost), **way)


def fingerprint(*splits: Dataset | None) -> str:
    """Sixteen hexadecimal digits that change with any input, label or their order."""
    digest = hashlib.sha256()
    for data in splits:
        parts = {} if data is None else {**(data.x if isinstance(data.x, Mapping) else {"x": data.x}), "$y": data.y}
        for name, part in parts.items():
            array = np.asarray([] if part is None else part)
            array = np.ascontiguousarray(array.astype(str) if array.dtype == object else array)
            digest.update(f"{name}{array.dtype.str}{array.shape}".encode())
            digest.update(array.tobytes() if array.dtype.kind in "US" else array.data.cast("B") if array.size else b"")
        digest.update(b"|")
    return digest.hexdigest()[:16]
