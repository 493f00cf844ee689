"""Rules: how the relevance of a layer's outputs is shared out over its inputs.

A linear layer `z_j = sum_i x_i w_ij + b_j` passes the relevance R_j of its outputs on as
`R_i = sum_j n_ij / (sum_i n_ij) R_j`; a rule says what the numerators n_ij are. With c = 1 for every share,
`n_ij = d N_j / d x_i * x_i` for a function N that is linear in the inputs it counts: a rule gives N, and the gradient of
`N * constant(z / N)` does the rest.

x+ and x- are the parts of x above and below zero, likewise of w and b.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np

from pellucid.core import options
from pellucid.core.record import Value
from pellucid.errors import InvalidOption
from pellucid.explain.propagation.linear import Change, same
from pellucid.shapes import Array, Tensor

Share = tuple[float, Tensor]
"""How much of the relevance is shared out, and the numerators' sum N as a function of the inputs."""

Run = Callable[..., Tensor]
"""The linear part of a layer: outputs of inputs, with the kernel and the bias changed."""


@dataclass(frozen=True, eq=False)
class Rule(Value, ABC):
    """How a linear layer shares out relevance; a frozen dataclass whose fields are its options."""

    direct: ClassVar[bool] = False
    """Whether shares are not in proportion to the inputs, so that an input of zero can get one."""

    stabilizer: float = field(default=1e-6, kw_only=True)

    def __post_init__(self) -> None:
        options.not_negative(self, "stabilizer")

    @abstractmethod
    def shares(self, x: Tensor, z: Tensor, run: Run, ones: Tensor) -> Sequence[Share]:
        """What the relevance is shared by.

        Args:
            x: The layer's inputs.
            z: Its outputs before the activation, with their own gradient.
            run: The layer's linear part.
            ones: Ones of the shape of x; the gradient by them is the relevance where the rule is direct.
        """

    def moved(self, move: Callable[[Array], Array | None]) -> Rule:
        """The rule where inputs are moved before they are read; `move` gives None for what has not the inputs' shape."""
        return self

    def of_positive(self) -> Rule:
        """The same rule with less work, for a layer that is given nothing below zero."""
        return self

    def stabilized(self, total: Tensor) -> Tensor:
        """A sum moved away from zero, to the side it is on."""
        from keras import ops

        return total + ops.cast(ops.where(total >= 0, self.stabilizer, -self.stabilizer), total.dtype)


@dataclass(frozen=True, eq=False)
class Epsilon(Rule):
    """Shares in proportion to x_i w_ij: `R_i = sum_j x_i w_ij / (z_j + e sign(z_j)) R_j`.

    Args:
        stabilizer: e; larger values take relevance from outputs near zero, and with it noise.

    References:
        Bach, Binder, Montavon, Klauschen, Müller and Samek 2015, "On pixel-wise explanations for non-linear classifier
        decisions by layer-wise relevance propagation", doi:10.1371/journal.pone.0130140.
    """

    stabilizer: float = 1e-6

    def shares(self, x: Tensor, z: Tensor, run: Run, ones: Tensor) -> Sequence[Share]:
        """See `Rule.shares`."""
        return [(1.0, z)]


@dataclass(frozen=True, eq=False)
class Signed(Rule, ABC):
    """A rule that looks at the signs of inputs and weights."""

    positive: ClassVar[bool] = False

    def of_positive(self) -> Rule:
        """See `Rule.of_positive`."""
        found = copy(self)
        object.__setattr__(found, "positive", True)
        return found

    def pair(self, x: Tensor, run: Run, for_above: Change, for_below: Change) -> Tensor:
        """Inputs above zero through one change of the weights, those below through another; the bias goes with the first."""
        from keras import ops

        if self.positive:
            return run(x, for_above, for_above)
        return run(_above(x), for_above, for_above) + run(_below(x), for_below, ops.zeros_like)


@dataclass(frozen=True, eq=False)
class ZPlus(Signed):
    """Shares among what speaks for the output: `n_ij = x_i+ w_ij+ + x_i- w_ij-`.

    References:
        Montavon, Lapuschkin, Binder, Samek and Müller 2017, "Explaining nonlinear classification decisions with deep
        Taylor decomposition", doi:10.1016/j.patcog.2016.11.008.
    """

    def shares(self, x: Tensor, z: Tensor, run: Run, ones: Tensor) -> Sequence[Share]:
        """See `Rule.shares`."""
        return [(1.0, self.pair(x, run, _above, _below))]


@dataclass(frozen=True, eq=False)
class AlphaBeta(Signed):
    """What speaks for the output gets alpha times the relevance, what speaks against it minus beta times.

    `R_i = sum_j (alpha (x_i w_ij)+ / sum (x w)+  -  beta (x_i w_ij)- / sum (x w)-) R_j`, alpha - beta = 1.

    Args:
        alpha: Share of what speaks for the output.
        beta: Share of what speaks against it.

    Raises:
        InvalidOption: alpha - beta is not 1.

    References:
        Bach et al. 2015, doi:10.1371/journal.pone.0130140.
    """

    alpha: float = 2.0
    beta: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        options.not_negative(self, "alpha", "beta")
        if abs(self.alpha - self.beta - 1) > 1e-9:
            raise InvalidOption(f"AlphaBeta: expected alpha - beta = 1, got {self.alpha!r} - {self.beta!r}")

    def shares(self, x: Tensor, z: Tensor, run: Run, ones: Tensor) -> Sequence[Share]:
        """See `Rule.shares`."""
        with_it, against = self.pair(x, run, _above, _below), self.pair(x, run, _below, _above)
        return [(self.alpha, with_it), (-self.beta, against)]


