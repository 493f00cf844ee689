"""Grids: where the positions and the channels of a layer's outputs are, and how the positions lie on an input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pellucid.core import layers
from pellucid.core.anatomy import run_recorded
from pellucid.core.kinds import kinds
from pellucid.core.model import Model
from pellucid.core.tensors import flattened
from pellucid.errors import InvalidInput
from pellucid.shapes import Array, Tensor

CONVOLUTIONS = ("BaseConv", "BaseConvTranspose", "BaseDepthwiseConv", "BaseSeparableConv", "_ConvNd")
"""Classes that the convolutional layers of Keras and torch descend from."""

_SPATIAL = (
    "Conv", "ConvTranspose", "BatchNorm", "InstanceNorm", "MaxPool", "AvgPool", "AdaptiveAvgPool", "AdaptiveMaxPool", "ZeroPad",
)  # fmt: skip

CHANNELS_FIRST = (*(f"{kind}{n}d" for kind in _SPATIAL for n in (1, 2, 3)), "GroupNorm", "Upsample")
"""Kinds of torch modules with channels right after the batch."""

CHANNELS_LAST = (
    "Dense", "EinsumDense", "Embedding", "MultiHeadAttention", "GroupedQueryAttention", "Linear", "LayerNorm", "RMSNorm",
    "MultiheadAttention", "TransformerEncoderLayer", "TransformerEncoder", "LSTM", "GRU", "RNN",
)  # fmt: skip
"""Kinds of layers of both that work along the last axis."""

MOST_BEFORE = 5
"""Tokens that may stand before a grid of tokens: for the class, for distillation, registers."""

Shape = tuple[int, ...]
"""Shape of one example's array, without the batch."""


@dataclass(frozen=True)
class Call:
    """What one call of an innermost layer took and gave; `first`: whether channels come first, None where it is open."""

    name: str
    convolution: bool
    first: bool | None
    given: Shape | None
    put: Shape | None


@dataclass(frozen=True)
class Grid:
    """How a layer's outputs are laid out.

    Attributes:
        axis: The axis of the channels, the batch being axis 0.
        width: How many channels there are.
        before: Tokens in front of those that make the grid.
        shape: Positions along each axis of the grid.
    """

    axis: int
    width: int
    before: int
    shape: Shape

    def arranged(self, tensor: Tensor) -> Tensor:
        """What the layer puts out as (B, grid..., C), in float32."""
        from keras import ops

        last = ops.moveaxis(ops.cast(tensor, "float32"), self.axis, -1)
        last = last[:, self.before :] if self.before else last
        return ops.reshape(last, (-1, *self.shape, self.width))


@dataclass(frozen=True)
class Canvas:
    """The input that a grid lies on: its number, its positions along each axis, and the axis of its channels, if any."""

    input: int
    sizes: Shape
    axis: int | None

    def stretched(self, maps: Tensor) -> Tensor:
        """Maps (B, grid...) over the whole input, with one channel where it has channels."""
        from keras import ops

        for i, size in enumerate(self.sizes, start=1):
            if maps.shape[i] != size:
                weights = interpolation(maps.shape[i], size)
                maps = ops.moveaxis(ops.tensordot(maps, weights, axes=[[i], [1]]), -1, i)
        return maps if self.axis is None else ops.expand_dims(maps, self.axis)


def interpolation(count: int, size: int) -> Array:
    """Weights (size, count) that take values at the centres of `count` equal cells to those of `size`, linearly.

    Beyond the outermost centres the outermost value goes on.
    """
    at = np.clip((np.arange(size) + 0.5) * count / size - 0.5, 0, count - 1)
    low = np.minimum(at.astype(int), max(count - 2, 0))
    weights = np.zeros((size, count), np.float32)
    weights[np.arange(size), low] = 1 - (at - low)
    if count > 1:
        weights[np.arange(size), low + 1] = at - low
    return weights


def calls_of(model: Model, inputs: Sequence[Array]) -> tuple[Call, ...]:
    """The calls of the innermost layers when the model runs on such inputs, in order; kept on the model."""

    def made() -> tuple[Call, ...]:
        return tuple(
            Call(c.name, is_convolution(c.layer), _channels_first(c.layer), _shape(list(c.inputs)), _shape(c.output))
            for c in run_recorded(model, [a[:1] for a in inputs])[1]
        )

    return model.kept(("calls", tuple(a.shape[1:] for a in inputs)), made)


