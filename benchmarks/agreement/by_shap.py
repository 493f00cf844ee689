"""shap: its explainers of torch modules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import shap
import torch

from benchmarks.agreement.rows import DRAWS
from benchmarks.agreement.samples import Sample
from benchmarks.agreement.twins import Tensors, Twin


def prepare(sample: Sample) -> Twin:
    """What a method is given."""
    return Twin(sample)


def _plain(tensors: Tensors) -> Any:
    return list(tensors) if len(tensors) > 1 else tensors[0]


def _explained(twin: Twin, kind: Any, background: Tensors, **options: Any) -> np.ndarray:
    """Values of the classes asked about; all classes lie along the last axis."""
    found = kind(twin.net, _plain(background)).shap_values(_plain(twin.x), **options)
    each = found if isinstance(found, list) else [found]
    rows = np.arange(len(twin.target))
    return twin.joined([torch.tensor(np.moveaxis(a, -1, 1)[rows, twin.target.numpy()]) for a in each])


METHODS: dict[str, Callable[[Twin], np.ndarray]] = {
    "deep_lift": lambda t: _explained(t, shap.DeepExplainer, t.baseline, check_additivity=False),
    "deep_shap": lambda t: _explained(t, shap.DeepExplainer, t.background, check_additivity=False),
    "expected_gradients": lambda t: _explained(t, shap.GradientExplainer, t.background, nsamples=DRAWS, rseed=0),
}
"""What shap calls the methods of `rows.py`; one line each."""


def run(twin: Twin, name: str) -> np.ndarray:
    """A method's map (B, N)."""
    return METHODS[name](twin)
