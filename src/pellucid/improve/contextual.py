"""Contextual decomposition: what of a model's scores comes from one part of its input, and what from the rest.

Every tensor in the model is run as two of its size, stacked along the examples: beta, what comes from the part, and gamma, the
rest; they add up to the tensor. For that only the calls of layers are replaced, by the rule of their kind; linear ones are not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from itertools import product
from typing import Any

from pellucid.core import layers
from pellucid.core.kinds import kinds
from pellucid.core.model import Model
from pellucid.errors import UnsupportedLayer
from pellucid.shapes import Tensor

Rule = Callable[[Any, layers.Call], layers.Call]
"""Of a layer and its own call, the call on beta and gamma."""

TINY = 1e-7
"""Added to |W beta| + |W gamma| where the bias is shared out, as both may be zero; its share is gamma's."""

LEAST = -1e30
"""What max pooling pads with, so that it is never the largest."""

MIXING = ("softmax", "log_softmax", "glu", "sparsemax", "sparse_softmax")
"""Activations that are no function of one entry alone."""


def decomposed(model: Model, x: Tensor, part: Tensor) -> tuple[Tensor, Tensor]:
    """Beta, what of the scores comes from a part of the input, and gamma, the rest: (B, K) each; their sum is the scores.

    Args:
        model: A model with a rule for each of its layers, in inference mode; its scores are logits where it has them.
        x: Its one input (B, ...): numbers, or tokens (B, T).
        part: 1 in the part and 0 elsewhere, (B, ...) or with one channel for all; of tokens their positions (B, T).

    Raises:
        UnsupportedLayer: A layer or operation without a rule.
    """
    from keras import ops

    shares, both = ops.concatenate([part, 1 - part]), ops.concatenate([x, x])
    if model.anatomy.at_inputs:
        both = ops.cast(both, shares.dtype) * shares
    with layers.all_replaced(
        (at, _made(at, by_position(shares) if rule is by_position else rule)) for at, rule in rules(model)
    ):
        beta, gamma = ops.split(model.forward([both]), 2)
    return beta, gamma


def _made(at: Any, rule: Rule) -> Callable[[layers.Call], layers.Call]:
    return lambda original: rule(at, original)


def rules(model: Model) -> list[tuple[Any, Any]]:
    """The layers and operations whose call is replaced, and their rules.

    Raises:
        UnsupportedLayer: There is one without a rule; it is named.
    """
    if model.output == "probabilities":
        raise refusal("the model's probabilities, which no softmax or sigmoid at its end makes")
    found = [*_of_layers(model), *_of_operations(model)]
    return [(at, rule) for at, rule in found if rule is not None]


def _of_layers(model: Model) -> Iterator[tuple[Any, Any]]:
    tokens = {id(entry.layer) for entry in model.anatomy.entries}
    last = {id(layer) for layer, _ in model.anatomy.softened}
    for name, layer in {model.name: model.native, **layers.sublayers(model.native)}.items():
        told = f"layer {name!r} ({type(layer).__name__})"
        activation = getattr(getattr(layer, "activation", None), "__name__", "")
        if activation in MIXING and id(layer) not in last:
            raise refusal(f"{told} with the activation {activation}")
        if id(layer) in tokens:
            yield layer, by_position
        elif not (type(layer).__name__ == "Softmax" and id(layer) in last):
            yield layer, _known(_LAYERS, kinds(layer), told)


def _of_operations(model: Model) -> Iterator[tuple[Any, Any]]:
    from keras import KerasTensor

    for node in layers.operations(model.native):
        kind, told = type(node).__name__, f"operation {node.name!r} (keras.ops, {type(node).__name__})"
        given = node._inbound_nodes[0].arguments
        varying = [isinstance(a, KerasTensor) for a in (*given.args, *given.kwargs.values())]
        if kind in OF_TWO and varying[:2] not in OF_TWO[kind]:
            raise refusal(told + (" of a constant" if sum(varying) == 1 else " of two tensors"))
        yield node, _known(_OPERATIONS, [kind], told)


def _known(table: Mapping[str, Rule | None], names: Sequence[str], told: str) -> Rule | None:
    name = next((n for n in names if n in table), None)
    if name is None:
        raise refusal(told)
    return table[name]


def refusal(what: str) -> UnsupportedLayer:
    """The error about something that has no rule."""
    return UnsupportedLayer(
        f'RightReasons: contextual decomposition has no rule for {what}; kind="rrr" takes any model'
    )


# -- the rules -------------------------------------------------------------------------------------------------------


def affine(layer: Any, original: layers.Call) -> layers.Call:
    """W x + b: W beta and W gamma, b in the proportion |W beta| : |W gamma|; then the layer's own activation."""
    from keras import ops

    def call(x: Tensor, *rest: Any, **options: Any) -> Tensor:
        options.pop("mask", None)  # of a batch normalization, whose statistics are kept ones here
        activation = getattr(layer, "activation", None)
        with nullcontext() if activation is None else layers.attribute(layer, "activation", None):
            bias = original(ops.zeros_like(x[:1]), *rest, **options)
            beta, gamma = ops.split(original(x, *rest, **options) - bias, 2)
        share = bias * ops.abs(beta) / (ops.abs(beta) + ops.abs(gamma) + TINY)
        both = ops.concatenate([beta + share, gamma + (bias - share)])
        if activation is None or getattr(activation, "__name__", "") == "linear":
            return both
        return _activated(both, activation)

    return call


def entry_by_entry(layer: Any, original: layers.Call) -> layers.Call:
    """An activation f: f(beta) - f(0), and what is left of f(beta + gamma)."""
    return lambda x, *rest, **options: _activated(x, lambda t: original(t, *rest, **options))


