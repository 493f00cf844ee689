"""Pellucid, on the Keras models, on whichever framework Keras runs."""

from __future__ import annotations

from typing import Any

import numpy as np

import pellucid as pl
from benchmarks.cases import NOISE, Prepared


class Pellucid:
    """As its users call it: arrays in, a record out."""

    def __init__(self, case: Prepared) -> None:
        self.case, self.model = case, pl.wrap(case.model())

    def _run(self, count: int, method: Any) -> Any:
        return pl.explain(self.model, self.case.x[:count], method, target=self.case.target[:count], progress=False)

    def integrated_gradients(self, count: int, tolerance: float = 0.02) -> Any:
        """IntegratedGradients to a tolerance."""
        return self._run(count, pl.IntegratedGradients(tolerance=tolerance))

    def smooth_grad(self, count: int, samples: int) -> Any:
        """SmoothGrad with a fixed number of draws: no map is ever this exact."""
        return self._run(count, pl.SmoothGrad(noise=[NOISE], tolerance=1e-9, max_evaluations=samples))

    def occlusion(self, count: int) -> Any:
        """Occlusion."""
        window = self.case.case.occlude
        return self._run(count, pl.Occlusion(window=window, stride=window))

    def gradient(self, count: int) -> Any:
        """Gradient: one pass there and back."""
        return self._run(count, pl.Gradient())

    def layer_relevance(self, count: int) -> Any:
        """LayerRelevance by its default rules."""
        return self._run(count, pl.LayerRelevance())

    def deep_lift(self, count: int) -> Any:
        """DeepLift from zero."""
        return self._run(count, pl.DeepLift())

    def array(self, found: Any) -> np.ndarray:
        """The map."""
        return found.values

    def evaluations(self, found: Any) -> int:
        """Rows the model was given, over all examples."""
        return int(np.sum(found.evaluations))
