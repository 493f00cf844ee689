"""What torch functions do: each call is described as the node of `keras.ops`, or the layer, that does the same."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pellucid.core import layers
from pellucid.errors import UnsupportedLayer
from pellucid.shapes import Tensor

TWINS = {
    "Relu": "relu", "Relu6": "relu6", "LeakyRelu": "leaky_relu prelu rrelu", "Gelu": "gelu", "Silu": "silu", "Elu": "elu",
    "Selu": "selu", "Celu": "celu", "Sigmoid": "sigmoid special_expit", "Tanh": "tanh", "Softplus": "softplus",
    "Softsign": "softsign", "Mish": "mish", "HardSigmoid": "hardsigmoid", "HardSilu": "hardswish", "HardTanh": "hardtanh",
    "HardShrink": "hardshrink", "SoftShrink": "softshrink", "TanhShrink": "tanhshrink", "LogSigmoid": "logsigmoid log_sigmoid",
    "Threshold": "threshold", "Clip": "clamp clip clamp_min clamp_max",
    "Multiply": "mul multiply rmul", "Matmul": "matmul rmatmul bmm mm mv dot inner outer einsum",
    "Linear": "linear", "Conv": "conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d",
    "Divide": "div divide true_divide rdiv rtruediv", "Softmax": "softmax special_softmax",
    "LogSoftmax": "log_softmax special_log_softmax", "Max": "max amax",
    "Minimum": "minimum fmin", "Maximum": "maximum fmax", "MaxPool": "max_pool1d max_pool2d max_pool3d "
    "adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d", "Absolute": "abs absolute", "Exp": "exp rpow",
    "Log": "log", "Sqrt": "sqrt", "Square": "square", "Sin": "sin", "Cos": "cos", "Erf": "erf special_erf", "Power": "pow",
    "Rsqrt": "rsqrt", "Add": "add radd", "Subtract": "sub subtract rsub", "Negative": "neg negative", "Mean": "mean",
    "Sum": "sum", "AveragePool": "avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d",
    "LayerNorm": "layer_norm", "RMSNorm": "rms_norm", "GroupNorm": "group_norm instance_norm",
}  # fmt: skip
"""What `keras.ops` or a layer calls the work of torch functions."""

LINEAR = (
    "reshape", "view", "view_as", "reshape_as",
    "flatten", "unflatten", "ravel", "permute", "transpose", "t", "T", "mT", "H", "mH", "swapaxes", "swapdims", "movedim",
    "moveaxis", "squeeze", "unsqueeze", "expand", "expand_as", "broadcast_to", "cat", "concat", "concatenate", "stack",
    "hstack", "vstack", "dstack", "column_stack", "unbind", "getitem", "pad", "flip", "fliplr", "flipud", "roll", "rot90",
    "chunk", "split", "split_with_sizes", "tensor_split", "narrow", "select", "repeat", "tile", "repeat_interleave",
    "index_select", "gather", "take_along_dim", "cumsum", "diagonal", "diag", "diag_embed", "tril", "triu", "to", "type",
    "type_as", "float", "double", "half", "bfloat16", "contiguous", "clone", "alias", "positive", "real", "dropout",
    "dropout1d", "dropout2d", "dropout3d", "feature_dropout", "alpha_dropout",
    "interpolate", "upsample", "pixel_shuffle",
    "pixel_unshuffle", "unfold", "fold", "batch_norm", "masked_fill", "where", "setitem", "copy", "detach", "cpu", "cuda",
    "atleast_1d", "atleast_2d", "atleast_3d", "nan_to_num", "as_strided", "masked_select", "meshgrid", "broadcast_tensors",
    "channel_shuffle",
)  # fmt: skip
"""Torch functions that add up, scale by constants, or move values about: their own gradient is right."""

MULTILINEAR = (*TWINS["Conv"].split(), "addmm", "baddbmm", "addbmm", "addmv", "bilinear", "tensordot", "kron")
"""Torch functions that are linear in each of their tensors: right by their own gradient where only one of them varies."""

TWO, THREE = ("Multiply", "Matmul", "Divide", "Maximum", "Minimum", "Power", "Add"), ("Linear", "Conv")
"""Kinds that take two tensors, and such that take a kernel and a bias."""

INSTANCE = ("input", "running_mean", "running_var", "weight", "bias", "use_input_stats", "momentum", "eps")
"""Arguments of `instance_norm`: a group normalization of a channel a group; by what was counted in training it is linear."""

KINDS = {name: kind for kind, names in TWINS.items() for name in names.split()}


def refusal(what: str) -> str:
    """The message for what has no sound rule."""
    return (
        f"no sound rule is known for the {what}; what works on this model: Gradient, GradientInput, "
        "IntegratedGradients, SmoothGrad, Occlusion, PermutationShapley"
    )


@dataclass
class Written:
    """One call of a torch function; an instance of a class that is named by what `keras.ops` calls it.

    Attributes:
        name: What torch calls it.
        varying: Which of its operands depend on what is explained.
        axis: What a softmax or a normalization works along.
        epsilon, gamma, groups: What a normalization adds to the variance, its scale, and its groups of channels.
    """

    name: str
    varying: Sequence[bool] = (True,)
    axis: Any = -1
    epsilon: float = 0.0
    gamma: Any = None
    groups: int = 0


def _written(kind: str, name: str, **known: Any) -> Written:
    return type(kind, (Written,), {})(name, **known)


def kind_of(name: str, args: Any, kwargs: Any) -> str:
    """What `keras.ops` calls the work of a torch function; "" where nothing is known of it."""
    kind = KINDS.get(name, "")
    if name == "instance_norm" and _counted(args, kwargs):
        return ""
    if kind == "Max" and ("other" in kwargs or any(hasattr(a, "requires_grad") for a in args[1:2])):
        return "Maximum"
    return "" if kwargs.get("return_indices") else kind


def called(
    name: str, kind: str, function: layers.Call, args: list[Any], kwargs: dict[str, Any]
) -> tuple[Written, layers.Call, list[Any]]:
    """A call of a torch function: what is known of it, what it does to its operands alone, and these."""
    named = ("input", "other", "mat2", *(("weight", "bias") if kind in THREE else ()))
    args = [*args, *(kwargs[key] for key in named if key in kwargs)]
    kwargs = {key: value for key, value in kwargs.items() if key not in (*named, "inplace", "_stacklevel")}
    if name in ("rdiv", "rtruediv", "rmatmul"):
        args, function = [args[1], args[0]], operator.matmul if name == "rmatmul" else operator.truediv
    elif name == "einsum":
        equation, own, operands = args[0], function, args[1:]
        args = list(operands[0]) if isinstance(operands[0], list | tuple) else operands
        function = lambda *tensors: own(equation, *tensors)  # noqa: E731
    if kind in ("LayerNorm", "RMSNorm", "GroupNorm"):
        return normalization(name, kind, function, args, kwargs)
    count = 2 if kind in TWO else 3 if kind in THREE else 1
    operands, rest = args[:count], args[count:]
    vary = [depends(a) for a in operands]
    if any(map(depends, tensors_in((rest, kwargs)))) or (kind in ("Power", *THREE) and any(vary[1:])):
        raise UnsupportedLayer(refusal(f"operation {name!r} (torch), of which more varies than what it is applied to"))
    axis = kwargs.get("dim", rest[0] if rest else -1) if kind in ("Softmax", "LogSoftmax") else -1
    return _written(kind, name, varying=vary, axis=axis), _bound(function, rest, kwargs), operands


def normalization(
    name: str, kind: str, function: layers.Call, args: list[Any], kwargs: dict[str, Any]
) -> tuple[Written, layers.Call, list[Any]]:
    """The same for a normalization by the input's own spread."""
    grouped = kind == "GroupNorm"
    names = (
        "input",
        "num_groups" if grouped else "normalized_shape",
        "weight",
        *(() if kind == "RMSNorm" else ("bias",)),
        "eps",
    )
    instance = name == "instance_norm"
    told = {**dict(zip(INSTANCE if instance else names, args, strict=False)), **kwargs}
    if instance:
        told["num_groups"] = told["input"].shape[1]
    epsilon = told.get("eps", None if kind == "RMSNorm" else 1e-5)
    node = _written(
        kind, name, epsilon=1.2e-7 if epsilon is None else epsilon, gamma=told.get("weight"),
        axis=1 if grouped else list(range(-len(told["normalized_shape"]), 0)), groups=told.get("num_groups", 0),
    )  # fmt: skip
    return node, _bound(function, args[1:], kwargs), [told["input"]]


def _bound(function: layers.Call, rest: Sequence[Any], options: Mapping[str, Any]) -> layers.Call:
    return lambda *operands: function(*operands, *rest, **options)


def asks(name: str, args: Any, kwargs: Any) -> bool:
    """Whether a function's own gradient is not known to be right."""
    if name in MULTILINEAR:
        return sum(t.requires_grad for t in tensors_in((args, kwargs))) > 1
    return name not in LINEAR and not (name == "instance_norm" and _counted(args, kwargs))


def _counted(args: Any, kwargs: Any) -> bool:
    """Whether an `instance_norm` takes mean and spread as they were counted in training."""
    return not {**dict(zip(INSTANCE, args, strict=False)), **kwargs}.get("use_input_stats", True)


def depends(value: Any) -> bool:
    """Whether an argument depends on what is explained."""
    return bool(getattr(value, "requires_grad", False))


def tensors_in(nested: Any) -> Iterator[Tensor]:
    """The tensors in arguments, which may be nested."""
    if hasattr(nested, "is_leaf"):
        yield nested
    elif isinstance(nested, list | tuple | set):
        for one in nested:
            yield from tensors_in(one)
    elif isinstance(nested, Mapping):
        yield from tensors_in(list(nested.values()))
