"""The verb `explain`: one call for every attribution method."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from pellucid.core import flow, hidden
from pellucid.core.dataset import Dataset
from pellucid.core.hidden import joined, of_unit, target_of_unit
from pellucid.core.inputs import fingerprint
from pellucid.core.model import Model, wrap
from pellucid.core.randomness import check_seed
from pellucid.core.record import Provenance, Record, Stopwatch, Value, versions
from pellucid.core.target import Resolved, Target, Unit, resolve, resolve_early
from pellucid.errors import InvalidInput, InvalidOption
from pellucid.explain.question import Asked, Question, require_finite
from pellucid.shapes import Array, Floats, Inputs

RESOLUTION = 1e-6
"""Smallest relative error that is ever claimed: sums of float32 numbers hold no more."""


@dataclass(frozen=True, eq=False)
class Explanation(Record):
    """How much each part of an input counts for one output number.

    Attributes:
        values: Attributions, the shape of the inputs (B, ...); a dict of them where the inputs are a dict. Tokens (B, T)
            get one number each.
        inputs: What was explained, as given.
        output: The asked-about score of each example (B,).
        classes: The class asked about (B,), -1 where the target is not a class.
        converged: Whether each example reached the tolerance (B,).
        evaluations: Rows the method gave to the model for each example (B,), a gradient counting as one.
        selector: Weights (B, K) of the scores that make `output`; all zero for a callable target.
        baseline: What stands for "nothing" (the shape of the inputs), or None where the method has none.
        baseline_output: The score at the baseline (B,), or None.
        error: Estimated relative L2 error of each whole map (B,), meant to bound the true one for 95 % of
            examples; None for a method without sampling or integration.
        gap: |sum of values - (output - baseline_output)| (B,) for methods that promise completeness, else None.
        standard_error: Standard error of every value, the shape of `values`, for sampling methods, else None.
        samples: Independent draws behind each example's standard errors (B,), else None.
        layer: The hidden layer that was read, or None.
        hidden: Whether `values` are about what that layer puts out, and have its shape (a dict of them by "layer:0",
            "layer:1" where it is called several times), instead of the inputs.
        unit: The hidden unit that is asked about, or None.
        kind, feature_names, class_names, columns, vocabulary: From the dataset, for reading and drawing.
        provenance: Method, seed, cost, fingerprints of model and inputs, versions, notes.
    """

    values: Any
    inputs: Any
    output: Floats
    classes: Array
    converged: Array
    evaluations: Array
    selector: Array
    baseline: Any = None
    baseline_output: Floats | None = None
    error: Floats | None = None
    gap: Floats | None = None
    standard_error: Any = None
    samples: Array | None = None
    layer: str | None = None
    hidden: bool = False
    unit: Unit | None = None
    kind: str = "tabular"
    feature_names: Sequence[str] | None = None
    class_names: Sequence[str] | None = None
    columns: Sequence[str] | None = None
    vocabulary: Sequence[str] | None = None
    provenance: Provenance = field(default_factory=Provenance)

    @property
    def method(self) -> Any:
        """The method, with its options."""
        return self.provenance.method

    def __len__(self) -> int:
        return len(self.output)

    def interval(self, level: float = 0.95) -> tuple[Any, Any]:
        """Low and high ends of a confidence interval of every value, from its standard error and Student's t.

        Raises:
            InvalidOption: The method gives no standard errors.
        """
        from scipy.stats import t

        if self.standard_error is None or self.samples is None:
            raise InvalidOption(f"{type(self.method).__name__} does not sample, so it has no interval; see `error`")
        factor = t.ppf(0.5 + level / 2, np.maximum(self.samples - 1, 1))
        sides = [_apply(_reach, self.values, self.standard_error, sign * factor) for sign in (-1, 1)]
        return sides[0], sides[1]


def _reach(values: Array, errors: Array, factor: Array) -> Array:
    return values + per_example(factor, values) * errors


def _apply(function: Any, first: Any, second: Any, factor: Array) -> Any:
    if isinstance(first, dict):
        return {name: function(first[name], second[name], factor) for name in first}
    return function(first, second, factor)


@dataclass(frozen=True)
class Attribution:
    """What a method answers; arrays as in `Explanation`, one map an input; or one a call of `layer`, where `hidden`."""

    values: tuple[Floats, ...]
    evaluations: Array
    converged: Array
    error: Floats | None = None
    standard_error: tuple[Floats, ...] | None = None
    samples: Array | None = None
    baseline: tuple[Array, ...] | None = None
    baseline_output: Floats | None = None
    complete: bool = False
    layer: str | None = None
    hidden: bool = False
    notes: tuple[str, ...] = ()


class Method(Value, ABC):
    """An attribution method: a frozen dataclass whose fields are its options."""

    owns: ClassVar[bool] = True
    takes_shift: ClassVar[bool] = False
    """Whether `Question.shift` is honoured, so that noise can be added to embeddings."""

    reads_attention: ClassVar[bool] = False
    """Whether the values are made of the model's attention, so that they are no truer than that is."""

    @property
    def contributes(self) -> bool:
        """Whether values are signed contributions to the score (True), or slopes (False)."""
        return True

    @abstractmethod
    def attribute(self, question: Question) -> Attribution:
        """Answer a question; everything about names, records and cost is left to `explain`."""


