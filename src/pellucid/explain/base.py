"""The verb `explain`: one call for every attribution method."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pellucid.core.dataset import Dataset
from pellucid.core.model import Model, wrap
from pellucid.core.progress import Progress
from pellucid.core.record import Provenance, Record, Stopwatch, Value, versions
from pellucid.core.randomness import check_seed
from pellucid.core.target import Resolved, Target, resolve
from pellucid.errors import InvalidOption
from pellucid.shapes import Array, Floats, Inputs


@dataclass(frozen=True, eq=False)
class Explanation(Record):
    """How much each part of an input counts for one output number.

    Attributes:
        values: Attributions, the shape of the inputs (B, ...); a dict of them where the inputs are a dict. Tokens (B, T)
            get one number each.
        inputs: What was explained, as given.
        output: The asked-about score of each example (B,).
        classes: The class asked about (B,), -1 where the target is not a class.
        baseline: What stands for "nothing" (broadcastable to the inputs), or None where the method has none.
        baseline_output: The score at the baseline (B,), or None.
        error: Estimated relative L2 error of each whole map (B,), or None for a method without one.
        gap: |sum of values - (output - baseline_output)| (B,) for methods that promise completeness, else None.
        standard_error: Standard error of every value, the shape of `values`, for sampling methods, else None.
        converged: Whether each example reached the tolerance (B,).
        evaluations: Rows given to the model for each example (B,), a gradient counting as one.
        selector: Weights (B, K) of the scores that make `output`; empty for a callable target.
        kind, feature_names, class_names, columns: From the dataset, for reading and drawing.
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
    kind: str = "tabular"
    feature_names: Sequence[str] | None = None
    class_names: Sequence[str] | None = None
    columns: Sequence[str] | None = None
    provenance: Provenance = field(default_factory=Provenance)

    @property
    def method(self) -> Any:
        """The method, with its options."""
        return self.provenance.method

    def __len__(self) -> int:
        return len(self.output)
