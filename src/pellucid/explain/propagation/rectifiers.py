"""Gradients with another way back through rectifiers: guided backpropagation and deconvolution."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from pellucid.core import layers
from pellucid.core.kinds import RECTIFIERS, is_rectified, is_rectifier
from pellucid.core.model import Model
from pellucid.core.target import Resolved
from pellucid.explain.base import Attribution, Method, Question
from pellucid.explain.gradients.engine import by_input
from pellucid.explain.propagation.plan import at_rest, layered, writes
from pellucid.explain.propagation.slopes import backward
from pellucid.explain.propagation.watching import Watching
from pellucid.shapes import Floats, Tensor

Way = Callable[[Tensor, Tensor], Tensor]
"""A rectifier's output, of what goes in and what comes out, with the gradient that is wanted."""


@dataclass(frozen=True, eq=False)
class Rectified(Method):
    """A gradient with another way back through rectifiers."""

    takes_shift: ClassVar[bool] = True
    layer: str | None = None

    @property
    def contributes(self) -> bool:
        """False: a changed slope is no contribution."""
        return False

    @staticmethod
    @abstractmethod
    def way(a: Tensor, y: Tensor) -> Tensor:
        """A rectifier's output y of a, with the gradient of this method."""

    def attribute(self, question: Question) -> Attribution:
        """See `Method.attribute`."""
        count, values = len(question), rectified(question, self)
        model = layered(question, type(self).__name__, self.layer).model
        found = _fused(model) or _own(model) or _written(model)
        notes = () if found else (f"{model.name} holds no rectifier: the values are its gradient",)
        return Attribution(
            values, evaluations=np.ones(count, int), converged=np.ones(count, bool), layer=self.layer,
            hidden=self.layer is not None, notes=notes,
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class GuidedBackprop(Rectified):
    """The slope of the score along what excites it: sharp pictures of the patterns that the units on the way look for.

    The gradient, but a rectifier y = max(a, 0) passes back only what is positive: `G_a = 1[a > 0] max(G_y, 0)`. Integer
    tokens (B, T) are differentiated at their embedding (B, T, D); a token gets the length of its share over D.

    Args:
        layer: A hidden layer whose outputs take the place of the inputs; None for the inputs.

    Raises:
        UnknownName: There is no layer of that name.

    Example:
        >>> import keras, numpy as np, pellucid as pl
        >>> f = lambda x: keras.ops.relu(x[:, 0] + x[:, 1]) - keras.ops.relu(2 * x[:, 0])
        >>> pl.explain(f, np.array([[2.0, 1.0]]), pl.GuidedBackprop()).values.tolist()
        [[1.0, 1.0]]

    References:
        Springenberg, Dosovitskiy, Brox and Riedmiller 2015, "Striving for simplicity: the all convolutional net",
        arXiv:1412.6806.

    Limits:
        It partly recovers the input, whatever the class: the map of another class looks nearly the same, and so does that
        of a network whose upper layers are random (Nie, Zhang and Patel 2018, arXiv:1805.07039): check with
        `ParameterRandomization`. Rectifiers are layers, activations and `keras.ops` nodes called relu, with or without an upper
        bound; leaky ones and smooth activations keep their own gradient. The
        map of a model without rectifiers is its gradient, and the record's notes say so.
    """

    @staticmethod
    def way(a: Tensor, y: Tensor) -> Tensor:
        """See `Rectified.way`."""
        from keras import ops

        return backward(y, y, ops.relu)


@dataclass(frozen=True, eq=False)
class Deconvolution(Rectified):
    """What excites the score, traced back through the weights alone: which pattern would the units on the way draw?

    The gradient, but a rectifier y = max(a, 0) is one for what comes back instead: `G_a = max(G_y, 0)`, wherever a was.
    Integer tokens (B, T) are differentiated at their embedding (B, T, D); a token gets the length of its share over D.

    Args:
        layer: A hidden layer whose outputs take the place of the inputs; None for the inputs.

    Raises:
        UnknownName: There is no layer of that name.

    Example:
        >>> import keras, numpy as np, pellucid as pl
        >>> f = lambda x: keras.ops.relu(x[:, 0] - x[:, 1]) - keras.ops.relu(2 * x[:, 0])
        >>> pl.explain(f, np.array([[1.0, 2.0]]), pl.Deconvolution()).values.tolist()
        [[1.0, -1.0]]

    References:
        Zeiler and Fergus 2014, "Visualizing and understanding convolutional networks", arXiv:1311.2901.

    Limits:
        Where a unit was silent makes no difference, so that without maximum pooling the map hardly depends on the input.
        Like `GuidedBackprop` it is barely about the class, and reaches the same rectifiers.
    """

    @staticmethod
    def way(a: Tensor, y: Tensor) -> Tensor:
        """See `Rectified.way`."""
        from keras import ops

        return backward(y, a, ops.relu)


def rectified(question: Question, method: Rectified) -> tuple[Floats, ...]:
    """Gradients at the inputs, one map an input, with the method's way back through rectifiers.

    Raises:
        NotDifferentiable: A model without gradients.
        UnsupportedLayer: A callable that cannot be taken apart into operations.
    """
    q = layered(question, type(method).__name__, method.layer)
    return q.in_one_pass(("rectified", type(method)), lambda target: _step(q.model, target, method.way))


def _step(model: Model, target: Resolved, way: Way) -> Callable[..., Any]:
    size = len(model.names or "x")

    def step(*arrays: Tensor) -> tuple[Tensor, ...]:
        inputs, selector, shift = arrays[:size], arrays[size], arrays[size + 1 :]
        with _changed(model, way):
            _, grads, scores = model.sloped(lambda scores: target.score(scores, selector), inputs, shift)
        return *by_input(model, grads, "slope"), scores

    return step


def _fused(model: Model) -> list[Any]:
    """Layers with a rectifier for an activation."""
    inside = layers.leaves(model.native).values()
    taken_off = {id(layer) for layer, _ in model.anatomy.softened}
    return [layer for layer in inside if is_rectified(layer) and id(layer) not in taken_off]


def _own(model: Model) -> list[Any]:
    """Layers and operations that are rectifiers."""
    return [p for p in (*layers.leaves(model.native).values(), *layers.operations(model.native)) if is_rectifier(p)]


def _written(model: Model) -> set[str]:
    """Rectifiers that a torch module has called in its own forward, so far as it has run."""
    return model.kept("rectifiers", set)


@contextmanager
def _changed(model: Model, way: Way) -> Iterator[None]:
    """Every rectifier of a model with another way back until the block ends."""

    def within(activation: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        return lambda a: way(a, activation(a))

    def change(original: layers.Call) -> layers.Call:
        return lambda a, *rest, **options: way(a, original(a * 1, *rest, **options))  # torch may work in place

    def written(way: Way, node: Any, run: layers.Call) -> layers.Call:
        _written(model).add(node.name)
        return change(run)

    with ExitStack() as stack:
        for layer in _fused(model):
            stack.enter_context(layers.attribute(layer, "activation", within(layer.activation)))
        stack.enter_context(layers.all_replaced((part, change) for part in _own(model)))
        if writes(model):
            watching = Watching(model.native, at_rest(model), dict.fromkeys(RECTIFIERS, way), written, strict=False)
            stack.enter_context(layers.replaced(model.native, watching))
        yield
