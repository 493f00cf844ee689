"""Every attention inside a model, found, read and changed while the model runs.

Wherever weights a (B, H, Q, K) meet values v (B, H, K, D), in a Keras layer, in one of ours or in a torch module, the two are
handed to a hook, which may give others. Readers, gradients by the weights, permuted weights and zeroed values are all hooks:

    with watched(model, lambda seen: found.append(seen.weights)):  # reads
    with watched(model, lambda seen: (seen.weights + shifts[seen.number], seen.values)):  # gradients by a zero shift
"""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pellucid.core import layers
from pellucid.core.anatomy import run_once
from pellucid.core.attention_layers import meeting_place, projection
from pellucid.core.model import Model
from pellucid.core.tensors import flattened, to_array
from pellucid.errors import InvalidInput, NoAttention
from pellucid.shapes import Array, Tensor

READ = (
    "keras.layers.MultiHeadAttention, GroupQueryAttention, Attention and AdditiveAttention, the layers of pellucid.layers "
    "(any layer with a method attend(weights, values)), torch.nn.MultiheadAttention and torch modules that call "
    "torch.nn.functional.scaled_dot_product_attention"
)
"""The kinds of attention that are read, in words."""


@dataclass(frozen=True)
class Site:
    """One attention inside a model.

    Attributes:
        name: The unique name of its layer; "name:1" for the second call of a layer that is shared.
        number: Its place in the order in which attentions run, from 0.
        heads, queries, keys, depth: H, Q, K and D of one example.
        self_attention: Whether queries and keys are positions of the same tensor.
        kind: The class of the layer.
        projected: Whether an output projection is known.
    """

    name: str
    number: int
    heads: int
    queries: int
    keys: int
    depth: int
    self_attention: bool
    kind: str
    projected: bool

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape (H, Q, K) of the weights of one example."""
        return self.heads, self.queries, self.keys


@dataclass(frozen=True, eq=False)
class Seen:
    """What happened at a site in one run, in float32.

    Attributes:
        name, number: As in `Site`.
        weights: (B, H, Q, K), after softmax and masks.
        values: (B, H, K, D), after the projection of the values.
        output_kernel: (H, D, O), the output projection: out = sum_h (a_h v_h) W_h + b; None where none is known.
        output_bias: (O,) or None.
        layer: The layer or module itself; None for attention outside any.
        arguments: What its call was given, by the names of its parameters.
    """

    name: str
    number: int
    weights: Tensor
    values: Tensor
    output_kernel: Tensor | None = None
    output_bias: Tensor | None = None
    layer: Any = None
    arguments: Mapping[str, Any] = field(default_factory=dict)


Hook = Callable[[Seen], tuple[Tensor, Tensor] | None]
"""What is done at each site: None leaves it alone; weights and values are used in the place of its own."""


@dataclass(frozen=True)
class _Running:
    """A call that has begun: whose it is, and what it was given."""

    name: str
    layer: Any
    call: Callable[..., Any]
    args: tuple[Any, ...]
    options: Mapping[str, Any]

    def arguments(self) -> dict[str, Any]:
        try:
            return dict(inspect.signature(self.call).bind(*self.args, **self.options).arguments)
        except (TypeError, ValueError):  # a call without a signature
            return {str(i): a for i, a in enumerate(self.args)} | dict(self.options)


class _Watch:
    """Counts the meetings of weights and values in one run, and shows them to the hook."""

    def __init__(self, model: Model, hook: Hook) -> None:
        self.model, self.hook = model, hook
        self.running: list[_Running] = []
        self.calls: Counter[str] = Counter()

    def meet(self, weights: Tensor, values: Tensor, *, folded: bool = False) -> tuple[Tensor, Tensor] | None:
        """What the hook makes of them, in their own types; None: nothing."""
        from keras import ops

        now = self.running[-1] if self.running else _Running("attention", None, self.hook, (), {})
        count, number = self.calls[now.name], self.calls.total()
        self.calls[now.name] += 1
        kernel, bias = (None, None) if folded else projection(self.model.native, now.name, now.layer, values)
        changed = self.hook(
            Seen(
                f"{now.name}:{count}" if count else now.name, number, ops.cast(weights, "float32"),
                ops.cast(values, "float32"), kernel, bias, now.layer, now.arguments() if now.layer is not None else {},
            )
        )  # fmt: skip
        if changed is None:
            return None
        return ops.cast(changed[0], weights.dtype), ops.cast(changed[1], values.dtype)

    def follow(self, name: str, layer: Any) -> Callable[[layers.Call], layers.Call]:
        """Makes a call that is known to be running while it runs."""

        def make(original: layers.Call) -> layers.Call:
            def call(*args: Any, **options: Any) -> Any:
                self.running.append(_Running(name, layer, original, args, options))
                try:
                    return original(*args, **options)
                finally:
                    self.running.pop()

            return call

        return make


@contextmanager
def watched(model: Model, hook: Hook) -> Iterator[None]:
    """Show every attention of one run of the model, made inside the block, to a hook, in order.

    For use around `model.forward` (or `call`), also inside a function that is compiled or differentiated. Fused attention is
    computed step by step until the block ends; nothing of it stays, whatever happens inside. What the hook leaves alone is
    put out as the layer's own unfused arithmetic gives it.

    Args:
        model: What `wrap` gave.
        hook: Takes a `Seen`; gives None, or the weights (B, H, Q, K) and values (B, H, K, D) to go on with.

    Limits:
        One run a block, since names and numbers count from its start; blocks do not nest: let one hook do everything.
        Attention inside a scanned loop (a recurrent layer's cell) cannot be read: its tensors live in the loop alone.
    """
    watch, framework = _Watch(model, hook), not model.is_keras
    with ExitStack() as stack:
        for name, layer in layers.sublayers(model.native).items():
            place = meeting_place(layer, watch.meet)
            module = type(layer).__name__ == "TorchModuleWrapper" or not hasattr(layer, "call")
            framework |= module
            if place is not None:
                stack.enter_context(place)
            if place is not None or module:
                stack.enter_context(layers.replaced(layer, watch.follow(name, layer)))
        if framework:
            stack.enter_context(model.backend.unfused(model.native, watch.meet))
        yield


def sites(model: Model, inputs: Sequence[Array]) -> tuple[Site, ...]:
    """Every attention inside a model, in the order they run on such inputs; kept on the model.

    Args:
        model: What `wrap` gave.
        inputs: What `model.prepare` gave.

    Raises:
        NoAttention: There is none.
        InvalidInput: The rows of its weights are not the examples.
    """
    shapes = tuple(a.shape[1:] for a in inputs)
    return model.kept(("attention", shapes), lambda: _found(model, inputs))


def rows_each(model: Model, found: Sequence[Site], times: int) -> int:
    """Rows that an example counts for in a chunk whose step holds the weights of some sites so many times: they are no layer's
    output, and so not in the count of activations that a chunk is made of."""
    return 1 + times * sum(int(np.prod(site.shape)) for site in found) // model.anatomy.activations


def _found(model: Model, inputs: Sequence[Array]) -> tuple[Site, ...]:
    found: list[Site] = []

    def look(seen: Seen) -> None:
        rows, heads, queries, keys = map(int, seen.weights.shape)
        if rows != 1:
            raise InvalidInput(
                f"{seen.name} in {model.name} attends {rows} times for one example (over windows, or examples that do not come "
                "first): its weights cannot be given example by example"
            )
        same = queries == keys and _one_source(seen.arguments)
        kind, depth = type(seen.layer or model.native).__name__, int(seen.values.shape[-1])
        found.append(
            Site(seen.name, seen.number, heads, queries, keys, depth, same, kind, seen.output_kernel is not None)
        )

    def run(*tensors: Tensor) -> None:
        with watched(model, look):
            model.call(tensors)

    run_once(model, run, [a[:1] for a in inputs])
    if not found:
        inside = (
            "" if model.is_keras or model.is_torch else "; layers inside a callable are not reached: wrap the model"
        )
        raise NoAttention(f"no attention was found in {model.name}; what is read: {READ}{inside}")
    return tuple(found)


def _one_source(arguments: Mapping[str, Any]) -> bool:
    """Whether the sequences that a call was given are one and the same, as numbers: casts make new tensors of one."""
    given = [a for name, a in arguments.items() if not any(word in name for word in ("mask", "position", "bias"))]
    arrays = [to_array(t) for t in flattened(given) if hasattr(t, "shape") and len(t.shape) >= 3]
    return all(a.shape == arrays[0].shape and np.array_equal(a, arrays[0]) for a in arrays[1:])
