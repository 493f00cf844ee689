"""The verb `verify`: an explanation is checked against the model it claims to describe."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np

from pellucid.core.baselines import resolve_baseline
from pellucid.core.hidden import of_unit
from pellucid.core.masks import Players, make_players
from pellucid.core.measurement import Measurement
from pellucid.core.model import Model, wrap
from pellucid.core.randomness import check_seed
from pellucid.core.record import Provenance, Record, Stopwatch, Value, versions
from pellucid.core.target import Resolved
from pellucid.errors import InvalidInput, InvalidOption, NotApplicable
from pellucid.explain.base import Asked, Explanation, Method, Question
from pellucid.shapes import Array, Floats
from pellucid.verify.trust import judge


@dataclass(frozen=True)
class Case:
    """An explanation under examination: its model, its question, and the maps to be checked, one an input."""

    question: Question
    explanation: Explanation
    maps: tuple[Floats, ...]
    found: dict[Any, Any] = field(default_factory=dict, repr=False)

    def kept(self, key: Any, make: Callable[[], Any]) -> Any:
        """Something that `make` finds out about this case once, for every check that asks."""
        if key not in self.found:
            self.found[key] = make()
        return self.found[key]

    @property
    def model(self) -> Model:
        """The explained model."""
        return self.question.model

    @property
    def method(self) -> Method:
        """The method that gave the explanation."""
        return self.explanation.method

    def players(self, patch: Any = None) -> Players:
        """The parts that are hidden and shown: columns, tokens or patches."""
        return make_players(self.question.inputs, self.question.kind, patch=patch, columns=self.question.columns)

    def fill(self, baseline: Any = None) -> tuple[Array, ...]:
        """What stands for a hidden part: as asked, else the explanation's own baseline, else zero."""
        chosen = baseline if baseline is not None else self.explanation.baseline
        return resolve_baseline(0.0 if chosen is None else chosen, self.model, self.question.inputs)


class Check(Value, ABC):
    """A test of an explanation: a frozen dataclass whose fields are its options.

    A subclass states which way is better of its value: "higher", "lower", or "" where neither is.
    """

    owns: ClassVar[bool] = True
    better: ClassVar[str] = ""

    @abstractmethod
    def check(self, case: Case) -> Measurement:
        """Examine a case; provenance is left to `verify`."""


@dataclass(frozen=True, eq=False)
class Verification(Record):
    """Results of checks, in the order they were asked for, and what they amount to.

    Attributes:
        results: A `Measurement` for each check.
        verdict: "trusted", "doubtful" or "refuted".
        reason: Why, with the numbers, in plain words.
        explanation: Fingerprint of the explained inputs.
    """

    results: Sequence[Measurement]
    verdict: str
    reason: str
    explanation: str = ""

    def __len__(self) -> int:
        return len(self.results)

    def __iter__(self) -> Iterator[Measurement]:
        return iter(self.results)

    def __getitem__(self, index: int) -> Measurement:
        return self.results[index]

    def __str__(self) -> str:
        return "\n".join([f"{self.verdict}: {self.reason}", *map(str, self.results)])


def verify(
    model: Any,
    explanation: Explanation,
    checks: Check | Sequence[Check] | None = None,
    *,
    seed: int = 0,
    progress: bool | None = None,
) -> Verification:
    """Check an explanation against its model, and say whether it can be trusted.

    Args:
        model: The model that was explained, or what `wrap` takes.
        explanation: What `explain` gave.
        checks: Checks such as `Deletion()`; None for deletion, insertion and parameter randomization.
        seed: For random rankings and random weights.
        progress: Whether to show a bar; None: where there is a terminal.

    Returns:
        A `Verification`: one result a check, in order, and the verdict they add up to: "trusted" when every test of
        faithfulness beats random rankings and the explanation changes with the model's weights; "refuted" when it
        does worse than random, no better than random in every test, or the same without the model's weights; else
        "doubtful".

    Raises:
        InvalidInput: An explanation of another model, or one whose callable target was lost in saving.

    Example:
        >>> import keras, numpy as np, pellucid as pl
        >>> keras.utils.set_random_seed(0)
        >>> net = keras.Sequential([keras.Input((6,)), keras.layers.Dense(16, "relu"), keras.layers.Dense(2)])
        >>> x = np.random.default_rng(0).normal(size=(40, 6))
        >>> e = pl.explain(net, x, pl.IntegratedGradients())
        >>> pl.verify(net, e, [pl.Deletion(), pl.Insertion()])[0].verdict
        'better than random'

    Limits:
        Faithful to the model is not true of the world. Hiding makes inputs the model was not trained on; the random
        rankings meet the same inputs, which is why they are the yardstick.
    """
    chosen = usual() if checks is None else checks
    chosen = [chosen] if isinstance(chosen, Check) else list(chosen)
    for check in chosen:
        if not isinstance(check, Check):
            raise InvalidOption(f"verify: checks: expected checks such as pl.Deletion(), got {check!r}")
    case = _case(wrap(model), explanation, check_seed(seed), progress)
    results = tuple(_checked(case, check) for check in chosen)
    sure, reads = float(np.mean(explanation.converged)), getattr(explanation.method, "reads_attention", False)
    verdict, reason = judge(results, sure, reads_attention=reads)
    return Verification(results, verdict, reason, explanation.provenance.inputs)


def usual() -> list[Check]:
    """The checks that are made where none are asked for: deletion, insertion and parameter randomization."""
    from pellucid.verify.faithfulness import Deletion, Insertion
    from pellucid.verify.randomization import ParameterRandomization

    return [Deletion(), Insertion(), ParameterRandomization()]


def _case(model: Model, e: Explanation, seed: int, progress: bool | None) -> Case:
    if not isinstance(e, Explanation):
        raise InvalidInput(f"verify: expected an Explanation, got {type(e).__name__}")
    if e.hidden:
        raise InvalidInput(
            f"the values are about what layer {e.layer!r} puts out; only values of the inputs can be verified: explain without "
            "a hidden layer (class activation maps: resize=True)"
        )
    inputs = model.prepare(e.inputs)
    if (own := model.fingerprint()) != e.provenance.model:
        raise InvalidInput(
            f"the explanation is of another model: it was made for {e.provenance.model}, this one is {own}"
        )
    if e.unit is not None:
        model = of_unit(model, e.unit, inputs)
    maps = tuple(e.values[n] for n in model.names) if model.names else (e.values,)
    target = Resolved(np.asarray(e.selector), np.asarray(e.classes))
    if not np.any(target.selector):
        raise InvalidInput(
            "the explanation's target is a callable, which a record does not keep; explain a class or a Margin"
        )
    asked = Asked.known(target, np.asarray(e.output))
    question = Question(model, inputs, asked, seed, e.kind, e.columns, progress=progress)
    return Case(question, e, maps)


def _checked(case: Case, check: Check) -> Measurement:
    clock = Stopwatch()
    try:
        found = check.check(case)
    except NotApplicable as reason:
        found = Measurement(_snake(check), None, verdict="not applicable", detail={"explanation": str(reason)})
    p = case.explanation.provenance
    provenance = Provenance(
        method=check, seed=case.question.seed, evaluations=int(found.detail.get("evaluations", 0)), seconds=clock.seconds,
        model=p.model, inputs=p.inputs, versions=versions(),
    )  # fmt: skip
    return replace(found, provenance=provenance, better=check.better)


def _snake(check: Check) -> str:
    name = type(check).__name__
    return "".join(("_" if c.isupper() and i else "") + c.lower() for i, c in enumerate(name))
