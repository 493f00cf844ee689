"""A model built anew from its layers: what stands before each, and what stands in its place."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pellucid.core.layers import attribute
from pellucid.errors import NotApplicable

_WEIGHTED = ("Dense", "EinsumDense", "Conv", "SeparableConv", "DepthwiseConv")

Sources = frozenset[int]
"""The weighted layers, by identity, that a tensor comes from with no other in between; none: it is no hidden one."""

Change = Callable[[Any, Sources, Sequence[Any]], tuple[Any, Mapping[int, Sequence[Any]]]]
"""Of a layer, the sources of what it is fed and its tensors: the layer in its place, and layers before some of its tensors."""


def is_weighted(layer: Any) -> bool:
    """Whether a layer is a dense or convolution layer, whatever its kind."""
    name = type(layer).__name__
    return any(name == kind or (kind.endswith("Conv") and name.startswith(kind)) for kind in _WEIGHTED)


def before_hidden(make: Callable[[Any], Any]) -> Change:
    """Put `make(layer)`, unless that is None, before every weighted layer that is fed hidden units."""

    def change(layer: Any, sources: Sources, tensors: Sequence[Any]) -> tuple[Any, Mapping[int, Sequence[Any]]]:
        added = make(layer) if sources and is_weighted(layer) else None
        return layer, {} if added is None else {0: [added]}

    return change


def anew(model: Any, change: Change, instead: str) -> Any:
    """The model of changed layers, compiled as it was; layers that are not changed are shared with it.

    Args:
        model: A compiled Sequential or Functional model; those inside it are built anew as well.
        change: What becomes of each layer.
        instead: What to do where layers cannot be seen.

    Raises:
        NotApplicable: The layers cannot be seen, or one does not fit where it stands.
    """
    rebuilt, _ = _walked(model, change, instead)
    rebuilt.compile(**model._compile_config.config)
    return rebuilt


def looked_at(model: Any, note: Callable[[Any, Sequence[Any]], None], instead: str) -> Sources:
    """Tell `note` each layer and its tensors in the order of the calls; the sources of the model's outputs. See `anew`."""

    def change(layer: Any, sources: Sources, tensors: Sequence[Any]) -> tuple[Any, Mapping[int, Sequence[Any]]]:
        note(layer, tensors)
        return layer, {}

    return _walked(model, change, instead)[1]


def _walked(model: Any, change: Change, instead: str) -> tuple[Any, Sources]:
    if not _is_open(model):
        raise NotApplicable(
            f"{model.name} cannot be built anew: its layers are called in Python code of its own ({type(model).__name__}); "
            f"{instead}, or build it as a Sequential or Functional model"
        )
    return _Walk(change).through(model, frozenset(), model.inputs)


def _is_open(model: Any) -> bool:
    import keras
    from keras.src.models import Functional

    return type(model) in (keras.Sequential, Functional)


class _Walk:
    """One way through a model, from inputs to outputs."""

    def __init__(self, change: Change) -> None:
        self._change = change
        self._done: dict[int, tuple[Any, Sources]] = {}

    def through(self, model: Any, sources: Sources, tensors: Sequence[Any]) -> tuple[Any, Sources]:
        """The model built anew for such tensors, and what its outputs come from; one that is called twice is built once."""
        import keras

        if id(model) not in self._done:
            rebuild = self._sequential if isinstance(model, keras.Sequential) else self._functional
            starts = [
                keras.Input(batch_shape=t.shape, dtype=own.dtype, name=own.name)
                for own, t in zip(model.inputs, tensors, strict=True)
            ]
            self._done[id(model)] = rebuild(model, sources, starts)
        return self._done[id(model)]

    def _sequential(self, model: Any, sources: Sources, starts: Sequence[Any]) -> tuple[Any, Sources]:
        import keras

        stack, tensor = [starts[0]], starts[0]
        for layer in model.layers:
            used, before, sources = self._changed(layer, sources, [tensor])
            for one in (*before.get(0, ()), used):
                tensor = _called(one, tensor)
                stack.append(one)
        return keras.Sequential(stack, name=model.name), sources

    def _functional(self, model: Any, sources: Sources, starts: Sequence[Any]) -> tuple[Any, Sources]:
        import keras

        behind: dict[int, tuple[Any, Sources]] = {}  # with the tensors themselves, so that no id is used twice

        def call(layer: Any, *given: Any, **named: Any) -> Any:
            tensors = keras.tree.flatten(given)
            fed = [behind[id(t)][1] for t in keras.tree.flatten([given, named]) if id(t) in behind]
            used, before, after = self._changed(layer, sources.union(*fed), tensors)
            for i, stack in before.items():
                for one in stack:
                    tensors[i] = _called(one, tensors[i])
            found = _called(used, *keras.tree.pack_sequence_as(given, tensors), **named)
            behind.update({id(t): (t, after) for t in keras.tree.flatten(found)})
            return found

        with attribute(
            model, "compiled", False
        ):  # cloning would compile from a written form, which loses own functions
            inputs = keras.tree.pack_sequence_as(model.input, list(starts))
            clone = keras.models.clone_model(
                model, clone_function=lambda layer: layer, call_function=call, input_tensors=inputs
            )
        ends = [behind[id(t)][1] for t in keras.tree.flatten(clone.outputs) if id(t) in behind]
        return clone, sources.union(*ends)

    def _changed(
        self, layer: Any, fed: Sources, tensors: Sequence[Any]
    ) -> tuple[Any, Mapping[int, Sequence[Any]], Sources]:
        """What stands in a layer's place and before its tensors, and the sources of what it gives."""
        if _is_open(layer):
            used, after = self.through(layer, fed, tensors)
            return used, {}, after
        used, before = self._change(layer, fed, tensors)
        return used, before, frozenset([id(layer)]) if is_weighted(layer) else fed


def _called(layer: Any, *given: Any, **named: Any) -> Any:
    try:
        return layer(*given, **named)
    except Exception as problem:  # whatever Keras or a layer of the user's own may raise at a shape
        import keras

        shapes = ", ".join(str(tuple(t.shape)) for t in keras.tree.flatten(given) if hasattr(t, "shape"))
        told = (str(problem).strip() or type(problem).__name__).splitlines()[0]
        raise NotApplicable(
            f"the model cannot be built anew: its layer {layer.name} does not take {shapes}: {told}"
        ) from problem
