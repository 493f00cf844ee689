"""A Keras model opened before its final softmax or sigmoid, so that something can be put there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pellucid.core.anatomy import by_loss
from pellucid.core.layers import attribute
from pellucid.core.model_files import registered
from pellucid.errors import NotApplicable
from pellucid.shapes import Tensor

ENDINGS = ("softmax", "sigmoid")


@dataclass(frozen=True, eq=False)
class Head:
    """A model up to its scores, and what it does to them.

    Attributes:
        model: A functional Keras model that gives scores (B, K); it shares the layers of the given one, but for a last layer
            that has a softmax or sigmoid in it: that one is copied without.
        ending: "softmax" or "sigmoid" where the given model ended in it, else "".
        how: What makes probabilities of the scores: "softmax" or "sigmoid"; "" where they are values.
    """

    model: Any
    ending: str
    how: str

    def ended(self, inputs: Any, scores: Tensor, name: str) -> Any:
        """A model of these inputs that gives the scores as the given one did."""
        import keras

        taken = keras.Model(inputs, scores)
        out = (
            keras.layers.Activation(self.ending, name=free_name(taken, self.ending))(scores) if self.ending else scores
        )
        return keras.Model(inputs, out, name=name)

    def followed(self, layers: Sequence[Any], name: str) -> Any:
        """The model with layers between its scores and its ending."""
        scores = self.model.outputs[0]
        for layer in layers:
            scores = layer(scores)
        return self.ended(self.model._inputs_struct, scores, name)


def free_name(model: Any, name: str) -> str:
    """A name that no layer or operation of a functional model has: this one, or one with a number."""
    taken = {operation.name for operation in model.operations}
    return next(n for n in (name, *(f"{name}_{i}" for i in range(2, len(taken) + 3))) if n not in taken)


def opened(model: Any, output: str = "") -> Head:
    """A Keras model opened before its last softmax or sigmoid.

    Where that cannot be reached, in a model with a call of its own, scores are the logarithms of its probabilities.

    Args:
        model: The Keras model.
        output: What its outputs are, as `wrap` has found out; "" for "what its layers and its loss say".

    Raises:
        NotApplicable: Several outputs, or a model that is called in a way of its own.
    """
    functional = as_functional(model)
    if len(functional.outputs) > 1:
        raise NotApplicable(f"{model.name} has {len(functional.outputs)} outputs; it takes a model of one")
    scores, ending = _before_ending(functional)
    if ending:
        return Head(_renamed(functional, scores), ending, ending)
    kind = output or _said(model)
    how = "sigmoid" if functional.output_shape[-1] == 1 else "softmax"
    if kind != "probabilities":
        return Head(functional, "", "" if kind == "value" else how)
    logarithm = registered("EnsembleLogits")(how, of="probabilities", name=free_name(functional, "logarithm"))
    return Head(_renamed(functional, logarithm(scores)), how, how)


def _said(model: Any) -> str:
    """What the compiled loss says of the outputs: "logits", "value", or "probabilities" of a cross-entropy."""
    if (said := by_loss(model)) != "auto":
        return said
    return "probabilities" if getattr(model, "compiled", False) and model.loss is not None else "value"


def _renamed(functional: Any, scores: Tensor) -> Any:
    import keras

    return keras.Model(functional._inputs_struct, scores, name=functional.name)


def as_functional(model: Any) -> Any:
    """A model whose layers can be seen: itself, what a Sequential is made of, or one around a model with a call of its own.

    Raises:
        NotApplicable: It has never been called, or not with tensors.
    """
    import keras

    if hasattr(model, "_functional"):  # a Sequential
        model.outputs  # noqa: B018  # raises where it is not built, below
        return keras.Model(model._functional._inputs_struct, model._functional.outputs[0], name=model.name)
    if hasattr(model, "_inputs_struct"):
        return model
    shapes = getattr(model, "_build_shapes_dict", None) or {}
    if len(shapes) != 1:
        raise NotApplicable(f"{model.name} cannot be built upon: make it a Sequential or Functional model")
    (shape,) = shapes.values()
    inputs = keras.Input(tuple(shape)[1:])
    return keras.Model(inputs, model(inputs), name=f"around_{model.name}")


def fresh_inputs(model: Any) -> Any:
    """New inputs of the shapes, types and names of a functional model's own, in its structure."""
    import keras

    make = lambda t: keras.Input(batch_shape=t.shape, dtype=t.dtype, name=t.name)  # noqa: E731
    return keras.tree.map_structure(make, model._inputs_struct)


