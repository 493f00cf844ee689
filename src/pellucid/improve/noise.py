"""Noise while training: units that are left out at random."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pellucid.core import options
from pellucid.core.layers import attribute
from pellucid.errors import NotApplicable
from pellucid.improve.base import Remedy

_WEIGHTED = ("Dense", "EinsumDense", "Conv", "SeparableConv", "DepthwiseConv")


@dataclass(frozen=True, eq=False)
class Dropout(Remedy):
    """Leaves hidden units out at random while training, so that none relies on another being there.

    Does the model do better on new data when no single unit can be counted on?

        while training: h_i <- h_i * b_i / (1 - rate),  b_i = 0 with probability `rate`, else 1;   afterwards: h_i

    A `keras.layers.Dropout` is put before every dense and convolution layer whose input is hidden, that is, comes from
    another such layer: inputs are never dropped, the input of the output layer is.

    Args:
        rate: The probability of leaving a unit out, between 0 and 1; 0.1 to 0.5 is usual.

    Raises:
        InvalidOption: A rate that is not between 0 and 1.
        NotApplicable: While training, on a model whose layers cannot be seen (a subclassed one) or that has no
            hidden layer.

    Example:
        >>> import pellucid as pl
        >>> pl.Dropout(0.2)
        Dropout(rate=0.2)

    References:
        Srivastava, Hinton, Krizhevsky, Sutskever, Salakhutdinov 2014, https://jmlr.org/papers/v15/srivastava14a.html.

    Limits:
        Small networks often lose by it. After a convolution, neighbours carry what one pixel leaves out: whole feature
        maps would have to be dropped. Before a batch normalization the statistics of training and use differ.
    """

    slot = "dropout"
    rate: float = 0.2

    def __post_init__(self) -> None:
        options.fraction(self, "rate")

    def rebuild(self, model: Any) -> Any:
        """The model with dropout before every layer that reads hidden units."""
        if not _can_be_rebuilt(model):
            raise NotApplicable(
                f"Dropout cannot be put into {model.name}: its layers are called in Python code of its own "
                f"({type(model).__name__}); use keras.layers.Dropout there, or build it as a Sequential or Functional model"
            )
        places: list[Any] = []
        rebuilt, _ = _with_dropout(model, self.rate, hidden=False, places=places)
        if not places:
            raise NotApplicable(f"Dropout: {model.name} has no hidden layer whose units could be left out")
        rebuilt.compile(**model._compile_config.config)
        return rebuilt


def _can_be_rebuilt(model: Any) -> bool:
    import keras
    from keras.src.models import Functional

    return type(model) in (keras.Sequential, Functional)


def is_weighted(layer: Any) -> bool:
    """Whether a layer is a dense or a convolution layer."""
    name = type(layer).__name__
    return any(name == kind or (kind.endswith("Conv") and name.startswith(kind)) for kind in _WEIGHTED)


def _with_dropout(model: Any, rate: float, *, hidden: bool, places: list[Any]) -> tuple[Any, bool]:
    """The model with dropout, sharing its layers, and whether what it puts out is hidden."""
    import keras

    rebuild = _sequential if isinstance(model, keras.Sequential) else _functional
    return rebuild(model, rate, hidden, places)


def _dropout(rate: float, places: list[Any]) -> Any:
    from keras import layers

    places.append(layers.Dropout(rate, name=f"recipe_dropout_{len(places) + 1}"))
    return places[-1]


def _sequential(model: Any, rate: float, hidden: bool, places: list[Any]) -> tuple[Any, bool]:
    import keras

    stack = [keras.Input(batch_shape=model.input_shape, dtype=model.input_dtype)] if model.built else []
    for layer in model.layers:
        if _can_be_rebuilt(layer):
            layer, hidden = _with_dropout(layer, rate, hidden=hidden, places=places)
        elif is_weighted(layer):
            stack += [_dropout(rate, places)] if hidden else []
            hidden = True
        stack.append(layer)
    return keras.Sequential(stack, name=model.name), hidden


def _functional(model: Any, rate: float, hidden: bool, places: list[Any]) -> tuple[Any, bool]:
    import keras

    behind: dict[int, Any] = {}  # tensors that come from a weighted layer, kept so that no id is used twice

    def call(layer: Any, *given: Any, **named: Any) -> Any:
        fed = hidden or any(id(tensor) in behind for tensor in keras.tree.flatten([given, named]))
        if _can_be_rebuilt(layer):
            layer, fed = _with_dropout(layer, rate, hidden=fed, places=places)
        elif is_weighted(layer):
            given = (_dropout(rate, places)(given[0]), *given[1:]) if fed else given
            fed = True
        found = layer(*given, **named)
        if fed:
            behind.update({id(t): t for t in keras.tree.flatten(found)})
        return found

    with attribute(model, "compiled", False):  # cloning would compile from a written form, which loses own functions
        clone = keras.models.clone_model(model, clone_function=lambda layer: layer, call_function=call)
    return clone, hidden or bool(behind)
