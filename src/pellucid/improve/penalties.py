"""Penalties on weights: the loss gets a price for large ones, reported apart from the data loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from pellucid.core import options
from pellucid.improve.base import Remedy
from pellucid.shapes import Array, Tensor

ON = ("kernels", "all")
_NOT_KERNELS = ("bias", "gamma", "beta", "alpha", "scale")


def is_kernel(variable: Any) -> bool:
    """Whether a trainable variable multiplies inputs: two or more axes, and no bias, normalization or slope."""
    return len(variable.shape) > 1 and variable.name not in _NOT_KERNELS


def named_by(on: str, variable: Any) -> bool:
    """Whether a trainable variable is among "kernels" or "all"."""
    return on == "all" or is_kernel(variable)


@dataclass(frozen=True, eq=False)
class _Penalty(Remedy):
    """A price on the trainable weights of a model."""

    strength: float = 0.01
    on: str = "kernels"

    def __post_init__(self) -> None:
        options.not_negative(self, "strength")
        options.one_of(self, "on", ON)

    def penalizes(self, variable: Any) -> bool:
        """Whether the variable is among those that `on` names."""
        return named_by(self.on, variable)


@dataclass(frozen=True, eq=False)
class L2(_Penalty):
    """A price on the squares of the weights: keeps all of them small.

    Would a model with smaller weights, hence a smoother one, hold better on new data?

        loss = data loss + strength * sum over i of w_i^2        (no factor 1/2)

    Args:
        strength: The factor, at least 0; useful values are mostly between 1e-5 and 1e-1.
        on: "kernels": weights with two or more axes (dense, convolution, embedding), but no biases and no
            normalization; "all": every trainable weight.

    Raises:
        InvalidOption: A negative strength, or another `on`.

    Example:
        >>> import pellucid as pl
        >>> pl.Recipe(pl.L2(0.01)).remedies
        (L2(strength=0.01, on='kernels'),)

    References:
        Hoerl and Kennard 1970, doi:10.1080/00401706.1970.10488634; Krogh and Hertz 1991, "A simple weight decay can
        improve generalization", NIPS 4.

    Limits:
        The penalty depends on the units of the inputs: standardize them. Before a normalization layer the size of a
        kernel does not change the outputs, so there the penalty only changes the step size. With Adam it is not the
        same as decoupled weight decay.
    """

    slot = "l2"

    def penalty(self, value: Tensor, kept: Any = None) -> Tensor:
        """`strength` times the sum of squares."""
        from keras import ops

        return ops.sum(ops.square(value)) * self.strength  # type: ignore[operator]

    def exactly(self, value: Array) -> float:
        """The same in 64 bits."""
        return self.strength * float(np.square(value).sum())


@dataclass(frozen=True, eq=False)
class L1(_Penalty):
    """A price on the absolute values of the weights: drives many of them to zero.

    Does the model do as well with fewer connections?

        loss = data loss + strength * sum over i of |w_i|

    Args:
        strength: The factor, at least 0; useful values are mostly between 1e-6 and 1e-2.
        on: "kernels" (no biases, no normalization) or "all"; as for `L2`.

    Raises:
        InvalidOption: A negative strength, or another `on`.

    Example:
        >>> import pellucid as pl
        >>> pl.L1(0.001).strength
        0.001

    References:
        Tibshirani 1996, doi:10.1111/j.2517-6161.1996.tb02080.x.

    Limits:
        Gradient steps make weights small, hardly ever exactly zero. Of two inputs that say the same, either may be kept.
    """

    slot = "l1"

    def penalty(self, value: Tensor, kept: Any = None) -> Tensor:
        """`strength` times the sum of absolute values."""
        from keras import ops

        return ops.sum(ops.abs(value)) * self.strength  # type: ignore[operator]

    def exactly(self, value: Array) -> float:
        """The same in 64 bits."""
        return self.strength * float(np.abs(value).sum())


@dataclass(frozen=True, eq=False)
class ElasticNet(Remedy):
    """A price on both the absolute values and the squares of the weights: few of them, and all of them small.

    Does the model do as well with fewer connections, where inputs that say the same may share theirs?

        loss = data loss + l1 * sum over i of |w_i| + l2 * sum over i of w_i^2        (no factor 1/2)

    Args:
        l1: The factor of the absolute values, at least 0; useful values are mostly between 1e-6 and 1e-2.
        l2: The factor of the squares, at least 0; useful values are mostly between 1e-5 and 1e-1.
        on: "kernels" (no biases, no normalization) or "all"; as for `L2`.

    Raises:
        InvalidOption: A negative factor, or another `on`; beside `L1` or `L2`, which are its two halves.

    Example:
        >>> import pellucid as pl
        >>> pl.ElasticNet(l1=0.001, l2=0.01)
        ElasticNet(l1=0.001, l2=0.01, on='kernels')

    References:
        Zou and Hastie 2005, doi:10.1111/j.1467-9868.2005.00503.x.

    Limits:
        Those of `L1` and of `L2`: standardize the inputs, and do not expect weights of exactly zero (`Prune` gives them). The
        log tells the sum of both prices as one.
    """

    slot = "elastic_net"
    against = {"l1": "ElasticNet has an l1 of its own", "l2": "ElasticNet has an l2 of its own"}
    l1: float = 0.001
    l2: float = 0.01
    on: str = "kernels"

    def __post_init__(self) -> None:
        options.not_negative(self, "l1", "l2")
        options.one_of(self, "on", ON)

    def penalizes(self, variable: Any) -> bool:
        """Whether the variable is among those that `on` names."""
        return named_by(self.on, variable)

    def penalty(self, value: Tensor, kept: Any = None) -> Tensor:
        """`l1` times the sum of absolute values plus `l2` times that of squares."""
        from keras import ops

        return ops.sum(ops.abs(value)) * self.l1 + ops.sum(ops.square(value)) * self.l2  # type: ignore[operator]

    def exactly(self, value: Array) -> float:
        """The same in 64 bits."""
        return self.l1 * float(np.abs(value).sum()) + self.l2 * float(np.square(value).sum())
