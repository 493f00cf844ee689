"""How large a model is: what a simpler one saves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from pellucid.core.attention import sites
from pellucid.core.layers import all_replaced, sublayers
from pellucid.core.model import Model, wrap
from pellucid.core.record import Value
from pellucid.core.tensors import flattened, to_array
from pellucid.errors import NoAttention
from pellucid.improve.penalties import is_kernel

_LOOKED_UP = ("Embedding", "LearnedPositions", "ClassToken")
"""Layers whose tables are read or added, not multiplied by."""


@dataclass(frozen=True, eq=False)
class Size(Value):
    """What a model takes to keep and to run.

    Attributes:
        weights: Numbers that are saved with it, statistics of normalization among them.
        nonzero: Those that are not zero.
        multiply_adds: Products of an input and a weight, and in attention of two inputs, that one example takes; None where they
            cannot be counted: no Keras model, no example to run, or a layer of one's own that holds matrices.
    """

    weights: int
    nonzero: int
    multiply_adds: int | None

    def __str__(self) -> str:
        told = "" if self.multiply_adds is None else f", {self.multiply_adds:,} multiply-adds an example"
        return f"{self.weights:,} weights, {self.nonzero:,} not zero{told}"


def size_of(model: Any, x: Any = None) -> Size:
    """Count a model's weights, those that are not zero, and the multiply-adds of one example.

    What does a simpler model save? To hold against its accuracy: `pl.size_of(run.model).nonzero`.

    Args:
        model: A Keras model, a torch.nn.Module, or what `wrap` gave.
        x: Examples of which one is run to see how large its inputs are; not needed for a Keras model with inputs of fixed sizes.

    Example:
        >>> import keras, pellucid as pl
        >>> net = keras.Sequential([keras.Input((6, 6, 1)), keras.layers.Conv2D(2, 3), keras.layers.Flatten(),
        ...                         keras.layers.Dense(3)])
        >>> print(pl.size_of(net))
        119 weights, 114 not zero, 384 multiply-adds an example

    Limits:
        Elementwise work (activations, normalization, biases) is not counted, and zeros are: ordinary libraries multiply by them.
        Seconds depend on the machine besides.
    """
    wrapped = wrap(model)
    arrays = [to_array(w) for w in (wrapped.native.weights if wrapped.is_keras else wrapped.variables)]
    multiplied = _multiply_adds(wrapped, x) if wrapped.is_keras else None
    return Size(sum(a.size for a in arrays), sum(int(np.count_nonzero(a)) for a in arrays), multiplied)


def _multiply_adds(model: Model, x: Any) -> int | None:
    """Those of one example, as its run shows them."""
    if (one := _one(model, x)) is None:
        return None
    counts: list[int | None] = []
    layers = list({id(layer): layer for layer in sublayers(model.native).values()}.values())
    cells = {id(layer.cell) for layer in layers if hasattr(layer, "cell")}
    arrays = model.prepare(one)
    with all_replaced((layer, _counting(layer, counts)) for layer in layers if id(layer) not in cells):
        model.call(arrays)
    with suppress(NoAttention):
        counts += [2 * prod(site.shape) * site.depth for site in sites(model, arrays)]
    return None if None in counts else sum(n for n in counts if n is not None)


def _one(model: Model, x: Any) -> Any:
    """One example, of zeros if none is given; None where its sizes are not known."""
    if x is not None:
        return {n: np.asarray(a)[:1] for n, a in x.items()} if isinstance(x, dict) else np.asarray(x)[:1]
    shapes = [tuple(t.shape[1:]) for t in getattr(model.native, "inputs", None) or ()]
    if not shapes or any(n is None for shape in shapes for n in shape):
        return None
    zeros = [np.zeros((1, *shape), np.float32) for shape in shapes]
    return dict(zip(model.names, zeros, strict=True)) if model.names else zeros[0]


def _counting(layer: Any, counts: list[int | None]) -> Callable[[Any], Any]:
    def make(original: Any) -> Any:
        def call(*given: Any, **named: Any) -> Any:
            found = original(*given, **named)
            if own := _matrices(layer):
                taken = flattened([given, list(named.values())])[0]
                counts.append(_products(layer, own, tuple(taken.shape[1:]), tuple(flattened(found)[0].shape[1:])))
            return found

        return call

    return make


def _matrices(layer: Any) -> list[Any]:
    """The kernels and tables of a layer itself, or of the cell it repeats."""
    held = layer.cell if hasattr(layer, "cell") else layer
    return [w for w in (*held._trainable_variables, *held._non_trainable_variables) if is_kernel(w)]


def _products(layer: Any, own: Sequence[Any], taken: tuple[int, ...], given: tuple[int, ...]) -> int | None:
    """How often each weight meets a number, times the weights; shapes are of one example."""
    kind = type(layer).__name__
    count = sum(prod(w.shape) for w in own)
    if kind in _LOOKED_UP:
        return 0
    if hasattr(layer, "cell"):
        return count * taken[0]
    if kind == "FeatureTokenizer":
        return count
    if kind == "Dense":
        return count * (prod(taken) // own[0].shape[0])
    if kind == "EinsumDense":
        inputs, kernel = layer.equation.split("->")[0].split(",")
        shared = prod(n for letter, n in zip(kernel, own[0].shape, strict=True) if letter in inputs)
        return count * (prod(taken) // shared)
    if "Conv" in kind and "LSTM" not in kind:
        shape = taken if "Transpose" in kind else given
        maps = shape[0 if layer.data_format == "channels_first" else -1]
        return count * (prod(shape) // maps)
    return None
