"""The norm of all paths through a net of rectifiers, by one pass with squared weights."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np

from pellucid.core import layers
from pellucid.core.model import Model
from pellucid.core.tensors import to_array
from pellucid.errors import NotApplicable
from pellucid.measure.drawn_weights import copied, weights_kept
from pellucid.shapes import Array, Tensor

WEIGHING = {"Dense", "Conv1D", "Conv2D", "Conv3D", "Linear", "Conv1d", "Conv2d", "Conv3d"}
PASSING = {
    "InputLayer", "Activation", "ReLU", "Flatten", "Reshape", "Permute", "Dropout", "Identity", "Add", "Concatenate",
    "ZeroPadding1D", "ZeroPadding2D", "ZeroPadding3D",
}  # fmt: skip
FIXED = {"Normalization", "Rescaling"}
"""What prepares inputs: it has no weights, and paths start behind it."""


def path_norm(model: Model, inputs: Sequence[Array]) -> float:
    """sqrt(sum over paths from an input, or a bias, to an output of the product of the squared weights on it).

    All of it is what the net gives for ones, with its weights squared: nothing is below 0, so that rectifiers do nothing.

    Raises:
        NotApplicable: A net with anything but weights, rectifiers and what passes values on.

    Source: Neyshabur, Tomioka and Srebro 2015, arXiv:1503.00036.
    """
    if why := unfit(model):
        raise NotApplicable(f"a path norm is that of a plain net of rectifiers, but {why}")
    step = model.compiled(("path norm",), lambda: lambda *tensors: _unprepared(model, tensors))
    with weights_kept(model):
        model.backend.assign(model.weights, [a**2 for a in copied(model.weights)])
        found = to_array(step(*(np.ones_like(a[:1]) for a in inputs)))
    return float(np.sqrt(np.sum(found, dtype=float)))


def _unprepared(model: Model, tensors: Sequence[Tensor]) -> Tensor:
    with ExitStack() as stack:
        for layer in layers.leaves(model.native).values():
            if type(layer).__name__ in FIXED:
                stack.enter_context(layers.replaced(layer, lambda original: lambda given, *rest, **options: given))
        return model.forward(tensors)


def unfit(model: Model) -> str:
    """Why paths through a model cannot be summed; empty where they can."""
    if model.output == "probabilities":
        return f"{model.name} gives probabilities that cannot be taken back to logits"
    holding = [m for m in layers.sublayers(model.native).values() if m not in layers.leaves(model.native).values()]
    written = not layers.operations_known(model.native) or layers.operations(model.native)
    if model.is_torch:
        written = any(type(m).__name__ != "Sequential" for m in (model.native, *holding))
    if written:
        return f"{model.name} computes something outside of its layers"
    learned, softened = (
        {id(part) for part in parts} for parts in (model.weights, (s for s, _ in model.anatomy.softened))
    )
    for name, layer in layers.leaves(model.native).items():
        kind = type(layer).__name__
        if id(layer) in softened and kind not in WEIGHING:
            continue  # taken off while scoring
        if kind not in WEIGHING | PASSING | FIXED:
            return f"{name!r} is a {kind}"
        if id(layer) not in softened and not _rectifies(model, layer):
            return f"{name!r} is no rectifier"
        own = layer.parameters() if model.is_torch else layer.variables if kind in WEIGHING else ()
        if any(id(v) not in learned for v in own):
            return f"{name!r} is not trained"
    return ""


def _rectifies(model: Model, layer: Any) -> bool:
    """Whether a layer's activation, if it has one, is a plain rectifier or nothing."""
    if type(layer).__name__ == "ReLU" and not model.is_torch:
        return not (layer.max_value or layer.negative_slope or layer.threshold)
    name = getattr(getattr(layer, "activation", None), "__name__", "linear")
    return name in ("relu", "linear")
