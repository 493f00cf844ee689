"""The members of an ensemble: what is averaged inside a model, each as a model of its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pellucid.core.model import Model, wrap
from pellucid.errors import NotApplicable

MEAN = "mean"
"""The name of the layer that averages members."""


def members(model: Any) -> tuple[Model, ...]:
    """The members of an ensemble, each a model like any other: explained, verified and measured as one.

    Members are what the layer "mean" averages, an `EnsembleLogits` or Keras's `Average`. They give scores (logits, or values),
    also where the ensemble ends in a softmax; they share its weights, and are there after it was saved and loaded.

    Args:
        model: The ensemble that a remedy has made, or one with such a layer: a Keras model, or what `wrap` gave.

    Raises:
        NotApplicable: There are none in it.

    Example:
        >>> import keras, pellucid as pl
        >>> x = keras.Input((2,))
        >>> net = keras.Model(x, keras.layers.Average(name="mean")([keras.layers.Dense(1)(x) for _ in range(3)]))
        >>> [member.name for member in pl.members(net)]
        ['member_1', 'member_2', 'member_3']
    """
    model = wrap(model)
    return model.kept("members", lambda: _found(model))


def _found(model: Model) -> tuple[Model, ...]:
    import keras

    for inside, layer, tensors in _means(model.native):
        kind = "logits" if getattr(layer, "of", "") == "scores" else "auto"
        made = [keras.Model(inside._inputs_struct, t, name=f"member_{i + 1}") for i, t in enumerate(tensors)]
        return tuple(wrap(member, output=kind) for member in made)
    raise NotApplicable(
        f"{model.name} has no members: make one by DeepEnsemble, SnapshotEnsemble, McDropout or BatchEnsemble, or name the "
        f'EnsembleLogits or Average layer that averages its parts "{MEAN}"'
    )


def _means(native: Any) -> Iterator[tuple[Any, Any, list[Any]]]:
    """Models with a layer that averages members, that layer, and what it averages; the outermost first."""
    models = [native, *(getattr(native, "_flatten_layers", lambda **_: ())(include_self=False))]
    for inside in (getattr(m, "_functional", m) for m in models):
        for nodes in getattr(inside, "_nodes_by_depth", {}).values():
            for node in nodes:
                named = getattr(node.operation, "name", "") == MEAN
                if (
                    named
                    and type(node.operation).__name__ in ("EnsembleLogits", "Average")
                    and len(node.input_tensors) > 1
                ):
                    yield inside, node.operation, node.input_tensors
