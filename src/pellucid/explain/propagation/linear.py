"""The linear part of a layer, to be run with its kernel and its bias changed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from pellucid import _backend
from pellucid.core import layers
from pellucid.shapes import Tensor

Change = Callable[[Tensor], Tensor]


def same(weight: Tensor) -> Tensor:
    """No change."""
    return weight


@dataclass(frozen=True)
class Part:
    """The linear part of a layer.

    Attributes:
        layer: The layer.
        run: Outputs of inputs (B, ...), with the kernel and the bias changed.
    """

    layer: Any
    run: Callable[[Tensor, Change, Change], Tensor]

    def __call__(self, x: Tensor, for_kernel: Change = same, for_bias: Change = same) -> Tensor:
        """Outputs of inputs (B, ...), with the kernel and the bias changed."""
        return self.run(x, for_kernel, for_bias)


def linear_part(layer: Any, original: layers.Call) -> Part:
    """What a layer does before its activation; `original` is its own call."""
    from keras import ops

    is_torch, bias = _backend.is_torch_module(layer), getattr(layer, "bias", None)
    weights = list(layer.parameters(recurse=False)) if is_torch else layer.weights

    def run(x: Tensor, for_kernel: Change, for_bias: Change) -> Tensor:
        with ExitStack() as stack:
            if is_torch:  # its call goes through `forward`, which is treated
                stack.enter_context(layers.replaced(layer, lambda treated: original))
            else:
                stack.enter_context(layers.attribute(layer, "activation", None))
            if for_kernel is same and for_bias is same:
                return original(x)
            changed = [(w, (for_bias if w is bias else for_kernel)(ops.convert_to_tensor(w))) for w in weights]
            return _backend.call_with(layer, original, changed, x)

    return Part(layer, _separable(layer) or run)


def _separable(layer: Any) -> Callable[[Tensor, Change, Change], Tensor] | None:
    """A separable convolution as the one convolution that it is: the sign of a weight is that of the product."""
    if not hasattr(layer, "pointwise_kernel"):
        return None
    from keras import ops

    def run(x: Tensor, for_kernel: Change, for_bias: Change) -> Tensor:
        deep, point = ops.convert_to_tensor(layer.depthwise_kernel), ops.convert_to_tensor(layer.pointwise_kernel)
        channels, times = deep.shape[-2:]
        point = ops.reshape(point, (channels, times, -1))
        kernel = ops.sum(ops.expand_dims(deep, -1) * point, axis=-2)
        z = ops.conv(x, for_kernel(kernel), layer.strides, layer.padding, layer.data_format, layer.dilation_rate)
        return z + _by_channel(for_bias(ops.convert_to_tensor(layer.bias)), z, layer) if layer.use_bias else z

    return run


def _by_channel(values: Tensor, like: Tensor, layer: Any) -> Tensor:
    """Values (C,) shaped to broadcast over the channels of a tensor."""
    from keras import ops

    first = getattr(layer, "data_format", "channels_last") == "channels_first"
    return ops.reshape(values, (-1, *[1] * (len(like.shape) - 2))) if first else values


def batch_part(layer: Any) -> Part:
    """A batch normalization in inference: a scale and a shift for every channel."""
    from keras import ops

    scale, shift = _scale_and_shift(layer)

    def run(x: Tensor, for_kernel: Change, for_bias: Change) -> Tensor:
        shaped = _along(layer, x)
        factor, offset = (ops.cast(v, x.dtype) for v in (for_kernel(scale), for_bias(shift)))
        return x * shaped(factor) + shaped(offset)

    return Part(layer, run)


def folded(part: Part, normalization: Any, z: Tensor) -> Part | None:
    """A linear layer that put out z and the batch normalization after it as one; None where they are about other axes."""
    from keras import ops

    if getattr(normalization, "axis", 1) % len(z.shape) != _output_axis(part.layer, len(z.shape)):
        return None
    scale, shift = _scale_and_shift(normalization)
    spread = _over_kernel(part.layer, scale)
    if spread is None:
        return None
    bias = getattr(part.layer, "bias", None)
    both = shift if bias is None else shift + scale * ops.convert_to_tensor(bias)

    def run(x: Tensor, for_kernel: Change, for_bias: Change) -> Tensor:
        z = part.run(x, lambda kernel: for_kernel(kernel * ops.cast(spread, kernel.dtype)), ops.zeros_like)
        return z + _along(normalization, z)(ops.cast(for_bias(both), z.dtype))

    return Part(part.layer, run)


def _output_axis(layer: Any, rank: int) -> int | None:
    """The axis of a linear layer's outputs that holds its units; None where groups mix it with another."""
    kind = type(layer).__name__
    if "Transpose" in kind and getattr(layer, "groups", 1) != 1:
        return None
    if "Conv" in kind and (hasattr(layer, "weight") or layer.data_format == "channels_first"):
        return 1
    return rank - 1


