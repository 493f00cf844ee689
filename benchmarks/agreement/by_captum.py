"""captum, as its tutorials call it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import captum.attr as attr
import numpy as np
import torch
from captum.attr._utils.custom_modules import Addition_Module
from captum.attr._utils.lrp_rules import Alpha1_Beta0_Rule, EpsilonRule, GammaRule
from torch import nn

from benchmarks.agreement.rows import DRAWS, NOISE, STABILIZER, STEPS
from benchmarks.agreement.samples import Sample
from benchmarks.agreement.twins import Residual, Twin

PATH: dict[str, Any] = {"n_steps": STEPS, "method": "riemann_middle", "internal_batch_size": 512}
LINEAR = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


def prepare(sample: Sample) -> Twin:
    """What a method is given."""
    return Twin(sample)


def _at_input(twin: Twin, method: type, fold: str = "sum", **options: Any) -> np.ndarray:
    return twin.joined(method(twin.net).attribute(twin.x, target=twin.target, **options), fold)


def _at_layer(twin: Twin, method: Callable[..., Any], **options: Any) -> np.ndarray:
    found = method(twin.net, twin.middle).attribute(twin.x, target=twin.target, **options)
    return twin.at_layer(found[0] if isinstance(found, tuple) else found)


def _smooth(twin: Twin) -> np.ndarray:
    if twin.sample.kind.tokens:
        raise NotImplementedError("the mean of an embedding's gradient is not that of its length")
    tunnel = attr.NoiseTunnel(attr.Saliency(twin.net))
    options: Any = {"nt_type": "smoothgrad", "nt_samples": DRAWS, "stdevs": NOISE, "abs": False}
    return twin.joined(tunnel.attribute(twin.x, target=twin.target, nt_samples_batch_size=64, **options), "norm")


def _relevance(make: Callable[[], Any], everywhere: bool = True) -> Callable[[Twin], np.ndarray]:
    """LRP by one rule, at convolutions and dense layers or at the former alone; sums are its own module, as it asks for."""

    def run(twin: Twin) -> np.ndarray:
        for module in twin.net.modules():
            if isinstance(module, Residual):
                module.add = Addition_Module()
            if isinstance(module, nn.AdaptiveAvgPool1d):  # the one average that it has no rule of its own for
                module.rule = EpsilonRule(STABILIZER)
            if isinstance(module, LINEAR):
                module.rule = make() if everywhere or not isinstance(module, nn.Linear) else EpsilonRule(STABILIZER)
        return _at_input(twin, attr.LRP)

    return run


class Turned(nn.Module):
    """A module that takes channels first."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(x.movedim(1, -1))


def _guided_map(twin: Twin) -> np.ndarray:
    method = attr.GuidedGradCam(Turned(twin.net), twin.middle)
    stretched = ("linear", "bilinear", "trilinear")[twin.x[0].ndim - 3]
    found = method.attribute(twin.x[0].movedim(-1, 1), target=twin.target, interpolate_mode=stretched)
    return twin.joined((found.movedim(1, -1),), "norm")


METHODS: dict[str, Callable[[Twin], np.ndarray]] = {
    "gradient": lambda t: _at_input(t, attr.Saliency, "norm", abs=False),
    "gradient_input": lambda t: _at_input(t, attr.InputXGradient),
    "integrated_gradients": lambda t: _at_input(t, attr.IntegratedGradients, baselines=t.baseline, **PATH),
    "smooth_grad": _smooth,
    "expected_gradients": lambda t: _at_input(
        t, attr.GradientShap, baselines=t.background, n_samples=DRAWS, stdevs=0.0
    ),
    "deep_lift": lambda t: _at_input(t, attr.DeepLift, baselines=t.baseline),
    "deep_shap": lambda t: _at_input(t, attr.DeepLiftShap, baselines=t.background),
    "epsilon": _relevance(lambda: EpsilonRule(STABILIZER)),
    "gamma": _relevance(GammaRule),
    "alpha1_beta0": _relevance(Alpha1_Beta0_Rule),
    "guided_backprop": lambda t: _at_input(t, attr.GuidedBackprop, "norm"),
    "deconvolution": lambda t: _at_input(t, attr.Deconvolution, "norm"),
    "layer_gradient": lambda t: _at_layer(t, partial(attr.LayerGradientXActivation, multiply_by_inputs=False)),
    "layer_gradient_input": lambda t: _at_layer(t, attr.LayerGradientXActivation),
    "layer_integrated_gradients": lambda t: _at_layer(t, attr.LayerIntegratedGradients, baselines=t.baseline, **PATH),
    "layer_deep_lift": lambda t: _at_layer(t, attr.LayerDeepLift, baselines=t.baseline),
    "conductance": lambda t: _at_layer(t, attr.LayerConductance, baselines=t.baseline, **PATH),
    "internal_influence": lambda t: _at_layer(t, attr.InternalInfluence, baselines=t.baseline, **PATH),
    "unit_gradient": lambda t: t.joined(
        attr.NeuronGradient(t.net, t.middle).attribute(t.x, neuron_selector=t.unit()), "norm"
    ),
    "grad_cam": lambda t: _at_layer(t, attr.LayerGradCam, relu_attributions=True),
    "guided_grad_cam": _guided_map,
}
"""What captum calls the methods of `rows.py`; one line each."""


def run(twin: Twin, name: str) -> np.ndarray:
    """A method's map (B, N)."""
    torch.manual_seed(0)
    return METHODS[name](twin)
