"""What one run of a model on one example shows: its outputs, what softens them, where it can be differentiated."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pellucid.core import layers
from pellucid.core.tensors import flattened, to_array
from pellucid.errors import InvalidInput, PellucidError
from pellucid.shapes import Array, Floats, Tensor


@dataclass(frozen=True)
class Entry:
    """Where a gradient is taken: an input itself, or the call of an embedding that reads it (`layer` is set).

    In a model opened at a hidden layer, a call of that layer, of the same number as the map it gets (`hidden`).
    """

    input: int
    layer: Any = None
    call: int = 0
    hidden: bool = False


@dataclass(frozen=True)
class Anatomy:
    """What one run of the model on one example shows.

    `softened` are the layers whose final softmax or sigmoid is taken off while explaining; `activations` counts the
    numbers that the innermost layers put out for one example; `heads` are the model's outputs, whose columns are joined.
    """

    output: str
    softened: tuple[tuple[Any, str], ...]
    entries: tuple[Entry, ...]
    width: int
    activations: int
    note: str = ""
    multilabel: bool = False
    heads: int = 1

    @property
    def at_inputs(self) -> bool:
        """Whether gradients are taken at the inputs themselves: at no embedding, and at no hidden layer."""
        return all(entry.layer is None for entry in self.entries)


def examine(model: Any, arrays: Sequence[Array]) -> Anatomy:
    """Run a `Model` on one example, and see what it is.

    Raises:
        InvalidInput: The model cannot be run on such inputs, or does not give one row an example.
    """
    try:
        found, calls = run_recorded(model, [a[:1] for a in arrays])
    except PellucidError:
        raise
    except Exception as problem:
        shapes = ", ".join(str(a.shape) for a in arrays)
        raise InvalidInput(f"{model.name} could not be run on inputs of shape {shapes}: {_told(problem)}") from problem
    outputs = flattened(found)
    if any(np.ndim(to_array(o)) == 0 or len(to_array(o)) != 1 for o in outputs):
        raise InvalidInput(f"{model.name} must give one row an example: one example gave shape {np.shape(found)}")
    calls = [c for c in calls if _is_settled(c)]
    softened, how = _final_softening(outputs, calls) if model.asked in ("auto", "logits") else ([], "")
    sizes = sum(int(np.prod(np.shape(o))) for call in calls for o in flattened(call.output))
    width = sum(int(np.prod(np.shape(o))) for o in outputs)
    return Anatomy(
        output=model.asked if model.asked != "auto" else "logits" if softened else by_loss(model.native),
        softened=tuple(softened), entries=_entries(model, arrays, calls), width=width, heads=len(outputs),
        activations=max(sizes, 8 * sum(a[0].size for a in arrays)),
        note=f"the final {how} was taken off: scores are logits" if softened else "",
        multilabel=how == "sigmoid" and width > 1,
    )  # fmt: skip


def _told(problem: Exception) -> str:
    """The first line that says something; Keras puts one about the layer before it, and makes it bold."""
    lines = [re.sub("\x1b\\[[0-9;]*m", "", line).strip() for line in str(problem).splitlines()]
    said = [line for line in lines if line and not line.startswith("Exception encountered")]
    return said[0] if said else type(problem).__name__


def by_values(sample: Floats, native: Any) -> str:
    """What outputs (B, K) are, judged by their values: rows that sum to one are probabilities.

    One column of numbers from 0 to 1 is a probability only if the model was trained with a cross-entropy.
    """
    inside = bool(np.all((sample >= 0) & (sample <= 1)))
    if sample.shape[1] > 1:
        return "probabilities" if inside and np.allclose(sample.sum(1), 1, atol=1e-4) else "logits"
    return "probabilities" if inside and "crossentropy" in _loss(native)[0] else "value"


def by_loss(native: Any) -> str:
    """What the compiled loss says of the outputs; "auto" where it leaves it open."""
    name, from_logits = _loss(native)
    if from_logits or "hinge" in name:
        return "logits"
    return "value" if name and "crossentropy" not in name else "auto"


def variables_read(model: Any, one: Sequence[Array]) -> list[Any]:
    """Keras variables that a callable reads, such as the weights of a model that it calls."""
    import keras
    from keras import ops

    read: dict[int, Any] = {}

    class Reader(keras.StatelessScope):
        """Notes who is asked for a value."""

        def get_current_value(self, variable: Any) -> Any:
            read[id(variable)] = variable
            return super().get_current_value(variable)

    with Reader():
        model.call([ops.convert_to_tensor(a) for a in one])
    return list(read.values())


def takes_tensors(model: Any, one: Sequence[Array]) -> bool:
    """Whether a callable gives a tensor when given one, so that it can be traced and differentiated."""
    from keras import ops

    def slope(*tensors: Tensor) -> Tensor:
        """Traced, so that a NumPy call anywhere on the way is refused instead of cutting the gradient short."""

        def total(*given: Tensor) -> tuple[Tensor, Tensor]:
            found = flattened(model.call(given))[0]
            if not ops.is_tensor(found):
                raise TypeError("the callable gives no tensor")
            return ops.sum(found), found

        return model.backend.gradient(total, tensors)[0]

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # NumPy's functions warn of some tensors before they refuse them
            model.backend.compile(slope, [])(*[a.astype(np.float32) for a in one])
            return True
    except Exception:  # a NumPy function refuses tensors in its own way; it is then run on arrays
        return False


def run_recorded(model: Any, one: Sequence[Array]) -> tuple[Any, list[layers.Called]]:
    """What a `Model` gives for one example, and the calls of its innermost layers."""
    from keras import ops

    if not (model.is_torch or model.is_keras):
        given = [ops.convert_to_tensor(a) for a in one] if model.differentiable else list(one)
        return model.call(given), []

    def recording(*tensors: Tensor) -> tuple[Any, list[tuple[Any, ...]]]:
        with layers.recorded(model.native) as calls:
            found = model.call(tensors)
        return found, [(c.name, c.layer, c.inputs, c.output) for c in calls]

    _build(model, one)
    found, calls = model.kept("recording", lambda: model.backend.observe(recording, model.variables))(*one)
    return found, [layers.Called(*c) for c in calls]


def run_once(model: Any, function: Callable[..., None], arrays: Sequence[Array]) -> None:
    """Run a function of input tensors as it stands, traced by nothing and without recording gradients."""
    from keras import ops

    if model.backend.name == "torch":
        model.backend.observe(function, [])(*arrays)
        return
    _build(model, arrays)
    function(*[ops.convert_to_tensor(a) for a in arrays])


def _build(model: Any, one: Sequence[Array]) -> None:
    """Have a Keras model that never ran make its weights."""
    from keras import ops

    if model.is_keras and not model.native.built:
        model.call([ops.convert_to_tensor(a) for a in one])


def _is_settled(call: layers.Called) -> bool:
    """Whether a call gave one tensor with values (a cell inside a scanned loop gives none, or several)."""
    try:
        return to_array(call.output).dtype != object
    except Exception:  # each framework has an error of its own for a tensor without a value
        return False


def _final_softening(outputs: Sequence[Any], calls: Sequence[layers.Called]) -> tuple[list[tuple[Any, str]], str]:
    """The layers that end in a softmax or sigmoid whose result is an output of the model, and which it was."""
    found, name = [], ""
    for output in outputs:
        value = to_array(output)
        made = [c for c in calls if np.shape(c.output) == value.shape and np.array_equal(to_array(c.output), value)]
        if not made:
            continue
        layer = made[-1].layer
        if sum(c.layer is layer for c in calls) > 1:  # it also works inside the model: leave it alone
            continue
        own, function = type(layer).__name__, getattr(getattr(layer, "activation", None), "__name__", "")
        if own in {"Softmax", "Sigmoid"}:
            found.append((layer, "call"))
            name = own.lower()
        elif function in {"softmax", "sigmoid"}:
            found.append((layer, "activation"))
            name = function
    return found, name


def _entries(model: Any, arrays: Sequence[Array], calls: Sequence[layers.Called]) -> tuple[Entry, ...]:
    one, found, counts = [a[:1] for a in arrays], [], {}
    for call in calls:
        if type(call.layer).__name__ != "Embedding":
            continue
        number = counts[id(call.layer)] = counts.get(id(call.layer), -1) + 1
        given = to_array(call.inputs[0])
        equal = [
            i for i, a in enumerate(one) if a.shape == given.shape and np.array_equal(given, a.astype(given.dtype))
        ]
        if len(equal) > 1:  # two inputs hold the same tokens here: see which of them the embedding follows
            equal = [i for i in equal if _follows(model, arrays, i, call, number)]
        found += [Entry(i, call.layer, number) for i in equal[:1]]
    embedded = {entry.input for entry in found}
    return tuple(sorted([*found, *(Entry(i) for i in range(len(one)) if i not in embedded)], key=lambda e: e.input))


def _follows(model: Any, arrays: Sequence[Array], index: int, call: layers.Called, number: int) -> bool:
    """Whether an embedding's call reads other tokens once an input holds others (of another example, or shifted)."""
    tokens = arrays[index]
    other = next((a for a in tokens[1:] if not np.array_equal(a, tokens[0])), np.where(tokens[0] == 0, 1, 0))
    changed = [other[None].astype(a.dtype) if i == index else a[:1] for i, a in enumerate(arrays)]
    again = [c for c in run_recorded(model, changed)[1] if c.layer is call.layer][number]
    return not np.array_equal(to_array(again.inputs[0]), to_array(call.inputs[0]))


def _loss(native: Any) -> tuple[str, bool]:
    """The name of the compiled loss in lower case ("" for none), and whether it takes logits."""
    loss = getattr(native, "loss", None) if getattr(native, "compiled", False) else None
    if loss is None:
        return "", False
    name = loss if isinstance(loss, str) else getattr(loss, "__name__", None) or type(loss).__name__
    return name.lower().replace("_", ""), bool(getattr(loss, "from_logits", False))
