"""What a layer puts out, by itself or folded without any score: no gradients, no class."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar

import numpy as np

from pellucid.core.options import not_negative
from pellucid.explain.activation.cams import positions, weighted
from pellucid.explain.activation.engine import Folded
from pellucid.explain.base import Attribution, Method, Question
from pellucid.shapes import Tensor


@dataclass(frozen=True, eq=False)
class EigenCam(Folded):
    """What does a layer see most of, whatever the class?

    The activations A of an example, as a matrix of positions and channels, have the singular value decomposition `U S V^T`;
    `values[b, p] = (A v1)[p]`, their share along the first direction, with the sign that makes the sum of the map positive.
    In units of the activations.

    Args:
        layer: The layer that is read; None for the last convolution on the way to the score.
        resize: Whether the map is stretched over the input's grid, with one channel; False for the layer's own grid.

    Raises:
        UnknownName: There is no layer of that name.
        NotApplicable: No layer is named, and the model has no convolution with a grid.
        InvalidInput: The layer has no grid, or which input or axis it lies on is not clear.

    Example:
        >>> import keras, numpy as np, pellucid as pl
        >>> parts = [keras.layers.Conv1D(2, 1), keras.layers.Flatten(), keras.layers.Dense(1)]
        >>> net = keras.Sequential([keras.Input((2, 1)), *parts])
        >>> parts[0].set_weights([np.array([[[3.0, 4.0]]]), np.zeros(2)])
        >>> pl.explain(net, np.array([[[1.0], [-2.0]]]), pl.EigenCam()).values[..., 0].round(4).tolist()
        [[-5.0, 10.0]]

    References:
        Muhammad and Yeasin 2020, "Eigen-CAM", arXiv:2008.00299; as there, the activations are not centred.

    Limits:
        Not about the score: every class gets the same map. A strong direction is not an important one: a constant background is
        one too. Where the first two singular values are equal, the direction is arbitrary. See `GradCam` on layers and grids.
    """

    by_gradient: ClassVar[bool] = False

    @property
    def contributes(self) -> bool:
        """False: nothing is said of the score."""
        return False

    def fold(self, a: Tensor, more: Any) -> Tensor:
        """See `Folded.fold`."""
        from keras import ops

        count, width = prod(a.shape[1:-1]), a.shape[-1]
        flat = ops.reshape(a, (-1, count, width))
        turned = ops.swapaxes(flat, 1, 2)
        if count < width:  # the smaller of the two matrices of products
            size, vectors = ops.eigh(ops.matmul(flat, turned))
            share = vectors[..., -1] * ops.sqrt(ops.relu(size[..., -1:]))
        else:
            share = ops.matmul(flat, ops.eigh(ops.matmul(turned, flat))[1][..., -1:])[..., 0]
        share = ops.where(ops.sum(share, axis=1, keepdims=True) < 0, -share, share)
        return ops.reshape(share, (-1, *a.shape[1:-1]))


@dataclass(frozen=True, eq=False)
class FeatureExplanationMap(Folded):
    """Where does a layer respond unusually strongly, whatever the class?

    `values[b, p] = sum_c mean_c [A[b, p, c] >= mean_c + sigmas * std_c]`: each channel marks its strongest positions, with its
    mean over the grid for a weight. A channel that is the same everywhere marks none. In units of the activations.

    Args:
        layer: The layer that is read; None for the last convolution on the way to the score.
        resize: Whether the map is stretched over the input's grid, with one channel; False for the layer's own grid.
        sigmas: How many standard deviations above its mean a channel counts as strong; at least 0.

    Raises:
        UnknownName: There is no layer of that name.
        NotApplicable: No layer is named, and the model has no convolution with a grid.
        InvalidInput: The layer has no grid, or which input or axis it lies on is not clear.
        InvalidOption: `sigmas` below 0.

    Example:
        >>> import keras, numpy as np, pellucid as pl
        >>> parts = [keras.layers.Conv1D(1, 1), keras.layers.Flatten(), keras.layers.Dense(1)]
        >>> net = keras.Sequential([keras.Input((4, 1)), *parts])
        >>> parts[0].set_weights([np.ones((1, 1, 1)), np.zeros(1)])
        >>> x = np.array([[[1.0], [1.0], [1.0], [5.0]]])
        >>> pl.explain(net, x, pl.FeatureExplanationMap(sigmas=1.0)).values[..., 0].tolist()
        [[0.0, 0.0, 0.0, 2.0]]

    References:
        Fuad, Martin, Giot, Bourqui, Benois-Pineau and Zemmari 2020, "Features understanding in 3D CNNs for actions recognition in
        video", doi:10.1109/IPTA50016.2020.9286629.

    Limits:
        Not about the score: every class gets the same map. On a small grid few positions can be two deviations above the mean (of
        n equal ones and one peak, the peak is sqrt(n) above): lower `sigmas` there. A channel whose mean is negative counts
        against what it marks. See `GradCam` on layers and grids.
    """

    by_gradient: ClassVar[bool] = False
    sigmas: float = 2.0

    def __post_init__(self) -> None:
        super().__post_init__()
        not_negative(self, "sigmas")

    @property
    def contributes(self) -> bool:
        """False: nothing is said of the score."""
        return False

    def fold(self, a: Tensor, more: Any) -> Tensor:
        """See `Folded.fold`."""
        from keras import ops

        on = positions(a)
        mean, spread = ops.mean(a, axis=on, keepdims=True), ops.std(a, axis=on, keepdims=True)
        varies = ops.max(a, axis=on, keepdims=True) > ops.min(a, axis=on, keepdims=True)
        strong = ops.logical_and(a >= mean + self.sigmas * spread, varies)
        return weighted(ops.cast(strong, "float32"), ops.mean(a, axis=on))


@dataclass(frozen=True, eq=False)
class LayerActivation(Method):
    """What does a layer put out?

    `values[b, ...]` is the layer's output as it is, of any shape, in float32.

    Args:
        layer: The layer's name, as in `model.summary()`.

    Raises:
        UnknownName: There is no layer of that name.

    Example:
        >>> import keras, numpy as np, pellucid as pl
        >>> net = keras.Sequential([keras.Input((1,)), keras.layers.Dense(2, "relu", name="inner"), keras.layers.Dense(1)])
        >>> net.layers[0].set_weights([np.array([[3.0, -4.0]]), np.zeros(2)])
        >>> pl.explain(net, np.array([[1.0], [-1.0]]), pl.LayerActivation("inner")).values.tolist()
        [[3.0, 0.0], [0.0, 4.0]]

    References:
        None of its own. What layers respond to, shown layer by layer: Zeiler and Fergus 2014, "Visualizing and understanding
        convolutional networks", arXiv:1311.2901.

    Limits:
        That a unit responds does not say that the score depends on it: see `GradientInput(layer)` and `Conductance`. A layer that
        is called several times gives a dict, call by call.
    """

    layer: str

    @property
    def contributes(self) -> bool:
        """False: nothing is said of the score."""
        return False

    def attribute(self, question: Question) -> Attribution:
        """See `Method.attribute`."""
        from keras import ops

        q, count = question.opened(self.layer), len(question)
        read = lambda *inputs: tuple(ops.cast(a, "float32") for a in q.model.embed(inputs))  # noqa: E731
        values = q.model.in_chunks("activation", q.model.compiled("activation", lambda: read), q.inputs)
        return Attribution(values, np.ones(count, int), np.ones(count, bool), layer=self.layer, hidden=True)
