"""Gathers the evidence of an audit, step by step; a step that fails is told and the others go on."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any

import numpy as np

from pellucid.core.baselines import MaskToken
from pellucid.core.dataset import Dataset, as_dataset
from pellucid.core.measurement import Measurement
from pellucid.core.model import Model, to_array, wrap
from pellucid.core.numbers import counted
from pellucid.core.progress import Progress
from pellucid.core.randomness import stream
from pellucid.core.vocabulary import blank, special
from pellucid.errors import InvalidInput, InvalidOption, NotApplicable, NotDifferentiable, UnsupportedLayer
from pellucid.explain.attention.reading import AttentionReading
from pellucid.explain.base import Explanation, Method, explain
from pellucid.measure.base import LEFT_OUT, checked_labels, default_measures, fingerprint, measure
from pellucid.plot.ranking import Importance, summarise
from pellucid.report import attention, selection
from pellucid.report.checks import CHECKS
from pellucid.report.checks.base import Evidence, explained, run
from pellucid.report.finding import Finding
from pellucid.report.selection import CHECKED, SAMPLE


@dataclass
class Gathered:
    """What has been found so far; the fields of an `Audit` that hold evidence, filled in as the steps are done."""

    model: Model
    train: Dataset
    test: Dataset
    seed: int
    subject: Mapping[str, Any] = field(default_factory=dict)
    measurements: tuple[Measurement, ...] = ()
    explanation: Explanation | None = None
    sampled: int = 0
    importance: Importance | None = None
    examples: tuple[selection.Example, ...] = ()
    attention: AttentionReading | None = None
    attended: Explanation | None = None
    verification: tuple[Measurement, ...] = ()
    trust: str = "unverified"
    trust_reason: str = ""
    findings: tuple[Finding, ...] = ()
    skipped: tuple[tuple[str, str], ...] = ()
    failures: list[tuple[str, str]] = field(default_factory=list)

    @property
    def evaluations(self) -> int:
        """Rows given to the model by everything done."""
        results = [
            *self.measurements,
            *self.verification,
            *(r for r in (self.explanation, self.attention, self.attended) if r is not None),
        ]
        return sum(r.provenance.evaluations for r in results)

    @property
    def fingerprint(self) -> str:
        """The model's fingerprint."""
        return self.model.fingerprint()

    @property
    def inputs(self) -> str:
        """The fingerprint of both data sets."""
        return fingerprint(self.train, self.test)


def gather(model: Any, splits: tuple[Any, Any], asked: Mapping[str, Any], seed: int, progress: bool | None) -> Gathered:
    """Measure, explain, verify and check; see `audit` for what is asked."""
    train, test = map(as_dataset, splits)
    found = Gathered(wrap(model), train, test, seed)
    _require_sound(found.model, train, test)
    found.subject = _subject(found.model, train, test)
    measures = default_measures() if asked["measures"] is None else list(asked["measures"])
    with Progress("auditing", 4, progress) as bar:
        if measures:
            _measure(found, measures, asked["budget"])
        bar.advance()
        _attempt(found, "explaining", lambda: _explain(found, asked["method"], asked["examples"]))
        _attempt(found, "reading attention", lambda: _read(found))
        bar.advance()
        _attempt(found, "verifying the explanation", lambda: _verify(found))
        _attempt(found, "checking attention", lambda: _attend(found))
        bar.advance()
        found.findings, skipped = run(CHECKS, _evidence(found))
        found.skipped = (*found.failures, *_left_out(found.measurements), *skipped)
        bar.advance()
    return found


def _require_sound(model: Model, train: Dataset, test: Dataset) -> None:
    """Refuse data that do not fit the model before any work is done."""
    for split, data in (("train", train), ("test", test)):
        try:
            model.prepare(data)
        except InvalidInput as problem:
            raise InvalidInput(f"{split}: {problem}") from problem
        if data.y is None:
            raise InvalidInput(f"{split}: an audit needs labels; give {split}=pl.Dataset(x, y)")
        checked_labels(split, data.y, model.classes if model.task == "classification" else 0)


