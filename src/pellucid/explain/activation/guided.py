"""Guided backpropagation, kept where a class activation map is bright."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from pellucid.explain.activation.cams import GradCam
from pellucid.explain.base import Attribution, Method, Question
from pellucid.explain.propagation.rectifiers import GuidedBackprop


@dataclass(frozen=True, eq=False)
class GuidedGradCam(Method):
    """Which fine structures of the input, at the places that speak for this class, excite the score?

    `values = GuidedBackprop * GradCam`, the map of the latter stretched over the input and the same for all its channels.

    Args:
        layer: The layer that `GradCam` reads; None for the last convolution on the way to the score.

    Raises:
        UnknownName: There is no layer of that name.
        NotApplicable: No layer is named, and the model has no convolution with a grid.
        InvalidInput: The layer has no grid or is not on the way to the score, or which input or axis it lies on is not clear.

    Example:
        >>> import keras, numpy as np, pellucid as pl
        >>> parts = [keras.layers.Conv1D(1, 1), keras.layers.Flatten(), keras.layers.Dense(1)]
        >>> net = keras.Sequential([keras.Input((2, 1)), *parts])
        >>> net.set_weights([np.array([[[2.0]]]), np.zeros(1), np.array([[3.0], [1.0]]), np.zeros(1)])
        >>> e = pl.explain(net, np.array([[[1.0], [5.0]]]), pl.GuidedGradCam(), target=0)
        >>> e.values[..., 0].tolist()  # (6, 2) * (4, 20)
        [[24.0, 40.0]]

    References:
        Selvaraju, Cogswell, Das, Vedantam, Parikh and Batra 2017, "Grad-CAM", arXiv:1610.02391.

    Limits:
        Its fine structure is that of `GuidedBackprop`, which is barely about the class; only the place comes from the score.
        Check with `ParameterRandomization`. See `GradCam` on layers and grids.
    """

    layer: str | None = None

    @property
    def contributes(self) -> bool:
        """False: a changed slope is no contribution."""
        return False

    def attribute(self, question: Question) -> Attribution:
        """See `Method.attribute`."""
        cam, guided = _Cam(self.layer).attribute(question), _Guided().attribute(question)
        values = tuple(np.multiply(g, m, dtype=np.float32) for g, m in zip(guided.values, cam.values, strict=True))
        notes = (*cam.notes, *guided.notes)
        return replace(guided, values=values, evaluations=guided.evaluations + 1, layer=cam.layer, notes=notes)


class _Cam(GradCam):
    """Where; in its messages the method that was asked for is named."""


class _Guided(GuidedBackprop):
    """What; the same."""


_Cam.__name__ = _Guided.__name__ = GuidedGradCam.__name__
