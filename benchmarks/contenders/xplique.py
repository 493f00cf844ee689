"""xplique, on the Keras models themselves. It takes no tokens: of that model it is given the embedded inputs."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import tensorflow as tf
from xplique.attributions import GradCAM, GuidedBackprop, IntegratedGradients, Occlusion, Saliency, SmoothGrad

from benchmarks.cases import NOISE, WIDTH, Prepared


class Xplique:
    """One explainer for each set of options, kept, so that its graphs are traced once."""

    def __init__(self, case: Prepared) -> None:
        model = case.model()
        embed, self.net = case.halves(model)
        self.case, self.x = case, np.asarray(embed(case.x))
        self.target = np.eye(case.logits.shape[1], dtype=np.float32)[case.target]
        self.make = cache(lambda kind, **options: kind(self.net, **options))

    def _run(self, count: int, kind: type, **options: Any) -> tf.Tensor:
        x, target = (np.resize(a, (count, *a.shape[1:])) for a in (self.x, self.target))
        return self.make(kind, **options)(x, target)

    def integrated_gradients(self, count: int, steps: int = 50, chunk: int | None = 32) -> tf.Tensor:
        """IntegratedGradients; `chunk` is its batch size (None: everything at once), 32 as it comes."""
        return self._run(count, IntegratedGradients, steps=steps, batch_size=chunk)

    def smooth_grad(self, count: int, samples: int, chunk: int | None = 32) -> tf.Tensor:
        """SmoothGrad."""
        return self._run(count, SmoothGrad, nb_samples=samples, noise=NOISE, batch_size=chunk)

    def occlusion(self, count: int, chunk: int = 32) -> tf.Tensor:
        """Occlusion; a token's window spans its embedding."""
        window: Any = self.case.case.occlude
        window = (1, WIDTH) if self.case.case.tokens else window if len(window) > 1 else window[0]
        return self._run(count, Occlusion, patch_size=window, patch_stride=window, batch_size=chunk)

    def gradient(self, count: int, chunk: int = 32) -> tf.Tensor:
        """Saliency."""
        return self._run(count, Saliency, batch_size=chunk)

    def guided_backprop(self, count: int, chunk: int = 32) -> tf.Tensor:
        """GuidedBackprop."""
        return self._run(count, GuidedBackprop, batch_size=chunk)

    def grad_cam(self, count: int, chunk: int = 32) -> tf.Tensor:
        """GradCAM of the case's hidden layer."""
        return self._run(count, GradCAM, batch_size=chunk, conv_layer=self.case.hidden[0])

    def array(self, found: tf.Tensor) -> np.ndarray:
        """A map as an array, a token's embedding summed."""
        values = found.numpy()
        if self.case.case.tokens:
            return values.sum(-1) if values.ndim == 3 else values
        return values.reshape(-1, *self.case.x.shape[1:])
