"""What is done at each kind of layer, so that the gradient times the input is the relevance.

Between layers relevance is written R = x * G: the value times the gradient that comes back. A layer that is linear and
has no bias keeps the sum of R as it is, and so do rectifiers, pooling, sums, concatenations and everything that only
moves values about: they need no treatment. `TREATMENTS` says what the others get.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from pellucid import _backend
from pellucid.core import layers
from pellucid.errors import UnsupportedLayer
from pellucid.explain.propagation.arithmetic import Product, Run
from pellucid.explain.propagation.attention import attending
from pellucid.explain.propagation.linear import Change, Part, batch_part, folded, linear_part, parts_of_normalization
from pellucid.explain.propagation.multihead import in_heads
from pellucid.explain.propagation.reading import Reading
from pellucid.explain.propagation.recurrent import STEPS, in_loop, in_step, stepwise
from pellucid.explain.propagation.rules import Rule
from pellucid.explain.propagation.slopes import sloped
from pellucid.explain.propagation.written import refusal
from pellucid.shapes import Tensor


@dataclass
class Pass:
    """One modified pass through a model.

    Attributes:
        direct: What layers with a direct rule read of the inputs, and their rule, in the order in which they are called.
        shifts: Zeros of the shapes of what they read; the gradient by them is the relevance there.
        reads: How many of them have been called.
        made: What linear layers have put out, by identity, for a batch normalization to be folded into the layer.
        won: Whether the layer has been called above which nothing is treated.
    """

    direct: Sequence[tuple[Reading, Rule]] = ()
    shifts: Sequence[Tensor] = ()
    reads: int = 0
    made: dict[int, tuple[Tensor, Tensor, Part, Rule, int]] = field(default_factory=dict)
    won: bool = False


Treatment = Callable[[Any, layers.Call, Rule, Pass], layers.Call]


def carried(rule: Rule, x: Tensor, part: Part, now: Pass, at: int | None = None) -> Tensor:
    """What a linear layer puts out, with a gradient that shares out relevance by the rule.

    `at` is the place among the direct readers of a layer that is run once more, with its normalization in it.
    """
    from keras import ops

    still = ops.stop_gradient
    z, ones = part(x), None
    if rule.direct:
        place = now.reads if at is None else at
        now.reads += at is None
        reading, rule = now.direct[place]
        ones = ops.cast(reading.without_padding(1.0 + now.shifts[place]), x.dtype)
        x = still(x)
    shares = rule.shares(x, z, part, ones)
    y = still(z)
    parts = [sloped(y * (i == 0), n, share * _ratio(y, n, rule)) for i, (share, n) in enumerate(shares)]
    return sum(parts[1:], parts[0])


def _ratio(z: Tensor, total: Tensor, rule: Rule) -> Tensor:
    """z over a stabilized sum; half precision has no room for the stabilizer, nor for what is divided by it."""
    from keras import backend, ops

    if "16" not in backend.standardize_dtype(z.dtype):
        return z / rule.stabilized(total)
    whole = ops.cast(z, "float32") / rule.stabilized(ops.cast(total, "float32"))
    return ops.cast(ops.clip(whole, -6e4, 6e4), z.dtype)


def followed(x: Tensor, y: Tensor) -> Tensor:
    """Values y whose relevance goes to x, entry by entry."""
    from keras import ops

    return sloped(y, x, y / ops.where(ops.abs(x) > 1e-9, x, 1e-9))


def by_rule(layer: Any, original: layers.Call, rule: Rule, now: Pass) -> layers.Call:
    """A linear layer: its rule; then its activation, if it has one."""
    part = linear_part(layer, original)

    def call(x: Tensor, *rest: Any, **options: Any) -> Tensor:
        out = carried(rule, x, part, now)
        activation = getattr(layer, "activation", None)
        if activation is None or getattr(activation, "__name__", "") == "linear":
            now.made[id(out)] = out, x, part, rule, now.reads - 1
            return out
        return activation(out) if mixes(activation) else followed(out, activation(out))

    return call


def mixes(activation: Any) -> bool:
    """Whether an activation's outputs each depend on several of its inputs; of a softmax the gradient is its own rule."""
    return getattr(activation, "__name__", "") in MIXING


