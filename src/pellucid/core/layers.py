"""Reaching into a model: a layer's call is replaced for the length of a `with` block.

The same trick serves Keras layers (their `call`) and torch modules (their `forward`): nothing is rebuilt, so
functional, sequential, nested and subclassed models are all reached in the same way, on every backend.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from pellucid.core.registry import unknown
from pellucid.core.tensors import flattened
from pellucid.errors import UnknownName
from pellucid.shapes import Tensor

Call = Callable[..., Any]


@contextmanager
def replaced(layer: Any, make: Callable[[Call], Call]) -> Iterator[None]:
    """Put `make(original call)` in place of a layer's call until the block ends."""
    name = "call" if hasattr(layer, "call") else "forward"
    own = vars(layer).get(name)  # set if an enclosing block has already replaced it
    object.__setattr__(layer, name, make(getattr(layer, name)))
    try:
        yield
    finally:
        if own is None:
            object.__delattr__(layer, name)
        else:
            object.__setattr__(layer, name, own)


@contextmanager
def all_replaced(changes: Iterable[tuple[Any, Callable[[Call], Call]]]) -> Iterator[None]:
    """`replaced` for many layers: pairs of a layer and what makes its new call."""
    with ExitStack() as stack:
        for layer, make in changes:
            stack.enter_context(replaced(layer, make))
        yield


@contextmanager
def attribute(layer: Any, name: str, value: Any) -> Iterator[None]:
    """Set an attribute of a layer, past its bookkeeping, until the block ends."""
    own, before = name in vars(layer), getattr(layer, name)
    object.__setattr__(layer, name, value)
    try:
        yield
    finally:
        if own:
            object.__setattr__(layer, name, before)
        else:
            object.__delattr__(layer, name)


def sublayers(model: Any) -> dict[str, Any]:
    """Every layer inside a model by its unique path, outermost first; empty for a callable.

    A Keras layer is named by its own name where that is unique, by its path ("block_1/dense") where it is not. A model that is
    one layer holds itself.
    """
    found = _inside(model)
    if not found and (hasattr(model, "_flatten_layers") or hasattr(model, "named_modules")):
        return {str(getattr(model, "name", None) or type(model).__name__.lower()): model}
    return found


def _inside(model: Any) -> dict[str, Any]:
    if hasattr(model, "_flatten_layers"):
        layers, paths = list(model._flatten_layers(include_self=False, recursive=True)), _paths(model)
        count = Counter(layer.name for layer in layers)
        named: dict[str, Any] = {}
        for layer in layers:
            name = str(layer.name if count[layer.name] == 1 else paths.get(id(layer), layer.name))
            free = (name, *(f"{name}_{i}" for i in range(1, len(layers))))
            named[next(n for n in free if n not in named)] = layer
        return named
    if hasattr(model, "named_modules"):
        return {name: module for name, module in model.named_modules() if name}
    return {}


def _paths(model: Any, before: str = "") -> dict[int, str]:
    """Where each layer is held, by identity: the names of those around it and its own."""
    found: dict[int, str] = {}
    for layer in model._flatten_layers(include_self=False, recursive=False):
        path = f"{before}{layer.name}"
        for key, name in {id(layer): path, **_paths(layer, f"{path}/")}.items():
            found.setdefault(key, name)
    return found


def operations_known(model: Any) -> bool:
    """Whether a model is functional, so that it says what it computes outside its layers."""
    return hasattr(model, "operations") or hasattr(getattr(model, "_functional", None), "operations")


def operations(model: Any) -> list[Any]:
    """The `keras.ops` nodes of functional models, nested ones among them: all that is computed outside layers."""
    models = [model, *(layer for layer in sublayers(model).values() if hasattr(layer, "operations"))]
    nodes = (node for m in models for node in getattr(m, "operations", ()))
    return [node for node in nodes if not hasattr(node, "weights")]


def find(model: Any, name: str) -> Any:
    """The layer of that name.

    Raises:
        UnknownName: There is none; the nearest names are offered.
    """
    layers = sublayers(model)
    if name not in layers:
        raise UnknownName(unknown("layer", name, layers))
    return layers[name]


def leaves(model: Any) -> dict[str, Any]:
    """The layers that hold no other layers."""
    return {name: layer for name, layer in sublayers(model).items() if not _inside(layer)}


@dataclass(frozen=True)
class Called:
    """One call of a layer, as it happened."""

    name: str
    layer: Any
    inputs: tuple[Any, ...]
    output: Any


@contextmanager
def recorded(model: Any, *, nodes: bool = False) -> Iterator[list[Called]]:
    """List every call of every innermost layer made inside the block, in order; `keras.ops` nodes as well if asked."""
    calls: list[Called] = []

    def recorder(name: str, layer: Any) -> Callable[[Call], Call]:
        def make(original: Call) -> Call:
            def call(*inputs: Any, **options: Any) -> Any:
                output = original(*inputs, **options)
                calls.append(Called(name, layer, inputs, output))
                return output

            return call

        return make

    inside = list(leaves(model).items())
    if nodes:
        inside += [(node.name, node) for node in operations(model)]
    with all_replaced((layer, recorder(name, layer)) for name, layer in inside):
        yield calls


@contextmanager
def read(layer: Any) -> Iterator[list[Tensor]]:
    """Note what a layer puts out inside the block, call by call: its first tensor, where it gives several."""
    seen: list[Tensor] = []
    with shifted(layer, [], seen):
        yield seen


@contextmanager
def fed(layer: Any) -> Iterator[list[Tensor]]:
    """Note what a layer is given inside the block, call by call: its first input."""
    seen: list[Tensor] = []

    def noted(original: Call) -> Call:
        def call(*given: Any, **options: Any) -> Any:
            seen.append(given[0])
            return original(*given, **options)

        return call

    with replaced(layer, noted):
        yield seen


def injector(by_call: Mapping[int, Tensor], *, keep: bool = False) -> Callable[[Call], Call]:
    """Makes a call that puts out given tensors, by the number of the call; `keep`: further outputs and types stay."""
    from keras import ops

    def make(original: Call) -> Call:
        count = iter(range(10**9))

        def call(*inputs: Any, **options: Any) -> Any:
            i = next(count)
            if i not in by_call:
                return original(*inputs, **options)
            if not keep:
                return by_call[i]
            output = original(*inputs, **options)
            return with_first(output, ops.cast(by_call[i] * 1, flattened(output)[0].dtype))

        return call

    return make


def with_first(output: Any, tensor: Tensor) -> Any:
    """What a layer put out, with another first tensor."""
    if isinstance(output, list | tuple):
        return type(output)([with_first(output[0], tensor), *output[1:]])
    return tensor


@contextmanager
def shifted(layer: Any, shifts: list[Tensor], seen: list[Tensor]) -> Iterator[None]:
    """Add `shifts[i]` to the output of the layer's i-th call and note the sum in `seen`.

    With zeros for shifts, a gradient by the shift is the gradient at the layer; an empty list only reads the output.
    """

    from keras import ops

    def make(original: Call) -> Call:
        def call(*inputs: Any, **options: Any) -> Any:
            output = original(*inputs, **options)
            first = flattened(output)[0]
            if len(seen) < len(shifts):
                first = first + ops.cast(shifts[len(seen)], first.dtype)
            seen.append(first)
            return with_first(output, first * 1)  # a copy goes on: torch may work on it in place

        return call

    with replaced(layer, make):
        yield
