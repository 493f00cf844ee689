"""Steps that look for flat minima: the loss is taken where it is worst nearby."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pellucid.core import options
from pellucid.improve.base import LossAt, StepRemedy
from pellucid.improve.step import Step
from pellucid.shapes import Tensor

_NOT_SCALED = ("bias", "beta")
_SMALL = 1e-12


@dataclass(frozen=True, eq=False)
class SharpnessAware(StepRemedy):
    """Each step goes down the loss as it is at the worst weights nearby, so that training ends where the loss is flat.

    Does a flatter minimum hold better on new data?

        step along  grad L(w + e),   e = rho * g / |g|,   g = grad L(w)                                          (SAM)
        e = rho * T^2 g / |T g|,   T = diag(|w| + eta) for weights that multiply, 1 for biases                   (ASAM)

    g is the gradient of the batch's data loss and its prices on what the model does; weight penalties stay at w. Dropout draws
    the same units at both points; normalization statistics are those at w.

    Args:
        rho: The size of the neighbourhood, above 0, in units of the weights; 0.01 to 0.2 is usual (adaptive: 0.5 to 2).
        adaptive: Whether a weight's neighbourhood grows with the weight (ASAM), so that rescaling layers changes nothing.
        eta: What is added to |w|, at least 0; for `adaptive` alone.

    Raises:
        InvalidOption: A `rho` that is not positive, or a negative `eta`.

    Example:
        >>> import pellucid as pl
        >>> pl.SharpnessAware(rho=0.1)
        SharpnessAware(rho=0.1, adaptive=False, eta=0.01)

    References:
        Foret, Kleiner, Mobahi and Neyshabur 2021, arXiv:2010.01412; Kwon, Kim, Park and Choi 2021, arXiv:2102.11600.

    Limits:
        Two gradients a step: twice the time. Flat is no guarantee: measured sharpness may fall and the test error not. Small
        batches make g noisy, which is part of why it works.
    """

    slot = "sharpness"
    rho: float = 0.05
    adaptive: bool = False
    eta: float = 0.01

    def __post_init__(self) -> None:
        options.positive(self, "rho")
        options.not_negative(self, "eta")
        options.one_of(self, "adaptive", (False, True))

    def evaluate(self, loss: LossAt, weights: Sequence[Tensor], step: Step) -> tuple[Sequence[Tensor], Any]:
        """The worst weights within `rho`, to first order."""
        from keras import ops

        seen, slopes = step.inside.backend.gradient(lambda *w: loss(w), weights)
        names = [v.name for v in step.native.trainable_variables]
        scales = [
            ops.abs(w) + self.eta if self.adaptive and name not in _NOT_SCALED else ops.ones_like(w)
            for w, name in zip(weights, names, strict=True)
        ]
        length = ops.sqrt(sum(ops.sum(ops.square(s * g)) for s, g in zip(scales, slopes, strict=True)))  # type: ignore[arg-type]
        far = self.rho / (length + _SMALL)
        return [w + far * s * s * g for w, s, g in zip(weights, scales, slopes, strict=True)], seen