def by_folding(layer: Any, original: layers.Call, rule: Rule, now: Pass) -> layers.Call:
    """A batch normalization: one with the linear layer before it, or a linear layer of its own."""
    own = batch_part(layer)

    def call(x: Tensor, *rest: Any, **options: Any) -> Tensor:
        made = now.made.get(id(x))
        both = folded(made[2], layer, x) if made is not None else None
        if made is None or both is None:
            return carried(rule, x, own, now)
        _, before, _, its_rule, at = made
        return carried(its_rule, before, both, now, at)

    return call


def entry_by_entry(layer: Any, original: layers.Call, rule: Rule, now: Pass) -> layers.Call:
    """An activation: relevance stays at its entry."""
    if mixes(getattr(layer, "activation", None)):
        return original
    return lambda x, *rest, **options: followed(x, original(x * 1, *rest, **options))  # torch may work in place


def by_still_spread(layer: Any, original: layers.Call, rule: Rule, now: Pass) -> layers.Call:
    """A normalization by the input's own spread: linear, once the spread is taken for a constant."""
    from keras import ops

    still = ops.stop_gradient

    def call(x: Tensor, *rest: Any, **options: Any) -> Tensor:
        y = still(original(x, *rest, **options))
        centre, scale = parts_of_normalization(layer, x)
        out = centre * still(scale)
        out = out * still(y / rule.stabilized(out))
        return out + still(y - out)

    return call


def by_halves(layer: Any, original: layers.Call, rule: Rule, now: Pass) -> layers.Call:
    """A product of several inputs: each gets an equal part, the length of one that is normalized before taken for a constant."""
    from keras import ops

    still = ops.stop_gradient

    def call(inputs: Any, *rest: Any, **options: Any) -> Tensor:
        with ExitStack() as stack:
            if getattr(layer, "normalize", False):
                axes = [layer.axes] * 2 if isinstance(layer.axes, int) else layer.axes
                inputs = [followed(x, ops.normalize(x, axis=a)) for x, a in zip(inputs, axes, strict=True)]
                stack.enter_context(layers.attribute(layer, "normalize", False))
            each = [
                original([a if i == j else still(a) for j, a in enumerate(inputs)], *rest, **options)
                for i in range(len(inputs))
            ]
        return sum(each) / len(each)

    return call


def by_pairs(layer: Any, original: layers.Call, rule: Rule, now: Pass) -> layers.Call:
    """A product of two tensors by halves."""
    return of_two(layer, original, halved)


def of_two(layer: Any, original: layers.Call, shared: Callable[[Product, Tensor, Tensor], Tensor]) -> layers.Call:
    """A product that is `shared` out between two tensors; one of a tensor and a constant, or of one alone, is linear."""

    def call(a: Any, b: Any = None, *rest: Any, **options: Any) -> Tensor:
        if any(_varying(layer)[2:]):  # an einsum may be of any number
            told = f"operation {layer.name!r} ({type(layer).__name__}) of more than two tensors"
            raise UnsupportedLayer(refusal(told))
        if b is None or not all(varying(layer)):
            return original(*(t for t in (a, b, *rest) if t is not None), **options)
        return shared(lambda x, y: original(x, y, *rest, **options), a, b)

    return call


def by_kernel(layer: Any, original: layers.Call, rule: Rule, now: Pass) -> layers.Call:
    """A linear function with a kernel and a bias: its rule."""

    def call(x: Tensor, kernel: Tensor, bias: Tensor = None) -> Tensor:
        def run(x: Tensor, for_kernel: Change, for_bias: Change) -> Tensor:
            return original(x, for_kernel(kernel), *(() if bias is None else (for_bias(bias),)))

        return carried(rule, x, Part(None, run), now)

    return call


def by_numerator(layer: Any, original: layers.Call, rule: Rule, now: Pass) -> layers.Call:
    """A quotient: what is divided takes all, as where a normalization's spread is held; of a constant, the divisor."""
    from keras import ops

    def call(a: Any, b: Any) -> Tensor:
        if not all(varying(layer)):
            return original(a, b) if varying(layer)[0] else followed(b, original(a, b))
        return original(a, ops.stop_gradient(b))

    return call


def varying(node: Any) -> Sequence[bool]:
    """Which of the two arguments of an operation depend on the model's inputs; the others are constants."""
    return _varying(node)[:2]