def is_convolution(layer: Any) -> bool:
    """Whether a layer is a convolution, of Keras or torch."""
    return any(base.__name__ in CONVOLUTIONS for base in type(layer).__mro__)


def _shape(value: Any) -> Shape | None:
    """The shape of the first tensor, without the batch; None where it is unknown, as inside a scanned loop."""
    try:
        return tuple(int(n) for n in flattened(value)[0].shape[1:])
    except (AttributeError, IndexError, TypeError):
        return None


def _channels_first(layer: Any) -> bool | None:
    """Whether a layer takes channels to come first, by its own word or its kind; None where neither tells."""
    if (told := getattr(layer, "data_format", None)) is not None:
        return told == "channels_first"
    names = kinds(layer)
    return (
        True if any(n in CHANNELS_FIRST for n in names) else False if any(n in CHANNELS_LAST for n in names) else None
    )


def parted(shape: Shape, first: bool) -> tuple[Shape, int]:
    """A shape as positions and channels."""
    return (shape[1:], shape[0]) if first else (shape[:-1], shape[-1])


def first_in_layer(model: Model, calls: Sequence[Call], name: str, shape: Shape, *, images: bool) -> bool:
    """Whether channels come first in what a layer puts out: by its kind, or by the layers that take or give that shape.

    One axis beside the channels holds tokens, channels last, where all inputs are `images`.

    Raises:
        InvalidInput: Nothing tells, or layers contradict each other.
    """
    own = _channels_first(layers.find(model.native, name))
    told = {c.first for c in calls if c.first is not None and shape in (c.given, c.put)} if own is None else {own}
    if not told and images and len(shape) == 2:
        return False
    if len(told) == 1:
        return told.pop()
    return _by_custom(model, shape, f"layer: {name!r} puts out", "name a convolution or a dense layer", open=not told)


def first_in_input(model: Model, calls: Sequence[Call], shape: Shape) -> bool:
    """Whether channels come first in an input: as the first layer takes it that reads its positions and channels.

    Raises:
        InvalidInput: Nothing tells.
    """
    for c in calls:
        if c.first is not None and c.given is not None and len(c.given) == len(shape):
            for first in (c.first, not c.first):  # a transposition may stand in between
                if parted(c.given, c.first) == parted(shape, first):
                    return first
    return _by_custom(model, shape, "resize: an input holds", "resize=False gives the layer's own grid", open=True)


def _by_custom(model: Model, shape: Shape, what: str, instead: str, *, open: bool) -> bool:
    """Keras puts channels last, torch puts those of images first; where that does not settle it, say so."""
    if open and (model.is_keras or len(shape) > 2):
        return not model.is_keras
    raise InvalidInput(f"{what} {shape} for an example, and nothing tells which axis its channels are on; {instead}")


def canvas_of(model: Model, calls: Sequence[Call], inputs: Sequence[Array], index: int, rank: int) -> Canvas | None:
    """An input as what a grid of `rank` axes lies on; None where it has other axes."""
    shape = inputs[index].shape[1:]
    if len(shape) == rank:
        return Canvas(index, shape, None)
    if len(shape) != rank + 1:
        return None
    first = first_in_input(model, calls, shape)
    return Canvas(index, parted(shape, first)[0], 1 if first else rank + 1)


def token_grid(count: int, sizes: Shape, name: str) -> tuple[int, Shape]:
    """How tokens tile an image of `sizes` in square patches: tokens in front, and tokens along each axis.

    Raises:
        InvalidInput: In no way, or in several.
    """
    found: dict[bool, set[tuple[int, Shape]]] = {True: set(), False: set()}
    for patch in range(1, min(sizes) + 1):
        tiles = tuple(size // patch for size in sizes)
        before = count - int(np.prod(tiles))
        if 0 <= before <= MOST_BEFORE and np.prod(tiles) > 1:
            found[all(size % patch == 0 for size in sizes)].add((before, tiles))
    ways = sorted(found[True] or found[False])
    if len(ways) == 1:
        return ways[0]
    told = ", ".join(f"{before} and {h} x {w}" for before, (h, w) in ways) or "in no way"
    raise InvalidInput(
        f"layer: {name!r} puts out {count} tokens; they tile an image of {sizes[0]} x {sizes[1]} in square patches {told} "
        f"(with at most {MOST_BEFORE} tokens before them); name a layer with a grid of its own"
    )
