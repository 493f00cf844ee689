"""TensorFlow: graphs compiled once with a free batch axis."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import chain
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.eager import context
from tensorflow.python.framework import ops

from pellucid.shapes import Array, Tensor

ZERO = tf.UnconnectedGradients.ZERO

BRANCHES = {"While", "StatelessWhile", "If", "StatelessIf"}
"""Operations whose parts belong to the program in which they are."""

name = "tensorflow"
static_shapes = False


def _signature(array: Array, known: tf.TensorSpec | None) -> tf.TensorSpec:
    """The first axis is free, and so is every other that has been seen with two sizes."""
    shape = [None, *array.shape[1:]] if array.ndim else []
    if known is not None:
        shape = [a if a == b else None for a, b in zip(shape, known.shape, strict=True)]
    return tf.TensorSpec(shape, tf.as_dtype(array.dtype))


def comfortable(usual: int) -> int:
    """See `contract.Backend.comfortable`."""
    return usual


def compile(function: Callable[..., Any], variables: Sequence[Any]) -> Callable[..., Any]:
    """See `contract.Backend.compile`; graphs read variables by reference."""
    del variables
    graphs: dict[tuple[Any, ...], tuple[list[tf.TensorSpec], Callable[..., Any]]] = {}

    def run(*arrays: Array) -> Any:
        arrays = tuple(map(np.asarray, arrays))
        key = tuple((a.ndim, a.dtype.str) for a in arrays)
        known: list[Any]
        known, graph = graphs.get(key, ([None] * len(arrays), None))
        if graph is None or not all(s.shape.is_compatible_with(a.shape) for s, a in zip(known, arrays, strict=True)):
            signature = [_signature(a, s) for a, s in zip(arrays, known, strict=True)]
            # The concrete function skips the search for a matching graph, which costs more than a small model.
            graph = tf.function(function, input_signature=signature, autograph=False).get_concrete_function()
            _forget_gradients(graph.graph)
            graphs[key] = signature, graph
        return tf.nest.map_structure(np.asarray, graph(*map(tf.convert_to_tensor, arrays)))

    return run


def _forget_gradients(graph: tf.Graph) -> None:
    """Take the custom gradients of a program from the list in which TensorFlow keeps each, and its graph, for good.

    The program has taken its gradients when it was made, and none is taken of it. The functions that it calls have theirs
    left: others may call them.
    """
    known = ops.gradient_registry._registry
    if not any(name.startswith("CustomGradient") for name in known):
        return
    told = graph.as_graph_def()
    bodies = {function.signature.name: function.node_def for function in told.library.function}
    waiting = list(told.node)
    while waiting:
        node = waiting.pop()
        known.pop(node.attr["_gradient_op_type"].s.decode(), None)
        if node.op in BRANCHES:
            waiting += chain.from_iterable(bodies.get(a.func.name, ()) for a in node.attr.values())


def observe(function: Callable[..., Any], variables: Sequence[Any]) -> Callable[..., Any]:
    """See `contract.Backend.observe`."""
    del variables
    return lambda *arrays: function(*map(tf.convert_to_tensor, arrays))


def gradient(
    function: Callable[..., tuple[Tensor, Any]], inputs: Sequence[Tensor], *, again: bool = False
) -> tuple[Any, list[Tensor]]:
    """See `contract.Backend.gradient`; what it gives can always be differentiated again."""
    del again
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(inputs)
        scalar, extra = function(*inputs)
    return extra, tape.gradient(scalar, list(inputs), unconnected_gradients=ZERO)


def vector_jacobian(
    function: Callable[..., Tensor], inputs: Sequence[Tensor], cotangent: Tensor
) -> tuple[Tensor, list[Tensor]]:
    """See `contract.Backend.vector_jacobian`."""
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(inputs)
        value = function(*inputs)
    return value, tape.gradient(value, list(inputs), cotangent, unconnected_gradients=ZERO)


def jacobian_vector(
    function: Callable[..., Sequence[Tensor]], inputs: Sequence[Tensor], direction: Sequence[Tensor]
) -> list[Tensor]:
    """See `contract.Backend.jacobian_vector`; the derivative of (v^T J . direction) by v, which every operation has."""
    with tf.GradientTape(watch_accessed_variables=False) as outer:
        with tf.GradientTape(watch_accessed_variables=False) as inner:
            inner.watch(inputs)
            outputs = list(function(*inputs))
        cotangents = [tf.zeros_like(o) for o in outputs]
        outer.watch(cotangents)
        grads: Any = inner.gradient(outputs, list(inputs), cotangents, unconnected_gradients=ZERO)
        along = tf.add_n([tf.reduce_sum(g * d) for g, d in zip(grads, direction, strict=True)])
    return outer.gradient(along, cotangents, unconnected_gradients=ZERO)


def reaches(function: Callable[..., Sequence[Tensor]], inputs: Sequence[Array]) -> list[list[bool]]:
    """See `contract.Backend.reaches`."""
    tensors = _tensors(inputs)
    with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:
        tape.watch(tensors)
        outputs = list(function(*tensors))
    ways = [tape.gradient(o, tensors) if o.dtype.is_floating else [None] * len(tensors) for o in outputs]
    return [[g is not None for g in row] for row in ways]


def _values(variables: Sequence[Any]) -> list[tf.Variable]:
    return [v.value for v in variables]


def _tensors(arrays: Sequence[Array]) -> list[tf.Tensor]:
    return [tf.convert_to_tensor(a) for a in arrays]


def parameter_gradient(
    loss: Callable[..., Tensor], variables: Sequence[Any]
) -> Callable[[Sequence[Array]], tuple[float, list[Array]]]:
    """See `contract.Backend.parameter_gradient`."""
    values = _values(variables)

    def gradient(*arrays: Tensor) -> list[Tensor]:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(values)
            value = loss(*arrays)
        grads = tape.gradient(value, values, unconnected_gradients=ZERO)
        return [value, *(tf.convert_to_tensor(g) for g in grads)]

    program = compile(gradient, variables)

    def run(arrays: Sequence[Array]) -> tuple[float, list[Array]]:
        value, *grads = program(*arrays)
        return float(value), grads

    return run


def example_gradients(losses: Callable[..., Tensor], variables: Sequence[Any], arrays: Sequence[Array]) -> list[Array]:
    """See `contract.Backend.example_gradients`; one vectorized backward pass."""
    values = _values(variables)
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(values)
        value = losses(*_tensors(arrays))
    return [j.numpy() for j in tape.jacobian(value, values, unconnected_gradients=ZERO)]


def hessian_vector(
    loss: Callable[..., Tensor], variables: Sequence[Any]
) -> Callable[[Sequence[Array], Sequence[Array]], list[Array]]:
    """See `contract.Backend.hessian_vector`; the gradient of (gradient . vector)."""
    values = _values(variables)

    def product(*tensors: Tensor) -> list[Tensor]:
        arrays, vector = tensors[: -len(values)], tensors[-len(values) :]
        with tf.GradientTape(watch_accessed_variables=False) as outer:
            outer.watch(values)
            with tf.GradientTape(watch_accessed_variables=False) as inner:
                inner.watch(values)
                value = loss(*arrays)
            grads: Any = inner.gradient(value, values, unconnected_gradients=ZERO)
            along = tf.add_n([tf.reduce_sum(g * tf.cast(v, g.dtype)) for g, v in zip(grads, vector, strict=True)])
        found = outer.gradient(along, values, unconnected_gradients=ZERO)
        return [tf.convert_to_tensor(p) for p in found]

    program = compile(product, variables)
    return lambda arrays, vector: program(*arrays, *vector)


def unfused(native: Any, change: Callable[..., Any]) -> AbstractContextManager[None]:
    """See `contract.Backend.unfused`; models are made of Keras layers here."""
    del native, change
    return nullcontext()


def assign(variables: Sequence[Any], arrays: Sequence[Array]) -> None:
    """See `contract.Backend.assign`."""
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)


def seed(seed: int) -> None:
    """See `contract.Backend.seed`."""
    tf.random.set_seed(seed)


def random_state() -> Any:
    """See `contract.Backend.random_state`; TensorFlow keeps a seed and a generator of operation seeds."""
    eager: Any = context.context()
    generator = getattr(eager, "_rng", None)
    return eager._seed, generator.getstate() if generator is not None else None


def set_random_state(state: Any) -> None:
    """See `contract.Backend.set_random_state`."""
    eager: Any = context.context()
    seed, generator = state
    eager._set_global_seed(seed)
    if generator is not None:
        eager._rng.setstate(generator)