def _before_ending(model: Any) -> tuple[Tensor, str]:
    """What a functional model gives before its last softmax or sigmoid, and which it is; its output and "" without."""
    operation, number, _ = model.outputs[0]._keras_history
    given = operation._inbound_nodes[number].arguments
    if hasattr(operation, "_inputs_struct") or hasattr(operation, "_functional"):
        inner = as_functional(operation)
        scores, ending = _before_ending(inner)
        return (_renamed(inner, scores)(*given.args, **given.kwargs), ending) if ending else (model.outputs[0], "")
    if (name := type(operation).__name__.lower()) in ENDINGS:
        return given.args[0], name
    name = getattr(getattr(operation, "activation", None), "__name__", "")
    if name not in ENDINGS or not hasattr(operation, "get_config"):
        return model.outputs[0], ""
    if type(operation).__name__ == "Activation":
        return given.args[0], name
    return _without_activation(operation)(*given.args, **given.kwargs), name


def _without_activation(layer: Any) -> Any:
    """A copy of a layer with the same weights, and nothing after its linear part."""
    copy = type(layer).from_config({**layer.get_config(), "activation": "linear"})
    copy.build_from_config(layer.get_build_config())
    copy.set_weights(layer.get_weights())
    return copy


def compiled_as(model: Any, other: Any) -> Any:
    """A model compiled as another is, with an optimizer of its own; as it is where the other is not compiled."""
    if getattr(other, "compiled", False):
        config = dict(other._compile_config.config)
        if other.optimizer is not None:
            config["optimizer"] = type(other.optimizer).from_config(other.optimizer.get_config())
        model.compile(**config)
    return model


def rebuilt(model: Any, change: Callable[[Any], Sequence[Any] | None], made: dict[int, Any] | None = None) -> Any:
    """A model with other layers in place of some: `change` gives those to be called one after the other, or None to keep it.

    All that is kept is shared with the given model. A layer that is called twice is changed once.

    Raises:
        NotApplicable: A model with a call of its own.
    """
    import keras

    made = {} if made is None else made
    if isinstance(model, keras.Sequential):
        start = [keras.Input(batch_shape=model.input_shape, dtype=model.input_dtype)] if model.built else []
        return keras.Sequential(
            [*start, *(n for layer in model.layers for n in _new(layer, change, made))], name=model.name
        )
    if not hasattr(model, "_inputs_struct"):
        raise NotApplicable(
            f"layers cannot be put into {model.name}: they are called in Python code of its own ({type(model).__name__}); build "
            "it as a Sequential or Functional model"
        )

    def call(layer: Any, *given: Any, **named: Any) -> Any:
        first, *rest = _new(layer, change, made)
        found = first(*given, **(named if first is layer or is_model(first) else {}))
        for other in rest:
            found = other(found)
        return found

    with attribute(model, "compiled", False):  # cloning would compile from a written form, which loses own functions
        return keras.models.clone_model(model, clone_function=lambda layer: layer, call_function=call)


def laid_out(model: Any, inputs: Any, change: Callable[[Any], Sequence[Any] | None], made: Any = None) -> Any:
    """What a functional model gives for other inputs, with other layers in place of some, as `rebuilt` has it.

    Models inside it are laid out as well: Keras does not read models back that share layers with each other.
    """
    made = {} if made is None else made

    def call(layer: Any, *given: Any, **named: Any) -> Any:
        if is_model(layer):
            return laid_out(as_functional(layer), list(given), change, made)
        first, *rest = _new(layer, change, made)
        found = first(*given, **(named if first is layer else {}))
        for other in rest:
            found = other(found)
        return found

    return model._run_through_graph(inputs, call_fn=call)


def _new(layer: Any, change: Callable[[Any], Sequence[Any] | None], made: dict[int, Any]) -> Sequence[Any]:
    if id(layer) not in made:
        inside = [rebuilt(layer, change, made)] if is_model(layer) else change(layer)
        made[id(layer)] = [layer] if inside is None else inside
    return made[id(layer)]


def is_model(layer: Any) -> bool:
    """Whether a layer is a model whose own layers can be seen."""
    return hasattr(layer, "_inputs_struct") or hasattr(layer, "_functional")