def _attempt(found: Gathered, doing: str, step: Callable[[], None]) -> None:
    """Do one step; where it fails, note what was being done and why it could not be."""
    said = doing[0].upper() + doing[1:]
    try:
        step()
    except InvalidOption:
        raise  # a mistake in what was asked, not in what was found
    except NotApplicable as reason:
        found.failures.append((said, str(reason)))
    except Exception as problem:  # one failing step is told in the report; the others still count
        found.failures.append((said, f"failed: {type(problem).__name__}: {problem}"))


def _measure(found: Gathered, measures: Sequence[Any], budget: float | None) -> None:
    """All measures in one call, which runs the model once; where one of them fails, each on its own."""
    data: dict[str, Any] = {"train": found.train, "test": found.test, "seed": found.seed, "progress": False}
    try:
        found.measurements = measure(found.model, measures, budget=budget, **data)
        return
    except InvalidOption:
        raise
    except Exception:  # which one it was, and why, is found below
        found.measurements = ()

    def one(item: Any) -> None:
        found.measurements += measure(found.model, item, **data)

    for item in measures:
        _attempt(found, f"measuring {type(item).__name__}", partial(one, item))


def _left_out(measurements: Sequence[Measurement]) -> list[tuple[str, str]]:
    """What the budget did not reach for, and why."""
    short = [m for m in measurements if m.verdict == LEFT_OUT]
    return [(f"Measuring {type(m.provenance.method).__name__}", explained(m)) for m in short]


def _explain(found: Gathered, method: Any, examples: Any) -> None:
    chosen = selection.choose(found.model, found.test, examples, SAMPLE, found.seed)
    rows = found.test.take(chosen.rows)
    method = method or _method(found.model, found.train)
    found.explanation = _explained(found, rows, method)
    found.sampled = chosen.sampled
    found.importance = summarise(part(found.explanation, slice(0, chosen.sampled)), seed=found.seed)
    found.examples = selection.describe(found.model, found.test, chosen)


def _read(found: Gathered) -> None:
    found.attention = attention.read(found.model, found.test, found.examples)
    if found.attention is not None:
        found.attended = attention.laid(found.model, found.test, found.examples, found.attention)


def _explained(found: Gathered, rows: Dataset, method: Method) -> Explanation:
    try:
        return explain(found.model, rows, method, seed=found.seed, progress=False)
    except (NotDifferentiable, UnsupportedLayer) as problem:
        other = _without_gradients(found.train)
        found.failures.append(
            (f"Explaining by {type(method).__name__}", f"{str(problem).rstrip('.')}. {type(other).__name__} was used.")
        )
        return explain(found.model, rows, other, seed=found.seed, progress=False)


def _method(model: Model, train: Dataset) -> Method:
    from pellucid.explain.gradients.path import IntegratedGradients

    return IntegratedGradients(baseline=baseline(train))


def _without_gradients(train: Dataset) -> Method:
    from pellucid.explain.perturbation.occlusion import Occlusion
    from pellucid.explain.perturbation.shapley import PermutationShapley

    return (
        PermutationShapley(baseline=baseline(train)) if train.kind == "tabular" else Occlusion(baseline=baseline(train))
    )


def baseline(train: Dataset) -> Any:
    """What stands for "nothing": the mean row of a table, a word that says nothing in a text, else zero (black, silence)."""
    x = train.x
    if isinstance(x, dict) or x.dtype.kind not in "fiu" or x.ndim != 2:
        return 0.0
    if train.kind == "text":
        words = train.vocabulary or ()
        word = blank(words)
        return 0.0 if word is None else MaskToken(word, keep=special(words))
    return x.mean(axis=0, dtype=np.float64).astype(np.float32) if train.kind == "tabular" else 0.0


