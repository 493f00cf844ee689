"""What the parts of a model add of their own: biases, given and implicit, and what each counts for the score."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pellucid.core import layers
from pellucid.core.anatomy import run_once
from pellucid.core.model import Model
from pellucid.core.target import Resolved
from pellucid.shapes import Array, Tensor

OPENED = ("Sequential", "Functional", "ModuleList", "ModuleDict")
"""Kinds of containers that do nothing but call what they hold."""


@dataclass(frozen=True)
class Output:
    """An output of one call of a part: the part, its name, and the shape for one example."""

    part: Any
    name: str
    shape: tuple[int, ...]


def parts(native: Any) -> dict[str, Any]:
    """The layers and operations that a model consists of, by name; what computes between its own layers stays whole."""
    found: dict[int, tuple[str, Any]] = {}

    def collect(name: str, part: Any, root: bool) -> None:
        kinds = {base.__name__ for base in type(part).__mro__}
        inside = _held(part) if root or kinds.intersection(OPENED) else []
        for own, child in inside:
            collect(own, child, root=False)
        if not inside and "InputLayer" not in kinds:
            found.setdefault(id(part), (name, part))

    collect(getattr(native, "name", None) or type(native).__name__, native, root=True)
    return dict(found.values())


def _held(part: Any) -> list[tuple[str, Any]]:
    if hasattr(part, "named_children") and not hasattr(part, "_flatten_layers"):
        return list(part.named_children())
    nodes = getattr(part, "operations", None) or list(part._flatten_layers(include_self=False, recursive=False))
    return [(node.name, node) for node in nodes]


def outputs_of(model: Model, inputs: Sequence[Array]) -> tuple[Output, ...]:
    """The outputs of all calls of a model's parts, in order, when it runs on such inputs; kept on the model."""

    def made() -> tuple[Output, ...]:
        seen: list[Output] = []

        def looking(*tensors: Tensor) -> None:
            def note(name: str, part: Any, call: _Call) -> Any:
                outputs = call.outputs()
                seen.extend(Output(part, name, tuple(int(n) for n in o.shape[1:])) for o in outputs)
                return call.packed(outputs)

            at = model.embed(tensors)
            with layers.all_replaced(_changes(model, note)):
                model.forward_from(at, tensors)

        run_once(model, looking, [a[:1] for a in inputs])
        return tuple(seen)

    return model.kept(("biases", tuple(a.shape[1:] for a in inputs)), made)


def shares(
    model: Model, target: Resolved, outputs: Sequence[Output], at: Sequence[Tensor], rows: Sequence[Tensor]
) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """What a score consists of, exactly, however the parts bend.

    A part is y = f(z) = J z + (f(z) - J z), a slope and a bias of its own. With G the score's gradient by y, the score is
    `gradient by the input . input + sum over parts of G . (f(z) - J z)`, by Euler's rule for what is left without biases.

    Args:
        model: The model.
        target: What is asked.
        outputs: The outputs of its parts, in order.
        at: Where gradients are taken, the entries.
        rows: The inputs and the selector.

    Returns:
        Scores (E,), gradients at the entries, and for each output its share `G * (f(z) - J z)` (E, ...).
    """
    from keras import ops

    count = ops.shape(rows[-1])[0]
    nothing = [ops.zeros((count, *o.shape), "float32") for o in outputs]

    def total(*given: Tensor) -> tuple[Tensor, tuple[Tensor, list[Tensor]]]:
        entries, added = given[: len(at)], list(given[len(at) :])
        biases: list[Tensor] = []

        def change(name: str, part: Any, call: _Call) -> Any:
            own = call.biases(model)
            lifted = [y + ops.cast(added[len(biases) + i], y.dtype) for i, y in enumerate(call.outputs())]
            biases.extend(own)
            return call.packed(lifted)

        with layers.all_replaced(_changes(model, change)):
            scores = target.score(model.forward_from(entries, rows[:-1]), rows[-1])
        return ops.sum(scores), (scores, biases)

    (scores, biases), grads = model.backend.gradient(total, [*at, *nothing])
    shared = [g * ops.cast(b, g.dtype) for g, b in zip(grads[len(at) :], biases, strict=True)]
    return scores, list(grads[: len(at)]), shared


class _Call:
    """One call of a part: its real inputs and outputs, apart from everything else that is passed in and out."""

    def __init__(self, original: layers.Call, given: Any) -> None:
        import keras

        self.tree, self.original, self.given = keras.tree, original, given
        self.leaves = keras.tree.flatten(given)
        self.real = [i for i, leaf in enumerate(self.leaves) if _is_real(leaf)]
        self.put = self._run([self.leaves[i] for i in self.real])

    def _run(self, real: Sequence[Tensor]) -> Any:
        leaves = list(self.leaves)
        for i, tensor in zip(self.real, real, strict=True):
            leaves[i] = tensor * 1  # torch may work in place
        args, options = self.tree.pack_sequence_as(self.given, leaves)
        return self.original(*args, **options)

    def outputs(self) -> list[Tensor]:
        """The real tensors that came out."""
        return [o for o in self.tree.flatten(self.put) if _is_real(o)]

    def packed(self, outputs: Sequence[Tensor]) -> Any:
        """What came out, with other real tensors."""
        fresh = iter(outputs)
        return self.tree.map_structure(lambda o: next(fresh) if _is_real(o) else o, self.put)

    def biases(self, model: Model) -> list[Tensor]:
        """`f(z) - J z` of each real output."""
        from keras import ops

        z = [ops.stop_gradient(self.leaves[i]) for i in self.real]
        outputs = [ops.stop_gradient(y) for y in self.outputs()]
        if not z:
            return outputs

        def function(*given: Tensor) -> list[Tensor]:
            return [o for o in self.tree.flatten(self._run(given)) if _is_real(o)]

        slopes = model.backend.jacobian_vector(function, z, z)
        return [ops.stop_gradient(y - s) for y, s in zip(outputs, slopes, strict=True)]


def _changes(model: Model, change: Callable[[str, Any, _Call], Any]) -> list[tuple[Any, Any]]:
    """For every part, what makes of its call one that gives `change(name, part, call)`."""

    def maker(name: str, part: Any) -> Callable[[layers.Call], layers.Call]:
        def make(original: layers.Call) -> layers.Call:
            return lambda *args, **options: change(name, part, _Call(original, (args, options)))

        return make

    return [(part, maker(name, part)) for name, part in parts(model.native).items()]


def _is_real(value: Any) -> bool:
    from keras import backend, ops

    return ops.is_tensor(value) and backend.is_float_dtype(backend.standardize_dtype(value.dtype))
