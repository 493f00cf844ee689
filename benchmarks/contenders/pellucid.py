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
        x, target = self.case.first(count)
        return pl.explain(self.model, x, method, target=target, progress=False)

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

    def expected_gradients(self, count: int, samples: int) -> Any:
        """ExpectedGradients with a fixed number of draws."""
        return self._run(count, pl.ExpectedGradients(self.case.background, tolerance=1e-9, max_evaluations=samples))

    def conductance(self, count: int, tolerance: float = 0.02) -> Any:
        """Conductance of the case's hidden layer, to a tolerance."""
        return self._run(count, pl.Conductance(self.case.hidden[0], tolerance=tolerance))

    def internal_influence(self, count: int, tolerance: float = 0.02) -> Any:
        """InternalInfluence of the case's hidden layer, to a tolerance."""
        return self._run(count, pl.InternalInfluence(self.case.hidden[0], tolerance=tolerance))

    def grad_cam(self, count: int) -> Any:
        """GradCam of the case's hidden layer, resized to the images."""
        return self._run(count, pl.GradCam(self.case.hidden[0]))

    def guided_backprop(self, count: int) -> Any:
        """GuidedBackprop."""
        return self._run(count, pl.GuidedBackprop())

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