def references(train: Dataset) -> dict[str, Any]:
    """What training data has to give to a method: its `baseline`, and a `background` of at most 100 rows."""
    rows = stream(0, "background").permutation(len(train))[:100]
    return {"baseline": baseline(train), "background": train.take(np.sort(rows)).x}


def part(explanation: Explanation, index: Any) -> Explanation:
    """Some of the examples of an explanation."""
    count, changes = len(explanation), {}
    pick = lambda a: a[index] if a.ndim > 1 and len(a) == count else a  # noqa: E731  # a baseline may be one for all
    for f in dataclasses.fields(explanation):
        value = getattr(explanation, f.name)
        if isinstance(value, Mapping):
            changes[f.name] = {name: pick(np.asarray(array)) for name, array in value.items()}
        elif isinstance(value, np.ndarray):
            changes[f.name] = pick(value) if f.name == "baseline" else value[index]
    return dataclasses.replace(explanation, **changes)


def _verify(found: Gathered) -> None:
    from pellucid.verify.base import verify

    result = verify(found.model, _sample(found), seed=found.seed, progress=False)
    found.verification, found.trust, found.trust_reason = tuple(result), result.verdict, result.reason


def _attend(found: Gathered) -> None:
    """Whether attention is a faithful account of this model; what that says of explanations made of it."""
    from pellucid.verify.base import verify
    from pellucid.verify.trust import judge

    if found.attention is None:
        return
    sample = _sample(found)
    done = verify(found.model, sample, attention.check(found.attention), seed=found.seed, progress=False)
    found.verification += tuple(done)
    if found.trust != "unverified" and getattr(sample.method, "reads_attention", False):
        sure = float(np.mean(sample.converged))
        found.trust, found.trust_reason = judge(found.verification, sure, reads_attention=True)


def _sample(found: Gathered) -> Explanation:
    """The part of the explanation that is verified."""
    if found.explanation is None:
        raise NotApplicable("there is no explanation to verify")
    return part(found.explanation, _fair(found))


def _fair(found: Gathered) -> Any:
    """Rows to verify on, drawn from the fair sample: its first rows are in the order of the file."""
    rows = stream(found.seed, "verified").permutation(found.sampled)[:CHECKED]
    return np.sort(rows)


def _evidence(found: Gathered) -> Evidence:
    sample = None if found.explanation is None else part(found.explanation, slice(0, found.sampled))
    return Evidence(
        found.measurements, found.verification, (found.trust, found.trust_reason), sample, found.importance,
        _commonest(found), tuple(found.failures),
    )  # fmt: skip


def _commonest(found: Gathered) -> tuple[str, float] | None:
    if found.model.task != "classification":
        return None
    classes, counts = np.unique(found.test.y, return_counts=True)
    return found.test.label(int(classes[counts.argmax()])), float(counts.max() / counts.sum())


def _subject(model: Model, train: Dataset, test: Dataset) -> dict[str, Any]:
    names = [data.name.split(" (")[0] for data in (test, train) if data.name]
    return {
        "model": model.name, "task": model.task, "output": model.output, "data": names[0] if names else "unnamed data",
        "kind": test.kind, "train_rows": len(train), "test_rows": len(test),
        "parameters": int(sum(np.prod(to_array(w).shape) for w in model.weights)),
        "inputs": _inputs(test), "classes": _classes(model, test), "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }  # fmt: skip


def _inputs(data: Dataset) -> str:
    if isinstance(data.x, dict):
        return f"{len(data.x)} inputs"
    shape = data.x.shape[1:]
    if data.kind == "tabular":
        columns = len(set(data.columns)) if data.columns else shape[-1] if shape else 1
        return f"{columns} columns" + (f" ({shape[-1]} after encoding)" if shape and columns != shape[-1] else "")
    if data.kind == "text" and len(shape) == 1:
        return f"up to {counted(shape[0], 'word')}"
    return " × ".join(map(str, shape)) + f" {data.kind}"


def _classes(model: Model, data: Dataset) -> tuple[str, ...]:
    return tuple(data.label(k) for k in range(model.classes)) if model.task == "classification" else ()
