"""Where weights meet values in each kind of attention layer, and the projection that follows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from math import prod
from typing import Any

from pellucid.core import layers
from pellucid.shapes import Tensor

Meet = Callable[..., tuple[Tensor, Tensor] | None]
"""Takes weights (B, H, Q, K) and values (B, H, K, D); gives those to go on with, or None for the same."""


def meeting_place(layer: Any, meet: Meet) -> AbstractContextManager[None] | None:
    """Until the block ends, a layer shows what it attends with; None for a layer that has no attention of a known kind."""
    if callable(getattr(layer, "attend", None)):
        return layers.attribute(layer, "attend", _attend(layer.attend, meet))
    if hasattr(layer, "_compute_attention") and hasattr(layer, "_masked_softmax"):
        return _over_heads(layer, meet)
    if hasattr(layer, "_apply_scores") and hasattr(layer, "_calculate_scores"):
        return layers.attribute(layer, "_apply_scores", _applied(layer._apply_scores, meet))
    return None


def _attend(original: Callable[..., Any], meet: Meet) -> Callable[..., Any]:
    """The one method of our own layers in which weights and values meet."""

    def attend(weights: Tensor, values: Tensor) -> Any:
        return original(*(meet(weights, values) or (weights, values)))

    return attend


def _applied(original: Callable[..., Any], meet: Meet) -> Callable[..., Any]:
    """`Attention` and `AdditiveAttention`: one head, whose values are what the layer was given."""

    def apply(scores: Tensor, value: Tensor, *rest: Any, **options: Any) -> tuple[Tensor, Tensor]:
        from keras import ops

        out, weights = original(scores, value, *rest, **options)
        split = lambda t: ops.reshape(t, (ops.shape(t)[0], prod(t.shape[1:-2]), *ops.shape(t)[-2:]))  # noqa: E731
        changed = meet(split(weights), split(value), folded=len(value.shape) > 3)
        if changed is not None:
            out, weights = (
                ops.reshape(t, ops.shape(like)) for t, like in ((ops.matmul(*changed), out), (changed[0], weights))
            )
        return out, weights

    return apply


@contextmanager
def _over_heads(layer: Any, meet: Meet) -> Iterator[None]:
    """`MultiHeadAttention` and `GroupQueryAttention`, of projected (B, T, H, D); axes without attention count as heads."""
    from keras import ops

    original, grouped = layer._compute_attention, hasattr(layer, "_return_attention_scores")
    own_path = not type(layer)._compute_attention.__module__.startswith("keras.")

    def compute(
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attention_mask: Any = None,
        training: Any = None,
        return_attention_scores: bool = False,
        **more: Any,
    ) -> tuple[Tensor, Tensor]:
        asked = layer._return_attention_scores if grouped else return_attention_scores
        with ExitStack() as stack:
            if not (asked or own_path or layer.dropout > 0 or len(query.shape) != 4):
                stack.enter_context(_as_fused(layer))
            if grouped:
                stack.enter_context(layers.attribute(layer, "_return_attention_scores", True))
            given = (attention_mask, training) if grouped else (attention_mask, training, True)
            out, weights = original(query, key, value, *given, **more)
        if weights is None:  # a subclass that does not say
            return out, weights
        order, axes = _heads_first(layer, len(value.shape)), len(_axes(layer))
        over = len(order) - axes - 2  # heads, and what counts as such
        moved = ops.transpose(value, order)
        changed = meet(_merged(weights, over, axes, axes), _merged(moved, over, axes, 1), folded=over > 1)
        if changed is not None:
            context = ops.matmul(*changed)
            shape = ops.shape(ops.transpose(out, order))
            out = ops.transpose(ops.reshape(context, shape), sorted(range(len(order)), key=order.__getitem__))
            weights = ops.reshape(changed[0], ops.shape(weights))
        return out, weights

    with layers.attribute(layer, "_flash_attention", False), layers.attribute(layer, "_compute_attention", compute):
        yield


@contextmanager
def _as_fused(layer: Any) -> Iterator[None]:
    """Of a query that may attend to nothing, Keras's fused attention takes the mean; its softmax alone would give 0."""
    from keras import ops

    original = layer._masked_softmax

    def softmax(scores: Tensor, attention_mask: Any = None) -> Tensor:
        weights = original(scores, attention_mask)
        if attention_mask is None:
            return weights
        free = ops.any(ops.cast(attention_mask, "bool"), axis=-1, keepdims=True)
        while len(free.shape) < len(scores.shape):
            free = ops.expand_dims(free, -3)
        even = ops.cast(1 / ops.shape(scores)[-1], weights.dtype)
        return ops.where(free, weights, even)

    with layers.attribute(layer, "_masked_softmax", softmax):
        yield


def _axes(layer: Any) -> tuple[int, ...]:
    """The axes of (B, ..., H, D) over which a layer attends."""
    return tuple(getattr(layer, "_attention_axes", None) or (1,))


def _heads_first(layer: Any, rank: int) -> list[int]:
    """The order of axes that makes (B, free axes, H, attended axes, D) of (B, ..., H, D)."""
    free = [axis for axis in range(1, rank - 2) if axis not in _axes(layer)]
    return [0, *free, rank - 2, *_axes(layer), rank - 1]


def _merged(tensor: Tensor, *groups: int) -> Tensor:
    """A tensor (B, ...) with each group of so many neighbouring axes made one."""
    from keras import ops

    if all(size == 1 for size in groups):
        return tensor
    sizes = iter(ops.shape(tensor)[1:])
    return ops.reshape(tensor, (-1, *(prod(next(sizes) for _ in range(size)) for size in groups)))


def projection(native: Any, name: str, layer: Any, values: Tensor) -> tuple[Tensor | None, Tensor | None]:
    """Kernel (H, D, O) and bias (O,) of the projection that joins the heads of a layer; None where none is known.

    Known are those of Keras, of our layers (`output_projection`), and by the names that torch modules give them.
    """
    from keras import ops

    if getattr(layer, "use_gate", False) or getattr(layer, "_use_gate", False):
        return None, None  # the heads are multiplied by something before they are joined
    heads, depth = int(values.shape[1]), int(values.shape[-1])
    dense = next((d for d in _candidates(native, name, layer) if d is not None), None)
    kernel = getattr(dense, "kernel", getattr(dense, "weight", None))
    if kernel is None or prod(kernel.shape) % (heads * depth):
        return None, None
    kernel = ops.cast(ops.convert_to_tensor(kernel), "float32")
    if type(dense).__name__.endswith("Linear"):  # of torch: (O, H D)
        kernel = ops.transpose(kernel)
    bias = getattr(dense, "bias", None)
    bias = None if bias is None else ops.reshape(ops.cast(ops.convert_to_tensor(bias), "float32"), (-1,))
    return ops.reshape(kernel, (heads, depth, -1)), bias


def _candidates(native: Any, name: str, layer: Any) -> Iterator[Any]:
    """Where a projection of heads may be kept: in the layer, or (as BERT has it) beside it."""
    for known in ("_output_dense", "output_projection", "out_proj", "o_proj", "c_proj"):
        yield getattr(layer, known, None)
    if hasattr(native, "named_modules") and name.count("."):
        around = native.get_submodule(name.rpartition(".")[0])
        yield getattr(getattr(around, "output", None), "dense", None)