def explain(
    model: Any,
    x: Inputs | Dataset,
    method: Method,
    target: Target = "predicted",
    *,
    seed: int = 0,
    progress: bool | None = None,
) -> Explanation:
    """Explain a model's outputs: how much each part of each input counts.

    Args:
        model: A model, or what `wrap` takes.
        x: Examples (B, ...), a dict of them for several inputs, or a `Dataset` (needed for target "label"; its names
            are kept).
        method: An attribution method, `IntegratedGradients()` for one.
        target: The output asked about: a class index, an array (B,) of them, "predicted", "label", a `Margin` between
            two classes, or a callable from scores (B, K) to (B,), written in `keras.ops` for gradient methods.
        seed: For methods that draw; the same seed gives the same numbers.
        progress: Whether to show a bar; None: where there is a terminal.

    Returns:
        An `Explanation`, with the uncertainty of every number in it.

    Raises:
        InvalidInput: Inputs or a target that do not fit the model.
        NotDifferentiable: A gradient method for a model without gradients.

    Example:
        >>> import keras, numpy as np, pellucid as pl
        >>> f = lambda x: 5 * x[:, 0] + x[:, 1] ** 2 + keras.ops.sin(x[:, 2])
        >>> method = pl.IntegratedGradients(baseline=np.array([0.5, 1, 1]), tolerance=1e-5)
        >>> e = pl.explain(f, np.array([[1.0, 2.0, 3.0]]), method)
        >>> e.values.astype(float).round(4).tolist(), bool(e.converged[0])
        ([[2.5, 3.0, -0.7004]], True)

    Limits:
        An attribution says what this model responds to, not what causes the outcome in the world; verify it first.
    """
    if not isinstance(method, Method):
        raise InvalidOption(f"explain: method: expected a method such as pl.IntegratedGradients(), got {method!r}")
    clock, model = Stopwatch(), wrap(model)
    data = x if isinstance(x, Dataset) else None
    inputs = model.prepare(x)
    unit = target if isinstance(target, Unit) else None
    if unit is not None:
        model = of_unit(model, unit, inputs)
    asked = _asked(model, inputs, target, data.y if data else None)
    question = Question(
        model, inputs, asked, check_seed(seed), data.kind or "tabular" if data else _kind(inputs),
        data.columns if data else None, progress=progress,
    )  # fmt: skip
    return _recorded(question, method, method.attribute(question), data, clock)


def _asked(model: Model, inputs: tuple[Array, ...], target: Target, labels: Array | None) -> Asked:
    unit = isinstance(target, Unit)

    def made(scores: Floats) -> Resolved:
        require_finite("x", model, scores)
        return target_of_unit(scores) if unit else resolve(target, scores, labels, binary=model.binary)

    count, outputs = len(inputs[0]), model.columns
    early = None if unit else resolve_early(target, outputs, count, labels, binary=model.binary)
    return Asked(lambda: model.outputs_of(inputs), made, early)


