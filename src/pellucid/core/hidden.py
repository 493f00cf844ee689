"""A model looked at from inside: gradients at a hidden layer, or a hidden unit in place of the output."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from pellucid.core import layers
from pellucid.core.anatomy import Entry, run_once
from pellucid.core.model import Model
from pellucid.core.target import Resolved, Unit
from pellucid.core.tensors import flattened
from pellucid.errors import InvalidInput
from pellucid.shapes import Array, Tensor


class AtLayer(Model):
    """A model whose gradients are taken at what a hidden layer puts out, once for each of its calls.

    The rest of the model, paths around the layer among them, still runs on the inputs.
    """

    def __init__(self, base: Model, name: str, shapes: Sequence[tuple[int, ...]]) -> None:
        vars(self).update(_as_new(base))
        self.base, self.layer_name, self.layer, self.shapes = base, name, layers.find(base.native, name), shapes
        entries = tuple(Entry(i, self.layer, i, hidden=True) for i in range(len(shapes)))
        self._anatomy = replace(base.anatomy, entries=entries)

    def map_size(self, inputs: Sequence[Array]) -> int:
        """See `Model.map_size`."""
        return sum(int(np.prod(shape[1:])) for shape in self.shapes)

    def embed(self, tensors: Sequence[Tensor], shift: Sequence[Tensor] = ()) -> list[Tensor]:
        """What the layer puts out, call by call; `shift` is added where the whole model is differentiated."""
        from keras import ops

        with layers.read(self.layer) as seen:
            self._run(tensors, shift)
        return [ops.cast(s, "float32") for s in seen]

    def forward_from(
        self, entries: Sequence[Tensor], tensors: Sequence[Tensor], shift: Sequence[Tensor] = ()
    ) -> Tensor:
        """Scores (B, K) with the entries' tensors in place of what the layer puts out."""
        with layers.replaced(self.layer, layers.injector(dict(enumerate(entries)), keep=True)):
            return self._run(tensors, shift)

    def sloped(
        self, score: Callable[[Tensor], Tensor], tensors: Sequence[Tensor], shift: Sequence[Tensor] = ()
    ) -> tuple[list[Tensor], list[Tensor], Tensor]:
        """See `Model.sloped`; slopes by zeros that are added are those at the layer, and nothing before it is differentiated."""
        from keras import ops

        def run(*shifts: Tensor) -> tuple[Tensor, tuple[list[Tensor], Tensor]]:
            with layers.shifted(self.layer, list(shifts), seen := []):
                scores = self._run(tensors, shift)
            return ops.sum(score(scores)), ([ops.cast(s, "float32") for s in seen], scores)

        count = ops.shape(tensors[0])[0]
        still = [ops.zeros((count * rows, *rest)) for rows, *rest in self.shapes]
        (at, scores), slopes = self.backend.gradient(run, still)
        return at, slopes, scores

    def _run(self, tensors: Sequence[Tensor], shift: Sequence[Tensor]) -> Tensor:
        if not shift:
            return self.base.forward(tensors)
        return self.base.forward_from(self.base.embed(tensors, shift), tensors)


class OfUnit(Model):
    """A model whose only score is the value of one hidden unit."""

    def __init__(self, base: Model, unit: Unit, place: tuple[Any, ...]) -> None:
        vars(self).update(_as_new(base))
        self.base, self.unit, self.place = base, unit, place
        self.layer = layers.find(base.native, unit.layer)
        self._anatomy = replace(base.anatomy, output="value", softened=(), width=1, multilabel=False, heads=1, note="")

    def forward(self, tensors: Sequence[Tensor], *, soft: bool = False) -> Tensor:
        """The unit's value (B, 1)."""
        from keras import ops

        with layers.read(self.layer) as seen:
            self.call(tensors)
        value = ops.cast(seen[-1], "float32")[(slice(None), *self.place)]
        return ops.mean(ops.reshape(value, (ops.shape(value)[0], -1)), axis=1, keepdims=True)


def at_layer(model: Model, name: str, inputs: Sequence[Array]) -> Model:
    """The model with gradients taken at a hidden layer; kept on the model.

    Raises:
        UnknownName: There is no layer of that name.
        InvalidInput: The layer does nothing when the model runs.
    """
    return model.kept(("at", name, _shapes(inputs)), lambda: AtLayer(model, name, outputs_of(model, name, inputs)))