@dataclass(frozen=True, eq=False)
class Gamma(Signed):
    """Shares in proportion to x_i (w_ij + gamma w_ij+): between `Epsilon` (0) and `ZPlus` (infinite).

    Outputs below zero, and inputs below zero, are treated in mirror image: weights of the sign that agrees with the
    output count (1 + gamma) times.

    Args:
        gamma: How much more weights count that speak for the output.

    References:
        Montavon, Binder, Lapuschkin, Samek and Müller 2019, "Layer-wise relevance propagation: an overview",
        doi:10.1007/978-3-030-28954-6_10; for both signs: Andéol, Kawakami, Wada, Kanamori, Müller and Montavon 2021,
        "Learning domain invariant representations by joint Wasserstein distance minimization", arXiv:2106.04923.
    """

    gamma: float = 0.25

    def __post_init__(self) -> None:
        super().__post_init__()
        options.not_negative(self, "gamma")

    def shares(self, x: Tensor, z: Tensor, run: Run, ones: Tensor) -> Sequence[Share]:
        """See `Rule.shares`."""
        from keras import ops

        more, less = (lambda w: w + self.gamma * _above(w)), (lambda w: w + self.gamma * _below(w))
        total = ops.where(z >= 0, self.pair(x, run, more, less), self.pair(x, run, less, more))
        return [(1.0, total)]


@dataclass(frozen=True, eq=False)
class Flat(Rule):
    """Shares alike among everything that a unit can see, whatever it holds: for the layer that reads the input.

    References:
        Lapuschkin, Wäldchen, Binder, Montavon, Samek and Müller 2019, "Unmasking Clever Hans predictors",
        doi:10.1038/s41467-019-08987-4.
    """

    direct: ClassVar[bool] = True

    def shares(self, x: Tensor, z: Tensor, run: Run, ones: Tensor) -> Sequence[Share]:
        """See `Rule.shares`."""
        from keras import ops

        return [(1.0, run(ones, ops.ones_like, ops.zeros_like))]


@dataclass(frozen=True, eq=False)
class WSquare(Rule):
    """Shares in proportion to w_ij^2: for the layer that reads inputs without a bound or a zero.

    References:
        Montavon et al. 2017, doi:10.1016/j.patcog.2016.11.008.
    """

    direct: ClassVar[bool] = True

    def shares(self, x: Tensor, z: Tensor, run: Run, ones: Tensor) -> Sequence[Share]:
        """See `Rule.shares`."""
        from keras import ops

        return [(1.0, run(ones, ops.square, ops.zeros_like))]


@dataclass(frozen=True, eq=False)
class ZBox(Rule):
    """Shares among inputs that lie between two bounds: `n_ij = x_i w_ij - l_i w_ij+ - h_i w_ij-`.

    Args:
        low: The least value l an input can have, in the units that the layer reads: a number, or an array that broadcasts over
            an example of the model's inputs, and goes the way to the layer that they go; else over what the layer reads.
        high: The largest value h.

    Raises:
        InvalidOption: A bound that is no number, or a low one above the high one.

    References:
        Montavon et al. 2017, doi:10.1016/j.patcog.2016.11.008.
    """

    direct: ClassVar[bool] = True
    low: Any = 0.0
    high: Any = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        low, high = np.asarray(self.low), np.asarray(self.high)
        if not all(a.dtype.kind in "iuf" and np.isfinite(a).all() for a in (low, high)) or (low > high).any():
            raise InvalidOption(
                f"ZBox: expected finite numbers, low at most high; got low={self.low!r} and high={self.high!r}"
            )

    def moved(self, move: Callable[[Array], Array | None]) -> Rule:
        """See `Rule.moved`."""
        given = [(bound, np.asarray(bound, np.float32)) for bound in (self.low, self.high)]
        low, high = (bound if not array.ndim or (m := move(array)) is None else m for bound, array in given)
        return replace(self, low=low, high=high)

    def shares(self, x: Tensor, z: Tensor, run: Run, ones: Tensor) -> Sequence[Share]:
        """See `Rule.shares`."""
        from keras import ops

        none = ops.zeros_like
        low, high = (ones * ops.cast(_placed(bound, x), ones.dtype) for bound in (self.low, self.high))
        total = run(ones * x, same, none) - run(low, _above, none) - run(high, _below, none)
        return [(1.0, total)]


def _placed(bound: Any, x: Tensor) -> Any:
    """A bound of one example's inputs, in the shape in which a layer reads them."""
    array, shape = np.asarray(bound, np.float32), tuple(x.shape[1:])
    if None not in shape and array.size == np.prod(shape) and array.ndim:
        return array.reshape(shape)
    try:
        np.broadcast_to(array, [s or 1 for s in shape])
    except ValueError:
        raise InvalidOption(
            f"ZBox: a bound of shape {array.shape} does not fit an example {shape} of the layer that reads the input"
        ) from None
    return array


def _above(tensor: Tensor) -> Tensor:
    from keras import ops

    return ops.maximum(tensor, 0.0)


def _below(tensor: Tensor) -> Tensor:
    from keras import ops

    return ops.minimum(tensor, 0.0)