def _recorded(q: Question, method: Method, found: Attribution, data: Dataset | None, clock: Stopwatch) -> Explanation:
    unit = getattr(q.model, "unit", None)
    names = q.model.names
    as_given = lambda maps: None if maps is None else (dict(zip(names, maps, strict=True)) if names else maps[0])  # noqa: E731
    in_place = (
        (lambda maps: None if maps is None else joined(maps, found.layer or "layer")) if found.hidden else as_given
    )
    notes = tuple(
        note
        for note in (
            q.model.anatomy.note,
            *flow.notes(q.model),
            *hidden.notes(q.model, found.layer, q.inputs),
            *found.notes,
            _flatness(q, found),
        )
        if note
    )
    provenance = Provenance(
        method=method, seed=q.seed, evaluations=int(found.evaluations.sum()), seconds=clock.seconds,
        model=q.model.fingerprint(), inputs=fingerprint(q.inputs), versions=versions(), notes=notes,
    )  # fmt: skip
    gap = None
    if found.complete and found.baseline_output is not None:
        gap = completeness_gap(found.values, q.output - found.baseline_output)
    return Explanation(
        values=in_place(found.values), inputs=as_given(q.inputs), output=q.output, classes=q.target.classes,
        converged=found.converged, evaluations=found.evaluations, selector=q.target.selector,
        baseline=as_given(found.baseline), baseline_output=found.baseline_output, error=found.error, gap=gap,
        standard_error=in_place(found.standard_error), samples=found.samples, layer=found.layer, hidden=found.hidden,
        unit=unit, kind=q.kind, provenance=provenance, **(data.described if data else {}),
    )  # fmt: skip


def _flatness(q: Question, found: Attribution) -> str:
    """What to say where maps are zero everywhere: a flat place is an answer, a score that depends on nothing hardly one.

    Raises:
        InvalidInput: A hidden layer that the score does not depend on.
    """
    still = int((~np.any([flat(m).any(1) for m in found.values], axis=0)).sum())
    if still < len(q) or not q.model.differentiable:
        return f"{still} of {len(q)} maps are zero everywhere: the score is flat there" if still else ""
    if flow.acts(q.opened(found.layer if found.hidden else None).model, q.target, q.inputs):
        return "all maps are zero everywhere: the score is flat there"
    if found.hidden:
        raise InvalidInput(
            f"layer: the score does not depend on the layer {found.layer!r}; there is nothing to explain"
        )
    return "all maps are zero everywhere: the score does not depend on the input, whatever is put in its place"


def _kind(inputs: Sequence[Array]) -> str:
    return {4: "image", 3: "sequence"}.get(inputs[0].ndim, "tabular")


def flat(array: Array) -> Array:
    """An array (B, ...) as (B, N)."""
    return array.reshape(len(array), -1)


def per_example(numbers: Array, like: Array) -> Array:
    """Numbers (B,) shaped to broadcast over arrays (B, ...)."""
    return numbers.reshape(-1, *[1] * (like.ndim - 1))


def map_norm(maps: Sequence[Array]) -> Floats:
    """L2 norm of each example's whole map (B,), over all inputs."""
    return np.sqrt(sum(np.square(flat(m), dtype=np.float64).sum(1) for m in maps))


def completeness_gap(maps: Sequence[Array], change: Floats) -> Floats:
    """How far each example's whole map, added up, is from the change in score (B,) that it should account for."""
    return np.abs(sum(flat(m).sum(1, dtype=np.float64) for m in maps) - change)


def relative(size: Floats, norm: Floats) -> Floats:
    """`size / norm`, but not below what float32 resolves; 0 where both are 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(size == 0, np.where(norm == 0, 0.0, RESOLUTION), np.maximum(size / norm, RESOLUTION))


def sampling_error(values: Sequence[Array], standard_error: Sequence[Array]) -> Floats:
    """95 % bound of the relative L2 error (B,) of sampled maps.

    The squared error of a map is a sum of squares with expectation S1 = sum of se^2; it is taken for S1/nu times a
    chi-square of nu = S1^2 / sum of se^4 degrees of freedom (Satterthwaite 1946, doi:10.2307/3002019).
    """
    from scipy.special import chdtri

    squares = np.concatenate([np.square(flat(s), dtype=np.float64) for s in standard_error], axis=1)
    total, fourth = squares.sum(1), (squares**2).sum(1)
    freedom = np.maximum(relative(total**2, fourth), 1.0)
    bound = np.sqrt(total * chdtri(freedom, 0.05) / freedom)
    return relative(bound, map_norm(values))
