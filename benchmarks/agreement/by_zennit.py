"""zennit: relevance by its rules and composites, batch normalizations merged, sums made by its own module."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

try:
    import torchvision  # noqa: F401  zennit reads the names of its classes
except RuntimeError:  # a build for another torch, which lacks the two operators that its import asks for
    OPERATORS = torch.library.Library("torchvision", "DEF")
    for operator in ("nms", "qnms"):
        OPERATORS.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

from zennit import composites, rules
from zennit.canonizers import SequentialMergeBatchNorm
from zennit.layer import Sum
from zennit.types import Linear

from benchmarks.agreement.rows import STABILIZER
from benchmarks.agreement.samples import BOUND, Sample
from benchmarks.agreement.twins import Residual, Twin


class Summed(nn.Module):
    """A sum by the module that zennit has a rule for."""

    def __init__(self) -> None:
        super().__init__()
        self.sum = Sum()

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return self.sum(torch.stack([a, b], -1))


def prepare(sample: Sample) -> Twin:
    """What a method is given."""
    twin = Twin(sample)
    for module in twin.net.modules():
        if isinstance(module, Residual):
            module.add = Summed()
    return twin


def _back(twin: Twin, composite: Any, *, relevance: bool = True) -> tuple[torch.Tensor, ...]:
    """What comes back to the inputs: of the score itself, or of one."""
    leaves = tuple(x.clone().requires_grad_() for x in twin.x)
    with composite.context(twin.net) as changed:
        out = changed(*leaves)
        start = nn.functional.one_hot(twin.target, out.shape[1]).to(out.dtype)
        return torch.autograd.grad(out, leaves, start * out.detach() if relevance else start)


def _composite(make: Callable[..., Any], *, relevance: bool = True, **options: Any) -> Callable[[Twin], np.ndarray]:
    merged = lambda: make(canonizers=[SequentialMergeBatchNorm()], **options)  # noqa: E731
    return lambda twin: twin.joined(_back(twin, merged(), relevance=relevance))


def _rule(rule: Callable[[], Any], first: Callable[[], Any] | None = None) -> Callable[[Twin], np.ndarray]:
    """One rule at all linear layers, another where the input is read."""

    def make(canonizers: Any) -> Any:
        table: Any = [*composites.layer_map_base(STABILIZER), (Linear, rule())]
        start: Any = [] if first is None else [(Linear, first())]
        return composites.SpecialFirstLayerMapComposite(table, start, canonizers=canonizers)

    return _composite(make)


def _slopes(make: Callable[..., Any]) -> Callable[[Twin], np.ndarray]:
    return lambda twin: twin.joined(_back(twin, make(), relevance=False), "norm")


METHODS: dict[str, Callable[[Twin], np.ndarray]] = {
    "epsilon": _rule(rules.Epsilon),
    "gamma": _rule(rules.Gamma),
    "z_plus": _rule(rules.ZPlus),
    "alpha1_beta0": _rule(lambda: rules.AlphaBeta(1, 0)),
    "alpha2_beta1": _rule(rules.AlphaBeta),
    "flat_first": _rule(rules.Epsilon, rules.Flat),
    "w_square_first": _rule(rules.Epsilon, rules.WSquare),
    "z_box_first": _rule(rules.Epsilon, lambda: rules.ZBox(torch.tensor(-BOUND), torch.tensor(BOUND))),
    "epsilon_plus_flat": _composite(composites.EpsilonPlusFlat),
    "epsilon_gamma_box": _composite(composites.EpsilonGammaBox, low=torch.tensor(-BOUND), high=torch.tensor(BOUND)),
    "epsilon_alpha2_beta1": _composite(composites.EpsilonAlpha2Beta1),
    "epsilon_alpha2_beta1_flat": _composite(composites.EpsilonAlpha2Beta1Flat),
    "guided_backprop": _slopes(composites.GuidedBackprop),
    "deconvolution": _slopes(composites.DeconvNet),
    "excitation_backprop": _composite(composites.ExcitationBackprop, relevance=False, zero_params=["bias"]),
}
"""What zennit calls the methods of `rows.py`; one line each."""


def run(twin: Twin, name: str) -> np.ndarray:
    """A method's map (B, N)."""
    return METHODS[name](twin)
