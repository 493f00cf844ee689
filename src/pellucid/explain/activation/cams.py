"""Class activation maps from gradients: one line of mathematics each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pellucid.explain.activation.engine import Folded
from pellucid.shapes import Tensor


@dataclass(frozen=True, eq=False)
class GradCam(Folded):
    """Where does the last convolution see what speaks for this class?

    `values[b, p] = relu(sum_c w_bc A[b, p, c])` with weights `w_bc` = the mean of G over the grid: activations A of a layer
    (B, grid..., C), G the gradient of the score at them. In units of the score, for each position.

    Args:
        layer: The layer that is read, of any grid: a convolution of 1, 2 or 3 axes, or the tokens of a transformer; None for the
            last convolution on the way to the score (the record says which).
        resize: Whether the map is stretched linearly over the input's grid, with one channel: (B, H, W, 1), (B, T, 1), or (B, T)
            for tokens; False for the layer's own grid (B, grid...).

    Raises:
        UnknownName: There is no layer of that name.
        NotApplicable: No layer is named, and the model has no convolution with a grid.
        InvalidInput: The layer has no grid or is not on the way to the score, or which input or axis it lies on is not clear.

    Example:
        >>> import keras, numpy as np, pellucid as pl
        >>> parts = [keras.layers.Conv1D(1, 1), keras.layers.Flatten(), keras.layers.Dense(1)]
        >>> net = keras.Sequential([keras.Input((2, 1)), *parts])
        >>> net.set_weights([np.array([[[2.0]]]), np.zeros(1), np.array([[3.0], [1.0]]), np.zeros(1)])
        >>> pl.explain(net, np.array([[[1.0], [5.0]]]), pl.GradCam(), target=0).values[..., 0].tolist()
        [[4.0, 20.0]]

    References:
        Selvaraju, Cogswell, Das, Vedantam, Parikh and Batra 2017, "Grad-CAM", arXiv:1610.02391; of class activation maps, which
        it equals after average pooling and one dense layer: Zhou, Khosla, Lapedriza, Oliva and Torralba 2016, arXiv:1512.04150.

    Limits:
        Averaging the gradient moves weight to places that the score does not depend on (above, the second position gets most,
        and the score follows the first three times as much): see `HiResCam`. What speaks against the class is cut off. The grid
        is stretched over the whole input, whatever the padding. A convolution is read as it is put out, before a normalization
        or activation that is a layer of its own. Of a vision transformer, layer=None reads the convolution that cuts the
        patches: name a block before the last attention instead (behind it only the class token has a gradient). The maps of
        a layer that is called several times are added up.
    """

    def fold(self, a: Tensor, more: Any) -> Tensor:
        """See `Folded.fold`."""
        from keras import ops

        return ops.relu(weighted(a, ops.mean(more, axis=positions(a))))


@dataclass(frozen=True, eq=False)
class GradCamPlusPlus(Folded):
    """Where does a layer see what speaks for this class, if it may be there several times?

    `values[b, p] = relu(sum_c w_bc A[b, p, c])` with `w_bc = sum_p alpha relu(G)`, `alpha = G^2 / (2 G^2 + G^3 sum_p A)`: places
    are weighted so that each of several equal ones counts in full. In units of the score, for each position.

    Args:
        layer: The layer that is read; None for the last convolution on the way to the score.
        resize: Whether the map is stretched over the input's grid, with one channel; False for the layer's own grid.

    Raises:
        UnknownName: There is no layer of that name.
        NotApplicable: No layer is named, and the model has no convolution with a grid.
        InvalidInput: The layer has no grid or is not on the way to the score, or which input or axis it lies on is not clear.

    Example:
        >>> import keras, numpy as np, pellucid as pl
        >>> parts = [keras.layers.Conv1D(1, 1), keras.layers.Flatten(), keras.layers.Dense(1)]
        >>> net = keras.Sequential([keras.Input((2, 1)), *parts])
        >>> net.set_weights([np.array([[[2.0]]]), np.zeros(1), np.array([[3.0], [1.0]]), np.zeros(1)])
        >>> e = pl.explain(net, np.array([[[1.0], [0.0]]]), pl.GradCamPlusPlus(), target=0)
        >>> e.values[..., 0].astype(float).round(4).tolist()  # 2 * (3 / (2 + 3 * 2) + 1 / (2 + 1 * 2))
        [[1.25, 0.0]]

    References:
        Chattopadhay, Sarkar, Howlader and Balasubramanian 2018, "Grad-CAM++", arXiv:1710.11063. The paper takes the exponential
        of the score; its slope is a factor common to all places of an example, and left out.

    Limits:
        The formula is derived for activations that are not negative: name a layer behind a rectifier. Only places where the
        score rises with the activation count. See `GradCam` on layers and grids.
    """

    def fold(self, a: Tensor, more: Any) -> Tensor:
        """See `Folded.fold`."""
        from keras import ops

        rising = ops.relu(more)
        divisor = 2 + rising * ops.sum(a, axis=positions(a), keepdims=True)
        return ops.relu(weighted(a, ops.sum(ratio(rising, divisor), axis=positions(a))))


@dataclass(frozen=True, eq=False)
class XGradCam(Folded):
    """Where does a layer see what speaks for this class, weighted so that the weights account for the score?

    `values[b, p] = relu(sum_c w_bc A[b, p, c])` with `w_bc = sum_p A G / sum_p A`: the gradient averaged where the channel is
    active, so that the map before the rectifier adds up to `sum A G`. In units of the score, for each position.

    Args:
        layer: The layer that is read; None for the last convolution on the way to the score.
        resize: Whether the map is stretched over the input's grid, with one channel; False for the layer's own grid.

    Raises:
        UnknownName: There is no layer of that name.
        NotApplicable: No layer is named, and the model has no convolution with a grid.
        InvalidInput: The layer has no grid or is not on the way to the score, or which input or axis it lies on is not clear.

    Example:
        >>> import keras, numpy as np, pellucid as pl
        >>> parts = [keras.layers.Conv1D(1, 1), keras.layers.Flatten(), keras.layers.Dense(1)]
        >>> net = keras.Sequential([keras.Input((2, 1)), *parts])
        >>> net.set_weights([np.array([[[2.0]]]), np.zeros(1), np.array([[3.0], [1.0]]), np.zeros(1)])
        >>> pl.explain(net, np.array([[[1.0], [3.0]]]), pl.XGradCam(), target=0).values[..., 0].tolist()
        [[3.0, 9.0]]

    References:
        Fu, Hu, Dong, Guo, Gao and Li 2020, "Axiom-based Grad-CAM", arXiv:2008.02312.

    Limits:
        The division is meant for activations that are not negative: where those of a channel nearly cancel, its weight is huge
        (where they cancel, it is 0). See `GradCam` on layers and grids.
    """

    def fold(self, a: Tensor, more: Any) -> Tensor:
        """See `Folded.fold`."""
        from keras import ops

        on = positions(a)
        return ops.relu(weighted(a, ratio(ops.sum(a * more, axis=on), ops.sum(a, axis=on))))


@dataclass(frozen=True, eq=False)
class LayerCam(Folded):
    """Which places of a layer speak for this class, each weighted by its own slope?

    `values[b, p] = relu(sum_c relu(G) A)`, place by place: sharp in early layers too. In units of the score.

    Args:
        layer: The layer that is read; None for the last convolution on the way to the score.
        resize: Whether the map is stretched over the input's grid, with one channel; False for the layer's own grid.

    Raises:
        UnknownName: There is no layer of that name.
        NotApplicable: No layer is named, and the model has no convolution with a grid.
        InvalidInput: The layer has no grid or is not on the way to the score, or which input or axis it lies on is not clear.

    Example:
        >>> import keras, numpy as np, pellucid as pl
        >>> parts = [keras.layers.Conv1D(1, 1), keras.layers.Flatten(), keras.layers.Dense(1)]
        >>> net = keras.Sequential([keras.Input((2, 1)), *parts])
        >>> net.set_weights([np.array([[[2.0]]]), np.zeros(1), np.array([[3.0], [-1.0]]), np.zeros(1)])
        >>> pl.explain(net, np.array([[[1.0], [5.0]]]), pl.LayerCam(), target=0).values[..., 0].tolist()
        [[6.0, 0.0]]

    References:
        Jiang, Zhang, Hou, Cheng and Wei 2021, "LayerCAM", doi:10.1109/TIP.2021.3089943.

    Limits:
        What a place takes from the score through channels that lower it is left out, so that the map says more than the score
        owes to it; `HiResCam` keeps both sides. See `GradCam` on layers and grids.
    """

    def fold(self, a: Tensor, more: Any) -> Tensor:
        """See `Folded.fold`."""
        from keras import ops

        return ops.relu(ops.sum(ops.relu(more) * a, axis=-1))


@dataclass(frozen=True, eq=False)
class HiResCam(Folded):
    """How much does each place of a layer add to the score, or take from it?

    `values[b, p] = sum_c G A`, place by place and signed. Where what follows the layer is linear, the values of the layer's own
    grid (resize=False) add up to the score less its constant. In units of the score.

    Args:
        layer: The layer that is read; None for the last convolution on the way to the score.
        resize: Whether the map is stretched over the input's grid, with one channel; False for the layer's own grid.

    Raises:
        UnknownName: There is no layer of that name.
        NotApplicable: No layer is named, and the model has no convolution with a grid.
        InvalidInput: The layer has no grid or is not on the way to the score, or which input or axis it lies on is not clear.

    Example:
        >>> import keras, numpy as np, pellucid as pl
        >>> parts = [keras.layers.Conv1D(1, 1), keras.layers.Flatten(), keras.layers.Dense(1)]
        >>> net = keras.Sequential([keras.Input((2, 1)), *parts])
        >>> net.set_weights([np.array([[[2.0]]]), np.zeros(1), np.array([[3.0], [-1.0]]), np.zeros(1)])
        >>> pl.explain(net, np.array([[[1.0], [5.0]]]), pl.HiResCam(), target=0).values[..., 0].tolist()
        [[6.0, -10.0]]

    References:
        Draelos and Carin 2020, "Use HiResCAM instead of Grad-CAM", arXiv:2011.08891.

    Limits:
        Behind the layer it is the slope times the activation: a first-order estimate where that part of the network bends, like
        `GradientInput(layer)`, of which it is the sum over channels. See `GradCam` on layers and grids.
    """

    def fold(self, a: Tensor, more: Any) -> Tensor:
        """See `Folded.fold`."""
        from keras import ops

        return ops.sum(more * a, axis=-1)


def positions(a: Tensor) -> tuple[int, ...]:
    """The axes of the grid."""
    return tuple(range(1, len(a.shape) - 1))


def weighted(a: Tensor, weights: Tensor) -> Tensor:
    """Activations (B, grid..., C) summed over channels with weights (B, C)."""
    from keras import ops

    return ops.sum(a * ops.expand_dims(weights, positions(a)), axis=-1)


def ratio(above: Tensor, below: Tensor) -> Tensor:
    """`above / below`, and 0 where nothing is below."""
    from keras import ops

    there = ops.not_equal(below, 0)
    return ops.where(there, above / ops.where(there, below, 1.0), 0.0)
