"""Pellucid, on the Keras models of whichever framework Keras runs, or on the torch modules themselves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import pellucid as pl
from benchmarks.agreement.rows import DRAWS, NOISE, STABILIZER, UNIT
from benchmarks.agreement.samples import BOUND, Sample


@dataclass(frozen=True)
class Asked:
    """A sample, its model, and arrays as a user would give them."""

    sample: Sample
    model: Any

    def given(self, arrays: tuple[np.ndarray, ...]) -> Any:
        """Arrays as the model takes them."""
        return dict(zip(self.sample.kind.shapes, arrays, strict=True)) if len(arrays) > 1 else arrays[0]

    @property
    def baseline(self) -> Any:
        """One example that stands for nothing."""
        return self.given(tuple(b[0] for b in self.sample.baseline))

    @property
    def background(self) -> Any:
        """Several of them."""
        return self.given(self.sample.background)

    def unit(self) -> pl.Unit:
        """A unit of the layer called "middle"."""
        if not self.model.is_keras:
            raise NotImplementedError("the layers of torch modules have other names")
        axes = len(self.model.keras.get_layer("middle").output.shape) - 2
        return pl.Unit("middle", (0,) * axes + (UNIT,))


def prepare(sample: Sample, *, module: bool = False) -> Asked:
    """What a method is given; `module`: the torch twin in place of the Keras model."""
    if not module:
        return Asked(sample, pl.wrap(sample.model()))
    from benchmarks.agreement.twins import Twin

    return Asked(sample, pl.wrap(Twin(sample).whole))


def _relevance(rule: Any, first: Any = None) -> pl.LayerRelevance:
    """One rule at all linear layers, another where the input is read."""
    return pl.LayerRelevance(pl.Composite(dense=rule, convolution=rule, first=first))


METHODS: dict[str, Callable[[Asked], Any]] = {
    "gradient": lambda a: pl.Gradient(),
    "unit_gradient": lambda a: pl.Gradient(),
    "gradient_input": lambda a: pl.GradientInput(),
    "integrated_gradients": lambda a: pl.IntegratedGradients(a.baseline, tolerance=1e-4, max_evaluations=16383),
    "smooth_grad": lambda a: pl.SmoothGrad(noise=[NOISE], tolerance=1e-9, max_evaluations=DRAWS),
    "guided_backprop": lambda a: pl.GuidedBackprop(),
    "deconvolution": lambda a: pl.Deconvolution(),
    "excitation_backprop": lambda a: pl.ExcitationBackprop(),
    "expected_gradients": lambda a: pl.ExpectedGradients(a.background, tolerance=1e-9, max_evaluations=DRAWS),
    "layer_gradient": lambda a: pl.Gradient(layer="middle"),
    "layer_gradient_input": lambda a: pl.GradientInput(layer="middle"),
    "layer_integrated_gradients": lambda a: pl.IntegratedGradients(a.baseline, 1e-4, 16383, "middle"),
    "conductance": lambda a: pl.Conductance("middle", a.baseline, 1e-4, 16384),
    "internal_influence": lambda a: pl.InternalInfluence("middle", a.baseline, 1e-4, 16384),
    "grad_cam": lambda a: pl.GradCam("middle", resize=False),
    "grad_cam_plus_plus": lambda a: pl.GradCamPlusPlus("middle", resize=False),
    "ablation_cam": lambda a: pl.AblationCam("middle", resize=False),
    "eigen_cam": lambda a: pl.EigenCam("middle", resize=False),
    "hires_cam": lambda a: pl.HiResCam("middle", resize=False),
    "layer_cam": lambda a: pl.LayerCam("middle", resize=False),
    "x_grad_cam": lambda a: pl.XGradCam("middle", resize=False),
    "guided_grad_cam": lambda a: pl.GuidedGradCam("middle"),
    "deep_shap": lambda a: pl.DeepShap(a.background),
    "layer_deep_lift": lambda a: pl.DeepLift(baseline=a.baseline, layer="middle"),
    "deep_lift": lambda a: pl.DeepLift(baseline=a.baseline),
    "reveal_cancel": lambda a: pl.DeepLift("reveal_cancel", a.baseline),
    "epsilon": lambda a: _relevance(pl.Epsilon(STABILIZER)),
    "gamma": lambda a: _relevance(pl.Gamma()),
    "z_plus": lambda a: _relevance(pl.ZPlus()),
    "alpha1_beta0": lambda a: _relevance(pl.AlphaBeta(alpha=1.0, beta=0.0)),
    "alpha2_beta1": lambda a: _relevance(pl.AlphaBeta()),
    "flat_first": lambda a: _relevance(pl.Epsilon(), pl.Flat()),
    "w_square_first": lambda a: _relevance(pl.Epsilon(), pl.WSquare()),
    "z_box_first": lambda a: _relevance(pl.Epsilon(), pl.ZBox(low=-BOUND, high=BOUND)),
    "epsilon_plus_flat": lambda a: pl.LayerRelevance(pl.EpsilonPlusFlat()),
    "epsilon_gamma_box": lambda a: pl.LayerRelevance(pl.EpsilonGammaBox(low=-BOUND, high=BOUND)),
    "epsilon_alpha2_beta1": lambda a: pl.LayerRelevance(pl.EpsilonAlpha2Beta1()),
    "epsilon_alpha2_beta1_flat": lambda a: pl.LayerRelevance(pl.EpsilonAlpha2Beta1Flat()),
}
"""What Pellucid calls the methods of `rows.py`; one line each."""


def run(asked: Asked, name: str) -> np.ndarray:
    """A method's map (B, N)."""
    x, method = asked.given(asked.sample.x), METHODS[name](asked)
    target = asked.unit() if name == "unit_gradient" else asked.sample.target
    found = pl.explain(asked.model, x, method, target, progress=False).values
    maps = found.values() if isinstance(found, dict) else [found]
    return np.concatenate([np.asarray(m, np.float64).reshape(len(m), -1) for m in maps], axis=1)