def of_unit(model: Model, unit: Unit, inputs: Sequence[Array]) -> Model:
    """The model with a hidden unit for its score; kept on the model.

    Raises:
        UnknownName: There is no layer of that name.
        InvalidInput: The layer does nothing when the model runs, or has no such unit.
    """

    def made() -> Model:
        return OfUnit(model, unit, _place(unit, outputs_of(model, unit.layer, inputs)[-1][1:]))

    return model.kept(("unit", unit, _shapes(inputs)), made)


def target_of_unit(values: Array) -> Resolved:
    """The target of a model that is asked about one hidden unit: its only score."""
    return Resolved(np.ones_like(values), np.full(len(values), -1))


def outputs_of(model: Model, name: str, inputs: Sequence[Array]) -> list[tuple[int, ...]]:
    """Shapes of what a layer puts out for one example, call by call.

    Raises:
        UnknownName: There is no layer of that name.
        InvalidInput: The layer does nothing when the model runs.
    """
    layer = layers.find(model.native, name)
    if type(layer).__name__ == "InputLayer":
        raise InvalidInput(
            f"layer: {name!r} is an input of the model, not a hidden layer; leave layer= away to explain the inputs themselves"
        )
    shapes: list[tuple[int, ...]] = []
    counts: list[int] = []

    def counted(original: layers.Call) -> layers.Call:
        def call(*given: Any, **options: Any) -> Any:
            output = original(*given, **options)
            counts.append(len(flattened(output)))
            return output

        return call

    def looking(*tensors: Tensor) -> None:
        with layers.replaced(layer, counted), layers.read(layer) as seen:
            model.call(tensors)
        shapes.extend(tuple(map(int, s.shape)) for s in seen)

    run_once(model, looking, [a[:1] for a in inputs])
    model.kept(("tensors", name), lambda: max(counts, default=0))
    if not shapes:
        raise InvalidInput(f"layer: {name!r} puts nothing out when {model.name} runs on these inputs")
    return shapes


def notes(model: Model, name: str | None, inputs: Sequence[Array]) -> tuple[str, ...]:
    """What to say of a layer that is looked at, or whose unit is asked about: of several tensors the first is meant."""
    told = []
    unit = getattr(model, "unit", None)
    for held, layer in ((model, name), (getattr(model, "base", model), unit.layer if unit else None)):
        if layer is None or layer not in layers.sublayers(held.native):
            continue
        if ("tensors", layer) not in held._kept:
            outputs_of(held, layer, inputs)
        count = held.kept(("tensors", layer), int)
        if count > 1:
            told.append(f"the layer {layer!r} puts out {count} tensors; the first is meant")
    return tuple(dict.fromkeys(told))


def _shapes(inputs: Sequence[Array]) -> tuple[tuple[int, ...], ...]:
    return tuple(a.shape[1:] for a in inputs)


def _as_new(base: Model) -> dict[str, Any]:
    """What a model is, without what has been compiled and kept for it."""
    return {**vars(base), "_compiled": {}, "_kept": {}, "_sizes": None}


def _place(unit: Unit, shape: tuple[int, ...]) -> tuple[Any, ...]:
    """Where a unit is in one example's output of a shape."""
    index = unit.index if isinstance(unit.index, tuple) else (unit.index,)
    if len(index) != len(shape):
        raise InvalidInput(
            f"target: {unit.layer!r} puts out {shape} for an example; expected an index of {len(shape)} numbers (None: the mean "
            f"over that axis), got {unit.index!r}"
        )
    for i, size in zip(index, shape, strict=True):
        if i is not None and not -size <= i < size:
            raise InvalidInput(
                f"target: {unit.layer!r} puts out {shape} for an example; there is no unit {unit.index!r}"
            )
    return tuple(slice(None) if i is None else int(i) for i in index)


def joined(maps: Sequence[Array], name: str) -> Any:
    """Maps of a layer's calls as one array, or a dict of them where it is called several times."""
    return maps[0] if len(maps) == 1 else {f"{name}:{i}": m for i, m in enumerate(maps)}
