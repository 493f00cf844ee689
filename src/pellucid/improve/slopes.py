"""Penalties on how a model reacts: to its inputs, or inside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pellucid.core import options
from pellucid.core.dataset import Dataset
from pellucid.core.layers import sublayers
from pellucid.errors import NotApplicable
from pellucid.improve.base import Batch, Seen, StepRemedy
from pellucid.improve.places import is_weighted
from pellucid.improve.step import Step
from pellucid.shapes import Tensor


def squares(slopes: Sequence[Tensor], weights: Sequence[Tensor] | None = None) -> Tensor:
    """The sum (B,) of squares of each example's slopes, each multiplied by a weight."""
    from keras import ops

    weighted = slopes if weights is None else [s * w for s, w in zip(slopes, weights, strict=True)]
    each = [ops.sum(ops.square(s), axis=tuple(range(1, len(s.shape)))) for s in weighted]
    return sum(each[1:], each[0])


@dataclass(frozen=True, eq=False)
class InputGradientPenalty(StepRemedy):
    """A price on how fast the loss changes with the input, so that small changes of an input matter little.

    Does a model whose loss is flat around the data hold better on data that are a little different?

        loss = data loss + strength * mean over examples of  |d L_i / d x_i|^2

    Args:
        strength: The factor, at least 0, in units of the inputs squared.

    Raises:
        InvalidOption: A negative strength.
        InvalidInput: While training: inputs that are whole numbers, unless an embedding reads them.

    Example:
        >>> import pellucid as pl
        >>> pl.InputGradientPenalty(0.1).strength
        0.1

    References:
        Drucker and LeCun 1992, doi:10.1109/72.165600; Ross and Doshi-Velez 2018, arXiv:1711.09404.

    Limits:
        It depends on the units of the inputs: standardize them. Of tokens, the gradient is by their embeddings. Where the model
        is right and sure the gradient of the loss is small anyhow. A second backward pass: about twice the time.
    """

    slot = "input_gradient"
    strength: float = 0.1

    def __post_init__(self) -> None:
        options.not_negative(self, "strength")

    def slope(self, outputs: Tensor, batch: Batch, step: Step) -> Tensor:
        """The sum of the losses."""
        from keras import ops

        return ops.sum(step.losses(batch.y, outputs))

    def term(self, batch: Batch, seen: Seen, step: Step) -> Tensor:
        """The price (B,)."""
        return self.strength * squares(seen.slopes)


@dataclass(frozen=True, eq=False)
class JacobianPenalty(StepRemedy):
    """A price on how fast all answers change with the input, not only that of the label.

    Do wider margins in the input make the model hold against noise?

        loss = data loss + strength / 2 * mean over examples of  |J|_F^2,    J_kj = d s_k / d x_j

    s are log-probabilities of classes (values of a regression). |J|_F^2 is estimated by K |v^T J|^2 with a random direction v,
    |v| = 1, drawn for each example and step; in the log, v is one class after the other.

    Args:
        strength: The factor, at least 0, in units of the inputs squared.

    Raises:
        InvalidOption: A negative strength.
        InvalidInput: While training: inputs that are whole numbers, unless an embedding reads them.

    Example:
        >>> import pellucid as pl
        >>> pl.JacobianPenalty(0.01).strength
        0.01

    References:
        Hoffman, Roberts and Yaida 2019, arXiv:1908.02729.

    Limits:
        It depends on the units of the inputs: standardize them. One direction an example is a noisy estimate; small batches
        make it noisier. A second backward pass: about twice the time.
    """

    slot = "jacobian"
    strength: float = 0.01

    def __post_init__(self) -> None:
        options.not_negative(self, "strength")

    def attach(self, step: Step, train: Dataset, seed: int) -> Any:
        """What directions are drawn from."""
        import keras

        return keras.random.SeedGenerator(seed)

    def change(self, batch: Batch, step: Step, held: Any) -> Batch:
        """The batch with a direction (B, K) for each example."""
        import keras
        from keras import ops

        v = keras.random.normal((batch.size, step.rows.width), seed=held)
        v = v / (ops.norm(v, axis=1, keepdims=True) + 1e-12)
        return batch.with_(beside={**batch.beside, self.slot: {"direction": v}})

    def slope(self, outputs: Tensor, batch: Batch, step: Step) -> Tensor:
        """The scores along the directions."""
        from keras import ops

        width = step.rows.width
        turn = ops.one_hot(ops.arange(batch.size) % width, width)
        return ops.sum(step.rows.scores(outputs) * batch.beside[self.slot].get("direction", turn))

    def term(self, batch: Batch, seen: Seen, step: Step) -> Tensor:
        """The price (B,)."""
        return self.strength / 2 * step.rows.width * squares(seen.slopes)


@dataclass(frozen=True, eq=False)
class ActivityPenalty(StepRemedy):
    """A price on what hidden units put out, so that few of them answer to an example.

    Does the model do as well with hidden units that are mostly silent, which are easier to read?

        loss = data loss + strength * mean over examples of  sum over units of |h|   (order 1),  or h^2   (order 2)

    Args:
        strength: The factor, at least 0.
        order: 1 (sparse) or 2 (small).
        layer: The name of a layer; None for every dense and convolution layer but the last.

    Raises:
        InvalidOption: A negative strength or another order.
        UnknownName: While training: no layer of that name.
        NotApplicable: While training: no hidden layer.

    Example:
        >>> import pellucid as pl
        >>> pl.ActivityPenalty(1e-4).order
        1

    References:
        Glorot, Bordes and Bengio 2011, "Deep sparse rectifier neural networks", AISTATS 2011.

    Limits:
        The next layer can undo it by larger weights: use it beside a penalty on them.
    """

    slot = "activity"
    strength: float = 1e-4
    order: int = 1
    layer: str | None = None

    def __post_init__(self) -> None:
        options.not_negative(self, "strength")
        options.one_of(self, "order", (1, 2))

    def reads(self, step: Step) -> Sequence[str]:
        """The layers whose units have a price."""
        if self.layer is not None:
            return (self.layer,)
        weighted = [name for name, layer in sublayers(step.native).items() if is_weighted(layer)]
        if len(weighted) < 2:
            raise NotApplicable(
                f"ActivityPenalty: {step.native.name} has no hidden dense or convolution layer; name a layer"
            )
        return weighted[:-1]

    def term(self, batch: Batch, seen: Seen, step: Step) -> Tensor:
        """The price (B,)."""
        from keras import ops

        size = ops.abs if self.order == 1 else ops.square
        read = [seen.hidden[name] for name in self.reads(step)]
        each = [ops.sum(size(h), axis=tuple(range(1, len(h.shape)))) for h in read]
        return self.strength * sum(each[1:], each[0])
