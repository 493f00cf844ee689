"""A narrower model of the same interface."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pellucid.core import options
from pellucid.core.tensors import to_array
from pellucid.errors import NotApplicable
from pellucid.improve.base import Remedy
from pellucid.improve.places import Sources, anew, is_weighted, looked_at

_WIDTHS = ("units", "filters")


@dataclass(frozen=True, eq=False)
class ReduceWidth(Remedy):
    """Makes every hidden dense and convolution layer narrower: a smaller model that takes and gives the same.

    Does the model do as well with fewer units?

        width of a hidden layer  ->  max(1, round(factor * width)),   weights about factor^2 as many between two of them

    The model is built anew from its layers' settings and compiled as it was. Layers whose outputs reach the model's outputs
    through no other dense or convolution layer keep their width, and so do layers that are not trained (`trainable=False`).
    Normalization, attention, recurrent and depthwise layers follow the width of what they are fed. Weights of changed shape are
    new, drawn from the seed; all others stay what the builder made them.

    Args:
        factor: The share of units that is left, between 0 and 1.

    Raises:
        InvalidOption: A factor that is not between 0 and 1.
        NotApplicable: While training: a model whose layers cannot be seen (a subclassed one), that has no hidden dense or
            convolution layer, or of which a layer, which is named, does not fit narrower ones: a `Reshape` to fixed sizes, groups
            or heads that do not divide the width, an addition to the inputs themselves.

    Example:
        >>> import pellucid as pl
        >>> pl.ReduceWidth(0.5)
        ReduceWidth(factor=0.5)

    References:
        The width multiplier of Howard et al. 2017, "MobileNets", arXiv:1704.04861.

    Limits:
        Weights that were trained before in layers that become narrower are lost. Units of recurrent layers, of attention and of
        embeddings are as many as before. Compare with the whole model over seeds (`compare`), and read sizes with `size_of`.
    """

    slot = "width"
    rank = -1
    factor: float = 0.5

    def __post_init__(self) -> None:
        options.fraction(self, "factor")

    def rebuild(self, model: Any) -> Any:
        """The narrower model."""
        instead = "ReduceWidth cannot make it narrower: make its layers narrower there"
        met: list[Any] = []
        outputs = looked_at(model, lambda layer, tensors: met.append(layer), instead)
        hidden = [layer for layer in met if is_weighted(layer) and id(layer) not in outputs]
        narrower = {id(layer) for layer in hidden if _width(layer) and layer.trainable}
        if not narrower:
            raise NotApplicable(f"ReduceWidth: {model.name} has no hidden dense or convolution layer to make narrower")
        pairs: dict[int, tuple[Any, Any]] = {}

        def change(layer: Any, sources: Sources, tensors: Sequence[Any]) -> tuple[Any, Mapping[int, Sequence[Any]]]:
            if id(layer) not in pairs:
                pairs[id(layer)] = layer, self._made(layer, id(layer) in narrower)
            return pairs[id(layer)][1], {}

        rebuilt = anew(model, change, instead)
        for old, new in pairs.values():
            if old is not new:
                _keep(old, new)
        return rebuilt

    def _made(self, layer: Any, narrower: bool) -> Any:
        """The same kind of layer by its settings; what has no weights serves again."""
        if not getattr(layer, "weights", None):
            return layer
        try:
            settings = layer.get_config()
            if narrower:
                settings[_width(layer)] = max(1, round(self.factor * settings[_width(layer)]))
            return type(layer).from_config(settings)
        except Exception as problem:  # whatever a layer of the user's own may raise
            raise NotApplicable(
                f"ReduceWidth: the layer {layer.name} ({type(layer).__name__}) cannot be made from its settings "
                f"(get_config, from_config): {problem}"
            ) from problem


def _keep(old: Any, new: Any) -> None:
    """Give a layer the weights of another whose shape is the same in both."""
    for before, after in zip(old.weights, new.weights, strict=False):
        if before.shape == after.shape:
            after.assign(to_array(before.value).copy())  # JAX gives shared memory away while it trains


def _width(layer: Any) -> str:
    """The setting that says how wide a layer is; nothing for one that has none."""
    return next((name for name in _WIDTHS if isinstance(getattr(layer, name, None), int)), "")
