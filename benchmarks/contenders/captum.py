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

    def expected_gradients(self, count: int, samples: int) -> Any:
        """GradientShap without noise; it makes all copies at once."""
        return attr.GradientShap(self.net).attribute(
            self.x[:count], baselines=self.x[: len(self.case.background)], target=self.target[:count], n_samples=samples
        )

    def conductance(self, count: int, steps: int = 50, chunk: int | None = None) -> Any:
        """LayerConductance of the case's hidden layer."""
        return self._inside(attr.LayerConductance, count, steps, chunk)

    def internal_influence(self, count: int, steps: int = 50, chunk: int | None = None) -> Any:
        """InternalInfluence of the case's hidden layer."""
        return self._inside(attr.InternalInfluence, count, steps, chunk)

    def _inside(self, kind: Any, count: int, steps: int, chunk: int | None) -> Any:
        layer = self.net.get_submodule(self.case.hidden[1])
        x, target = self.x[:count], self.target[:count]
        return kind(self.net, layer).attribute(x, target=target, n_steps=steps, internal_batch_size=chunk)

    def grad_cam(self, count: int) -> Any:
        """LayerGradCam of the case's hidden layer, resized to the images."""
        method = attr.LayerGradCam(self.net, self.net.get_submodule(self.case.hidden[1]))
        found = method.attribute(*self._first(count), relu_attributions=True)
        return attr.LayerAttribution.interpolate(found, self.x.shape[2:], interpolate_mode="bilinear")

    def guided_backprop(self, count: int) -> Any:
        """GuidedBackprop."""
        return attr.GuidedBackprop(self.net).attribute(*self._first(count))

    def gradient(self, count: int) -> Any:
        """Saliency, signed."""
        return attr.Saliency(self.net).attribute(*self._first(count), abs=False)

    def deep_lift(self, count: int) -> Any:
        """DeepLift from zero."""
        x, target = self._first(count)
        return attr.DeepLift(self.net).attribute(x, target=target)

    def _first(self, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        """So many examples and their classes, going round where there are fewer."""
        index = torch.arange(count) % len(self.x)
        return self.x[index], self.target[index]

    def array(self, found: torch.Tensor) -> np.ndarray:
        """A map in the layout of the Keras inputs, a token's embedding summed."""
        found = found.detach()
        if self.case.case.tokens and found.ndim == 3:
            found = found.sum(-1)
        return (found.permute(0, 2, 3, 1) if found.ndim == 4 else found).numpy()
