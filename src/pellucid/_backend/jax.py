"""JAX: functions of the variables' values, compiled by shape."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np

from pellucid.shapes import Array, Tensor

name = "jax"
static_shapes = True


def _reading(values: Sequence[Any], variables: Sequence[Any]) -> keras.StatelessScope:
    """A scope in which `variables` hold `values`: JAX would otherwise bake their present values into the program."""
    return keras.StatelessScope(state_mapping=list(zip(variables, values, strict=True)))


def _values(variables: Sequence[Any]) -> list[Tensor]:
    return [v.value for v in variables]


def comfortable(usual: int) -> int:
    """See `contract.Backend.comfortable`; on a processor, XLA's gradients take twice as long in steps of more than 16 MiB."""
    return min(usual, 8 * 2**20) if jax.default_backend() == "cpu" else usual


def compile(function: Callable[..., Any], variables: Sequence[Any]) -> Callable[..., Any]:
    """See `contract.Backend.compile`."""

    @jax.jit
    def program(values: list[Tensor], *arrays: Tensor) -> Any:
        with _reading(values, variables):
            return function(*arrays)

    def run(*arrays: Array) -> Any:
        return jax.tree.map(np.asarray, program(_values(variables), *arrays))

    return run


def observe(function: Callable[..., Any], variables: Sequence[Any]) -> Callable[..., Any]:
    """See `contract.Backend.observe`; compiled as one, as each operation would else be compiled by itself."""
    forms: dict[Any, Any] = {}
    signature = lambda arrays: tuple((a.shape, str(a.dtype)) for a in arrays)  # noqa: E731

    @jax.jit
    def program(values: list[Tensor], *arrays: Tensor) -> list[Tensor]:
        with _reading(values, variables):
            leaves, tree = jax.tree.flatten(function(*arrays))
        home = arrays[0]._trace  # type: ignore[attr-defined]
        own = {id(t): t for t in leaves if isinstance(t, jax.Array) and getattr(t, "_trace", home) is home}
        place = {key: i for i, key in enumerate(own)}
        forms[signature(arrays)] = tree, [(place.get(id(t)), None if id(t) in own else _bare(t)) for t in leaves]
        return list(own.values())

    def run(*arrays: Array) -> Any:
        given = [jnp.asarray(a) for a in arrays]  # of the types that a trace sees
        found = program(_values(variables), *given)
        tree, parts = forms[signature(given)]
        return jax.tree.unflatten(tree, [other if i is None else found[i] for i, other in parts])

    return run


def _bare(leaf: Any) -> Any:
    """What is left of a tensor once the loop that it was in is over."""
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) if isinstance(leaf, jax.Array) else leaf


def gradient(
    function: Callable[..., tuple[Tensor, Any]], inputs: Sequence[Tensor], *, again: bool = False
) -> tuple[Any, list[Tensor]]:
    """See `contract.Backend.gradient`; what it gives can always be differentiated again."""
    del again
    every = tuple(range(len(inputs)))
    (_, extra), grads = jax.value_and_grad(function, argnums=every, has_aux=True)(*inputs)
    return extra, list(grads)


def vector_jacobian(
    function: Callable[..., Tensor], inputs: Sequence[Tensor], cotangent: Tensor
) -> tuple[Tensor, list[Tensor]]:
    """See `contract.Backend.vector_jacobian`."""
    value, pull_back = jax.vjp(function, *inputs)
    return value, list(pull_back(cotangent))


def jacobian_vector(
    function: Callable[..., Sequence[Tensor]], inputs: Sequence[Tensor], direction: Sequence[Tensor]
) -> list[Tensor]:
    """See `contract.Backend.jacobian_vector`."""
    return list(jax.jvp(lambda *given: list(function(*given)), tuple(inputs), tuple(direction))[1])


def reaches(function: Callable[..., Sequence[Tensor]], inputs: Sequence[Array]) -> list[list[bool]]:
    """See `contract.Backend.reaches`; an output's tangent that is no function of an input's has no way to it."""
    points = [jnp.asarray(a) for a in inputs]

    def floating(*arrays: Tensor) -> list[Tensor]:
        return [o if jnp.issubdtype(o.dtype, jnp.floating) else jnp.zeros(()) for o in function(*arrays)]

    program = jax.make_jaxpr(lambda *tangents: jax.jvp(floating, tuple(points), tangents)[1])(*points).jaxpr
    ways = _ways(program, [{i} for i in range(len(points))])
    return [[i in way for i in range(len(points))] for way in ways]


