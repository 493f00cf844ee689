"""captum, on the torch twins."""

from __future__ import annotations

from typing import Any

import captum.attr as attr
import numpy as np
import torch

from benchmarks import twins
from benchmarks.cases import NOISE, Prepared


class Captum:
    """How captum's tutorials call it; its results brought into the shape of the Keras inputs only when asked for."""

    def __init__(self, case: Prepared) -> None:
        torch.set_num_threads(2)
        self.case, self.net = case, twins.twin(case)
        self.x, self.target = twins.inputs(case), torch.tensor(case.target)

    def integrated_gradients(self, count: int, steps: int = 50, chunk: int | None = None) -> Any:
        """IntegratedGradients, or LayerIntegratedGradients at the embedding of tokens."""
        tokens = self.case.case.tokens
        method = (
            attr.LayerIntegratedGradients(self.net, self.net.embedding)
            if tokens
            else attr.IntegratedGradients(self.net)
        )
        return method.attribute(self.x[:count], target=self.target[:count], n_steps=steps, internal_batch_size=chunk)

    def smooth_grad(self, count: int, samples: int, chunk: int | None = None) -> Any:
        """NoiseTunnel around Saliency; `chunk` is its number of samples at once."""
        tunnel = attr.NoiseTunnel(attr.Saliency(self.net))
        return tunnel.attribute(
            self.x[:count], target=self.target[:count], nt_type="smoothgrad", nt_samples=samples,
            nt_samples_batch_size=chunk, stdevs=NOISE, abs=False,
        )  # fmt: skip

    def occlusion(self, count: int, chunk: int = 1) -> Any:
        """Occlusion; `chunk` is its number of windows at once."""
        window = self.case.case.occlude
        window = (1, *window) if self.x.ndim == 4 else window
        return attr.Occlusion(self.net).attribute(
            self.x[:count], window, window, target=self.target[:count], perturbations_per_eval=chunk
        )

    def gradient(self, count: int) -> Any:
        """Saliency, signed."""
        return attr.Saliency(self.net).attribute(self.x[:count], target=self.target[:count], abs=False)

    def deep_lift(self, count: int) -> Any:
        """DeepLift from zero."""
        return attr.DeepLift(self.net).attribute(self.x[:count], target=self.target[:count])

    def array(self, found: torch.Tensor) -> np.ndarray:
        """A map in the layout of the Keras inputs, a token's embedding summed."""
        found = found.detach()
        if self.case.case.tokens and found.ndim == 3:
            found = found.sum(-1)
        return (found.permute(0, 2, 3, 1) if self.x.ndim == 4 else found).numpy()