def _varying(node: Any) -> Sequence[bool]:
    """The same of all its arguments."""
    from keras import KerasTensor

    if hasattr(node, "varying"):  # written in a torch module, and called just now
        return node.varying
    given = node._inbound_nodes[0].arguments
    return [isinstance(a, KerasTensor) for a in (*given.args, *given.kwargs.values())]


def by_attention(layer: Any, original: layers.Call, rule: Rule, now: Pass) -> layers.Call:
    """Attention: its products by halves; the gradient of a softmax times its input is its own rule."""
    if _backend.is_torch_module(layer):
        return in_heads(layer, Signals(rule, now))

    def call(*inputs: Any, **options: Any) -> Any:
        with attending(layer, Signals(rule, now)):
            return original(*inputs, **options)

    return call


@dataclass
class Signals:
    """The arithmetic of relevance inside layers: signals take all of it, gates none, factors of a product half each."""

    rule: Rule
    now: Pass

    def linear(self, run: Run, given: Tensor) -> Tensor:
        """See `Arithmetic.linear`."""
        return carried(self.rule, given, Part(None, run), self.now)

    def activated(self, z: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
        """See `Arithmetic.activated`."""
        return function(z) if mixes(function) else followed(z, function(z))

    def gate(self, z: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
        """See `Arithmetic.gate`."""
        from keras import ops

        return ops.stop_gradient(function(z))

    def gated(self, gate: Tensor, signal: Tensor) -> Tensor:
        """See `Arithmetic.gated`."""
        return gate * signal

    def product(self, product: Product, a: Tensor, b: Tensor) -> Tensor:
        """See `Arithmetic.product`."""
        return halved(product, a, b)

    def softmax(self, scores: Tensor) -> Tensor:
        """See `Arithmetic.softmax`."""
        from keras import ops

        return ops.softmax(scores, axis=-1)


def by_signals(layer: Any, original: layers.Call, rule: Rule, now: Pass) -> layers.Call:
    """A recurrent cell: relevance follows the signals and passes the gates by."""
    return in_step(layer, Signals(rule, now))


def by_steps(layer: Any, original: layers.Call, rule: Rule, now: Pass) -> layers.Call:
    """A recurrent layer: step by step, through its cell."""
    if _backend.is_torch_module(layer):
        return in_loop(layer, Signals(rule, now))

    def call(*inputs: Any, **options: Any) -> Any:
        with stepwise(layer):
            return original(*inputs, **options)

    return call


def halved(product: Callable[[Tensor, Tensor], Tensor], a: Tensor, b: Tensor) -> Tensor:
    """A product of two tensors that sends half of the relevance to each."""
    from keras import ops

    return (product(a, ops.stop_gradient(b)) + product(ops.stop_gradient(a), b)) / 2


TREATMENTS: dict[Treatment, tuple[str, ...]] = {
    by_rule: (
        "Dense", "EinsumDense", "Conv1D", "Conv2D", "Conv3D", "Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose",
        "DepthwiseConv1D", "DepthwiseConv2D", "SeparableConv1D", "SeparableConv2D",
        "Linear", "Conv1d", "Conv2d", "Conv3d", "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d",
    ),
    by_folding: ("BatchNormalization", "BatchNorm1d", "BatchNorm2d", "BatchNorm3d"),
    entry_by_entry: (
        "Activation", "ReLU", "LeakyReLU", "PReLU", "ELU", "Rescaling", "Normalization", "Isotonic",
        "ReLU6", "GELU", "SiLU", "Mish", "SELU", "CELU", "Tanh", "Sigmoid", "Softplus", "Hardswish", "Hardsigmoid", "Hardtanh",
    ),
    by_still_spread: (
        "LayerNormalization", "RMSNormalization", "GroupNormalization", "LayerNorm", "RMSNorm", "GroupNorm",
    ),
    by_halves: ("Multiply", "Dot"),
    by_attention: (
        "MultiHeadAttention", "GroupedQueryAttention", "Attention", "AdditiveAttention", "SelfAttention", "AttentionPooling",
        "MultiheadAttention",
    ),
    by_signals: (*STEPS, "RNNCell"),
    by_steps: ("LSTM", "GRU", "SimpleRNN", "RNN", "Bidirectional"),
}  # fmt: skip
"""What is done at which kind of layer, of Keras and then of torch."""

UNTREATED = (
    "InputLayer", "Softmax", "LogSoftmax", "MaxPooling1D", "MaxPooling2D", "MaxPooling3D", "GlobalMaxPooling1D",
    "GlobalMaxPooling2D", "GlobalMaxPooling3D", "AveragePooling1D", "AveragePooling2D", "AveragePooling3D",
    "GlobalAveragePooling1D", "GlobalAveragePooling2D", "GlobalAveragePooling3D", "Add",
    "Average", "Subtract", "Concatenate", "Maximum", "Minimum",
    "Flatten", "Reshape", "Permute", "RepeatVector", "Cropping1D", "Cropping2D", "Cropping3D", "ZeroPadding1D",
    "ZeroPadding2D", "ZeroPadding3D", "UpSampling1D", "UpSampling2D", "UpSampling3D", "Dropout", "SpatialDropout1D",
    "SpatialDropout2D", "SpatialDropout3D", "GaussianNoise", "GaussianDropout", "AlphaDropout", "Identity", "Masking",
    "ActivityRegularization", "Embedding", "ClassToken", "LearnedPositions", "SinusoidalPositions", "FeatureTokenizer",
    "EnsembleLogits",
    "MaxPool1d", "MaxPool2d", "MaxPool3d", "AvgPool1d", "AvgPool2d", "AvgPool3d", "AdaptiveAvgPool1d", "AdaptiveAvgPool2d",
    "AdaptiveAvgPool3d", "AdaptiveMaxPool1d", "AdaptiveMaxPool2d", "Unflatten", "Dropout1d", "Dropout2d", "Dropout3d",
    "ZeroPad1d", "ZeroPad2d", "ZeroPad3d", "ConstantPad1d", "ConstantPad2d", "Upsample",
    "AdaptiveAveragePooling1D", "AdaptiveAveragePooling2D", "AdaptiveAveragePooling3D", "AdaptiveMaxPooling1D",
    "AdaptiveMaxPooling2D", "AdaptiveMaxPooling3D", "CenterCrop", "Resizing", "RandomBrightness", "RandomColorDegeneration",
    "RandomColorJitter", "RandomContrast", "RandomCrop", "RandomElasticTransform", "RandomErasing", "RandomFlip",
    "RandomGaussianBlur", "RandomGrayscale", "RandomHue", "RandomInvert", "RandomPerspective", "RandomPosterization",
    "RandomRotation", "RandomSaturation", "RandomSharpness", "RandomShear", "RandomTranslation", "RandomZoom",
)  # fmt: skip
"""Kinds of layers whose gradient times input already is their relevance."""

MIXING = ("softmax", "log_softmax", "glu", "sparsemax")
"""Activations that are no function of one entry alone."""

OPERATIONS: dict[Treatment | None, tuple[str, ...]] = {
    entry_by_entry: (
        "Relu", "Relu6", "LeakyRelu", "Gelu", "Silu", "Elu", "Selu", "Celu", "Sigmoid", "Tanh", "Softplus", "Softsign", "Mish",
        "HardSigmoid", "HardSilu", "HardTanh", "HardShrink", "SoftShrink", "TanhShrink", "LogSigmoid", "Threshold", "Clip",
    ),
    by_pairs: ("Multiply", "Matmul", "Dot", "Einsum", "Tensordot"),
    by_numerator: ("Divide", "TrueDivide"),
    None: (
        "Add", "Subtract", "Negative", "Mean", "Sum", "Max", "Maximum", "Minimum", "Reshape", "Transpose", "Swapaxes", "Squeeze",
        "ExpandDims", "Concatenate", "Stack", "GetItem", "Pad", "Flip", "Roll", "Split", "Unstack", "BroadcastTo", "Repeat",
        "Tile", "Take", "Cast", "Copy", "Identity", "Softmax", "LogSoftmax", "StopGradient", "MaxPool", "AveragePool", "Moveaxis",
        "AdaptiveAveragePool", "AdaptiveMaxPool", "Hstack", "Fliplr", "Cumsum", "Diagonal", "Tril", "Triu", "ArraySplit",
        "Hsplit", "Dsplit", "DepthToSpace", "SpaceToDepth", "ExtractPatches", "PadImages", "CropImages", "Resize",
    ),
}  # fmt: skip
"""The same for operations of `keras.ops` in a functional model; None: nothing has to be done."""