def _activated(x: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
    from keras import ops

    beta, gamma = ops.split(x, 2)
    alone = function(beta) - function(ops.zeros_like(beta[:1]))
    return ops.concatenate([alone, function(beta + gamma) - alone])


def by_largest(layer: Any, original: layers.Call) -> layers.Call:
    """Max pooling: both at the place where their sum is largest, the first of equal ones."""
    return lambda x, *rest, **options: _at_largest(_windows(layer, x))


def by_largest_of_all(layer: Any, original: layers.Call) -> layers.Call:
    """The same over all places."""
    from keras import ops

    def call(x: Tensor, *rest: Any, **options: Any) -> Tensor:
        first = layer.data_format == "channels_first"
        last = ops.moveaxis(x, 1, -1) if first else x
        places = ops.reshape(last, (ops.shape(last)[0], -1, last.shape[-1]))
        found = _at_largest(ops.swapaxes(places, 0, 1))
        for _ in range((len(x.shape) - 2) * bool(layer.keepdims)):
            found = ops.expand_dims(found, -1 if first else 1)
        return found

    return call


def _at_largest(windows: Tensor) -> Tensor:
    """Of windows (P, 2B, ...) the place at which the sum of both halves is largest (2B, ...)."""
    from keras import ops

    beta, gamma = ops.split(windows, 2, axis=1)
    at = ops.expand_dims(ops.argmax(beta + gamma, axis=0), 0)
    return ops.concatenate([ops.take_along_axis(half, at, axis=0)[0] for half in (beta, gamma)])


def _windows(layer: Any, x: Tensor) -> Tensor:
    """What is at each place of the windows of a pooling layer (P, 2B, ...)."""
    from keras import ops

    first = 1 if layer.data_format == "channels_last" else 2
    padding, spans = [(0, 0)] * len(x.shape), []
    for axis, (size, stride) in enumerate(zip(layer.pool_size, layer.strides, strict=True), first):
        length = x.shape[axis]
        count = -(-length // stride) if layer.padding == "same" else (length - size) // stride + 1
        missing = max((count - 1) * stride + size - length, 0)
        padding[axis] = missing // 2, missing - missing // 2
        spans.append([slice(i, i + (count - 1) * stride + 1, stride) for i in range(size)])
    padded = ops.pad(x, padding, constant_values=LEAST)
    return ops.stack([padded[(slice(None),) * first + at] for at in product(*spans)])


def by_position(shares: Tensor) -> Rule:
    """An embedding of the input's tokens: its output at their positions, times 1 or 0."""
    from keras import ops

    def rule(layer: Any, original: layers.Call) -> layers.Call:
        return lambda tokens, *rest, **options: original(tokens, *rest, **options) * ops.expand_dims(shares, -1)

    return rule


LAYERS: dict[Rule | None, tuple[str, ...]] = {
    affine: (
        "Dense", "EinsumDense", "Conv1D", "Conv2D", "Conv3D", "Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose",
        "DepthwiseConv1D", "DepthwiseConv2D", "SeparableConv1D", "SeparableConv2D", "BatchNormalization", "Rescaling",
        "Normalization",
    ),
    entry_by_entry: ("Activation", "ReLU", "LeakyReLU", "PReLU", "ELU"),
    by_largest: ("MaxPooling1D", "MaxPooling2D", "MaxPooling3D"),
    by_largest_of_all: ("GlobalMaxPooling1D", "GlobalMaxPooling2D", "GlobalMaxPooling3D"),
    None: (
        "Functional", "Sequential", "InputLayer", "Identity", "ActivityRegularization", "Flatten", "Reshape", "Permute",
        "RepeatVector", "Cropping1D", "Cropping2D", "Cropping3D", "ZeroPadding1D", "ZeroPadding2D", "ZeroPadding3D",
        "UpSampling1D", "UpSampling2D", "UpSampling3D", "AveragePooling1D", "AveragePooling2D", "AveragePooling3D",
        "GlobalAveragePooling1D", "GlobalAveragePooling2D", "GlobalAveragePooling3D", "Add", "Average", "Subtract",
        "Concatenate", "Dropout", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D", "GaussianNoise",
        "GaussianDropout", "AlphaDropout", "RandomFlip", "RandomRotation", "RandomTranslation", "RandomZoom", "RandomShear",
        "RandomContrast", "RandomBrightness", "RandomErasing",
    ),
}  # fmt: skip
"""Kinds of layers by their rule; None: a layer that is linear in inference mode, or holds others, is left as it is."""

OPERATIONS: dict[Rule | None, tuple[str, ...]] = {
    entry_by_entry: (
        "Relu", "Relu6", "LeakyRelu", "Gelu", "Silu", "Elu", "Selu", "Celu", "Sigmoid", "Tanh", "Softplus", "Softsign", "Mish",
    ),
    None: (
        "Reshape", "Transpose", "Swapaxes", "Moveaxis", "Squeeze", "ExpandDims", "GetItem", "Flip", "Roll", "Concatenate",
        "Stack", "Negative", "Mean", "Sum", "AveragePool", "Identity", "Cast", "Add", "Subtract", "Multiply", "Divide",
        "TrueDivide",
    ),
}  # fmt: skip
"""The same of `keras.ops` in a functional model."""

_SUM, _FACTOR = [[True, True]], [True, False]
OF_TWO = {
    "Add": _SUM, "Subtract": _SUM, "Multiply": [_FACTOR, _FACTOR[::-1]], "Divide": [_FACTOR], "TrueDivide": [_FACTOR]
}  # fmt: skip
"""Operations of two that are linear only where these of their arguments depend on the input."""

_LAYERS, _OPERATIONS = ({k: rule for rule, names in t.items() for k in names} for t in (LAYERS, OPERATIONS))
