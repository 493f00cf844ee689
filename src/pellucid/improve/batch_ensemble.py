"""Members that share a network, told apart by one factor for each input and output of a layer."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pellucid.core import options
from pellucid.core.dataset import Dataset
from pellucid.core.tensors import to_array
from pellucid.errors import InvalidOption, NotApplicable
from pellucid.improve.base import Remedy
from pellucid.improve.heads import rebuilt
from pellucid.improve.joining import varied

_WEIGHTED = ("Dense", "Conv1D", "Conv2D", "Conv3D")


@dataclass(frozen=True, eq=False)
class BatchEnsemble(Remedy):
    """Trains members that share every kernel and differ by a factor for each of its inputs and outputs.

    How much of an ensemble can be had for hardly more memory than one model?

        member m:  y = activation(((x * r_m) W) * s_m + b_m),   that is a kernel W * (r_m s_m^T) of its own

    Every dense and convolution layer is changed so, but those that are not trained (`trainable=False`), which all members share
    whole; r and s begin as random signs, b as the layer's bias. While training, row i of a batch is learnt by member i mod M, so
    that one pass trains them all. Afterwards they are joined: the mean of their probabilities, or of their values.
    `pl.members(run.model)` are the members; W is one and the same in all of them. A layer's `kernel_regularizer` is of W, its
    `bias_regularizer` the mean over the b_m, its `bias_constraint` one of each, its `activity_regularizer` of y.

    Args:
        count: How many members, at least 2.

    Raises:
        InvalidOption: Fewer than 2 members; while training, batches of fewer rows than members.
        NotApplicable: While training, a model whose layers cannot be seen, that has no dense or convolution layer to train, or of
            which one, which is named, has its channels first, a `kernel_constraint`, or weights beside kernel and bias.

    Example:
        >>> import keras, numpy as np, pellucid as pl
        >>> def build():
        ...     net = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        ...     net.compile("sgd", "mse")
        ...     return net
        >>> x = np.random.default_rng(0).normal(size=(64, 2)).astype("float32")
        >>> run = pl.improve(build, pl.BatchEnsemble(3), train=(x, x[:, 0]), fit={"epochs": 1})
        >>> len(pl.members(run.model)), sum(w.size for w in run.model.keras.get_weights())  # 2 + 3 * (2 + 1 + 1)
        (3, 14)

    References:
        Wen, Tran and Ba 2020, "BatchEnsemble: an alternative approach to efficient ensemble and lifelong learning",
        arXiv:2002.06715.

    Limits:
        Each member sees one row in M of every batch: train about M times as many epochs, in batches of several M. Members are
        more alike than those of a DeepEnsemble. Answers still cost M passes. Batch normalization has one statistic for all
        members. The log of a run is of members taken in turn, not of their mean.
    """

    slot = "ensemble"
    rank = 20
    count: int = 4

    def __post_init__(self) -> None:
        options.whole(self, "count", 2)

    def require(self, rows: int) -> None:
        """See `Remedy.require`."""
        if rows < self.count:
            raise InvalidOption(
                f"BatchEnsemble: its {self.count} members learn from the rows of a batch in turn, but batches have {rows}: set "
                f"batch_size to at least {self.count} (with as many examples), better several times that, or take fewer members"
            )

    def rebuild(self, model: Any) -> Any:
        """See `Remedy.rebuild`."""
        places: list[Any] = []
        changed = rebuilt(model, lambda layer: _split(layer, self.count, places))
        if not places:
            raise NotApplicable(f"BatchEnsemble: {model.name} has no dense or convolution layer to train")
        changed.compile(**model._compile_config.config)
        return changed

    def finish(self, model: Any, train: Dataset, validation: Dataset | None) -> Any:
        """See `Remedy.finish`."""
        return varied(model, [functools.partial(_of_member, m) for m in range(self.count)])


def _split(layer: Any, count: int, places: list[Any]) -> Sequence[Any] | None:
    """A layer in four: factors of its inputs, its kernel, factors and offsets of its outputs, its activation."""
    from keras import layers

    if type(layer).__name__ not in _WEIGHTED or not layer.trainable:
        return None
    if getattr(layer, "data_format", "channels_last") != "channels_last":
        raise NotApplicable(f"BatchEnsemble: {layer.name} has its channels first; put them last")
    if layer.kernel_constraint is not None:
        raise NotApplicable(
            f"BatchEnsemble: {layer.name} has a kernel_constraint, which would hold for the shared kernel W but not for that of "
            "a member, W * (r s^T): leave it out"
        )
    if len(layer.weights) > 1 + layer.use_bias:
        raise NotApplicable(
            f"BatchEnsemble: {layer.name} has weights beside its kernel and bias (lora_rank, quantization): leave them out"
        )
    places.append(layer)
    elsewhere = {"use_bias": False, "activation": "linear", "activity_regularizer": None}
    kernel = type(layer).from_config(
        {**layer.get_config(), **elsewhere, "bias_regularizer": None, "bias_constraint": None}
    )
    if layer.built:
        kernel.build_from_config(layer.get_build_config())
        kernel.set_weights(layer.get_weights()[:1])
    linear, same = getattr(layer.activation, "__name__", "") == "linear", {"dtype": layer.dtype_policy}
    last = {**same, "activity_regularizer": layer.activity_regularizer}
    before = _factors()(count, name=f"{layer.name}_inputs", **same)
    offsets = _offsets(layer, count) if layer.use_bias else None
    after = _factors()(count, offsets, name=f"{layer.name}_outputs", **(last if linear else same))
    ending = [] if linear else [layers.Activation(layer.activation, name=f"{layer.name}_activation", **last)]
    return [before, kernel, after, *ending]


def _offsets(layer: Any, count: int) -> Mapping[str, Any]:
    """How Keras makes the offsets (M, C) of a layer's bias (C,): each begins as it and keeps its constraint. Their price is the
    mean of its price: a member learns from one row in M, so that the sum would weigh M times as much against its data.
    """
    from keras import ops

    price, held = layer.bias_regularizer, layer.bias_constraint

    def start(shape: Any, dtype: Any = None) -> Any:
        bias = layer.bias.value if layer.built else layer.bias_initializer(shape[1:], dtype=dtype)
        return ops.tile(ops.cast(bias, dtype or "float32"), (count, 1))

    return {
        "initializer": start,
        "regularizer": price and (lambda offsets: sum(price(offsets[m]) for m in range(count)) / count),
        "constraint": held and (lambda offsets: ops.stack([held(offsets[m]) for m in range(count)])),
    }


@functools.cache
def _factors() -> type:
    from keras import layers, ops, random

    def signs(shape: Any, dtype: Any = None) -> Any:
        return ops.cast(ops.where(random.uniform(shape) < 0.5, -1.0, 1.0), dtype or "float32")

    class Factors(layers.Layer):
        """Multiplies the channels of row i by the factors of member i mod M, and adds its offsets."""

        def __init__(self, count: int, offsets: Mapping[str, Any] | None = None, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.count, self.offsets, self.supports_masking = count, offsets, True

        def build(self, shape: Any) -> None:
            """Make factors (M, C) and offsets (M, C)."""
            self.scale = self.add_weight(shape=(self.count, shape[-1]), initializer=signs, name="scale")
            self.bias = self.offsets and self.add_weight(shape=(self.count, shape[-1]), name="bias", **self.offsets)
            self.built = True

        def call(self, x: Any) -> Any:
            """(B, ..., C) to (B, ..., C)."""
            member = ops.arange(ops.shape(x)[0]) % self.count
            shape = (-1, *[1] * (len(x.shape) - 2), x.shape[-1])
            out = x * ops.reshape(ops.take(self.scale, member, axis=0), shape)
            return out if self.bias is None else out + ops.reshape(ops.take(self.bias, member, axis=0), shape)

    return Factors


def _of_member(member: int, layer: Any) -> Sequence[Any] | None:
    """The factors and offsets of one member as a layer of Keras."""
    from keras import layers

    if not isinstance(layer, _factors()):
        return None
    width = layer.scale.shape[-1]
    axes = None if layer.bias is None else "c"
    same = {"dtype": layer.dtype_policy, "activity_regularizer": layer.activity_regularizer}
    made = layers.EinsumDense(
        "...c,c->...c", output_shape=(width,), bias_axes=axes, name=f"{layer.name}_{member + 1}", **same
    )
    made.build(layer.get_build_config()["input_shape"])
    made.set_weights([to_array(w.value)[member] for w in (layer.scale, layer.bias) if w is not None])
    return [made]