def _scale_and_shift(layer: Any) -> tuple[Tensor, Tensor]:
    """Scale and shift (C,) of a batch normalization of Keras or torch, in inference."""
    from keras import ops

    def read(default: float, *names: str) -> Tensor:
        held = next((v for name in names if (v := getattr(layer, name, None)) is not None), None)
        return default if held is None else ops.convert_to_tensor(held)

    epsilon = getattr(layer, "epsilon", getattr(layer, "eps", 0.0))
    scale = ops.rsqrt(read(1.0, "moving_variance", "running_var") + epsilon) * read(1.0, "gamma", "weight")
    return scale, read(0.0, "beta", "bias") - read(0.0, "moving_mean", "running_mean") * scale


def _along(layer: Any, x: Tensor) -> Callable[[Tensor], Tensor]:
    """Shapes values (C,) to broadcast over the axis of x that a normalization works on."""
    from keras import ops

    axis = getattr(layer, "axis", 1) % len(x.shape)
    return lambda values: ops.reshape(values, [-1 if i == axis else 1 for i in range(len(x.shape))])


def _over_kernel(layer: Any, values: Tensor) -> Tensor | None:
    """Values of the output channels (C,) shaped to broadcast over the layer's kernel."""
    from keras import ops

    kind, kernel = type(layer).__name__, getattr(layer, "kernel", getattr(layer, "weight", None))
    if hasattr(layer, "pointwise_kernel"):
        return values
    if kernel is None or kind == "EinsumDense":
        return None
    rank = len(kernel.shape)
    if kind.startswith("Depthwise"):
        return ops.reshape(values, (*[1] * (rank - 2), *kernel.shape[-2:]))
    is_torch = hasattr(layer, "weight")
    axis = {(False, False): rank - 1, (False, True): rank - 2, (True, False): 0, (True, True): 1}[
        is_torch, "Transpose" in kind
    ]
    return ops.reshape(values, [-1 if i == axis else 1 for i in range(rank)])


Spread = Callable[[Tensor, Change, float], Tensor]
"""One over the spread of centred values, of these, their mean over what is normalized together, and epsilon."""


def inverse_spread(centre: Tensor, mean: Change, epsilon: float) -> Tensor:
    """One over the root of the mean square."""
    from keras import ops

    return ops.rsqrt(mean(ops.square(centre)) + epsilon)


def parts_of_normalization(layer: Any, x: Tensor, spread: Spread = inverse_spread) -> tuple[Tensor, Tensor]:
    """What a layer, group or root-mean-square normalization makes of x before it shifts it.

    Args:
        layer: The normalization.
        x: Its input (B, ...).
        spread: Computes one over the spread.

    Returns:
        The values that are scaled (x less its mean, or x itself), and what they are scaled by.
    """
    from keras import ops

    kind = type(layer).__name__
    if kind in {"GroupNormalization", "GroupNorm"}:
        return _grouped(layer, x, spread)
    if _backend.is_torch_module(layer):
        axes, epsilon = list(range(-len(layer.normalized_shape), 0)), layer.eps or 1.2e-7  # torch's default for float32
    else:
        axes, epsilon = [layer.axis] if isinstance(layer.axis, int) else list(layer.axis), layer.epsilon
    centre = x if kind in {"RMSNormalization", "RMSNorm"} else x - ops.mean(x, axis=axes, keepdims=True)
    scale = spread(centre, lambda t: ops.mean(t, axis=axes, keepdims=True), epsilon)
    if getattr(layer, "rms_scaling", False):  # Keras scales what it is given, by the spread around the mean
        centre = x
    gamma = next((g for name in ("gamma", "weight", "scale") if (g := getattr(layer, name, None)) is not None), None)
    if gamma is None or isinstance(gamma, bool):
        return centre, scale
    shape = [x.shape[i] if i in {a % len(x.shape) for a in axes} else 1 for i in range(len(x.shape))]
    return centre, scale * ops.reshape(gamma, shape)


def _grouped(layer: Any, x: Tensor, spread: Spread) -> tuple[Tensor, Tensor]:
    """The same where the mean and the spread are those of a group of channels, over all positions."""
    from keras import ops

    rank, axis = len(x.shape), getattr(layer, "axis", 1) % len(x.shape)
    channels = x.shape[axis]
    groups = getattr(layer, "groups", getattr(layer, "num_groups", -1))
    groups = channels if groups == -1 else groups
    gamma = getattr(layer, "gamma", getattr(layer, "weight", None))
    count = ops.shape(x)[0]
    apart = [count if i == 0 else x.shape[i] for i in range(rank)]
    apart[axis : axis + 1] = [groups, channels // groups]
    split = ops.reshape(x, apart)
    over = [i for i in range(1, rank + 1) if i != axis]
    centre = split - ops.mean(split, axis=over, keepdims=True)
    epsilon = getattr(layer, "epsilon", getattr(layer, "eps", 0.0))
    scale = spread(centre, lambda t: ops.mean(t, axis=over, keepdims=True), epsilon)
    whole = [count if i == 0 else x.shape[i] for i in range(rank)]
    scale = ops.reshape(ops.broadcast_to(scale, ops.shape(centre)), whole)
    if gamma is not None:
        scale = scale * ops.reshape(gamma, [-1 if i == axis else 1 for i in range(rank)])
    return ops.reshape(centre, whole), scale