_CALLS = ("jit", "pjit", "closed_call", "core_call", "custom_jvp_call", "custom_vjp_call", "checkpoint", "remat")
"""Operations that run a program of their own; loops and branches among programs are taken as a whole."""


def _ways(program: Any, given: list[set[int]]) -> list[set[int]]:
    """Which inputs each output of a program is a function of, for what its arguments are functions of."""
    found = {id(v): way for v, way in zip(program.invars, given, strict=True)}
    known = lambda v: found.get(id(v), set())  # noqa: E731
    for equation in program.eqns:
        read, inner = [known(v) for v in equation.invars], _inner(equation)
        outs = [set().union(*read)] * len(equation.outvars) if inner is None else _ways(inner, read)
        found.update((id(v), way) for v, way in zip(equation.outvars, outs, strict=True))
    return [known(v) for v in program.outvars]


def _inner(equation: Any) -> Any:
    """The program that an operation runs once, argument by argument; None where it does something else."""
    if equation.primitive.name not in _CALLS:
        return None
    for name in ("jaxpr", "call_jaxpr"):
        program = equation.params.get(name)
        program = getattr(program, "jaxpr", program)
        if program is not None and len(program.invars) == len(equation.invars):
            return program
    return None


def _of_values(loss: Callable[..., Tensor], variables: Sequence[Any]) -> Callable[..., Tensor]:
    def function(values: list[Tensor], *arrays: Tensor) -> Tensor:
        with _reading(values, variables):
            return loss(*arrays)

    return function


def _arrays(tensors: Sequence[Tensor]) -> list[Array]:
    return [np.asarray(t) for t in tensors]


def parameter_gradient(
    loss: Callable[..., Tensor], variables: Sequence[Any]
) -> Callable[[Sequence[Array]], tuple[float, list[Array]]]:
    """See `contract.Backend.parameter_gradient`."""
    program = jax.jit(jax.value_and_grad(_of_values(loss, variables)))

    def run(arrays: Sequence[Array]) -> tuple[float, list[Array]]:
        value, grads = program(_values(variables), *arrays)
        return float(value), _arrays(grads)

    return run


def example_gradients(losses: Callable[..., Tensor], variables: Sequence[Any], arrays: Sequence[Array]) -> list[Array]:
    """See `contract.Backend.example_gradients`; one backward pass vectorized over examples."""
    function = _of_values(losses, variables)

    def one(values: list[Tensor], *example: Tensor) -> Tensor:
        return jnp.sum(function(values, *(e[None] for e in example)))

    batched = jax.vmap(jax.grad(one), in_axes=(None, *(0 for _ in arrays)))
    return _arrays(batched(_values(variables), *map(jnp.asarray, arrays)))


def hessian_vector(
    loss: Callable[..., Tensor], variables: Sequence[Any]
) -> Callable[[Sequence[Array], Sequence[Array]], list[Array]]:
    """See `contract.Backend.hessian_vector`; forward over reverse."""
    function = _of_values(loss, variables)

    @jax.jit
    def product(values: list[Tensor], arrays: list[Tensor], vector: list[Tensor]) -> list[Tensor]:
        tangent = [jnp.asarray(v, dtype=value.dtype) for v, value in zip(vector, values, strict=True)]
        return jax.jvp(lambda v: jax.grad(function)(v, *arrays), (values,), (tangent,))[1]

    return lambda arrays, vector: _arrays(product(_values(variables), list(arrays), list(vector)))


def unfused(native: Any, change: Callable[..., Any]) -> AbstractContextManager[None]:
    """See `contract.Backend.unfused`; models are made of Keras layers here."""
    del native, change
    return nullcontext()


def assign(variables: Sequence[Any], arrays: Sequence[Array]) -> None:
    """See `contract.Backend.assign`."""
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)


def seed(seed: int) -> None:
    """See `contract.Backend.seed`; JAX has no global generator."""


def random_state() -> Any:
    """See `contract.Backend.random_state`; JAX has none."""
    return None


def set_random_state(state: Any) -> None:
    """See `contract.Backend.set_random_state`; JAX has none."""
