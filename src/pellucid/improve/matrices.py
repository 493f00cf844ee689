"""Penalties on weights as matrices: rows that are inputs, columns that are units."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from pellucid.core import options
from pellucid.improve.base import Remedy
from pellucid.improve.penalties import is_kernel
from pellucid.shapes import Array, Tensor

_ROUNDS, _SMALL = 20, 1e-12


def is_matrix(variable: Any) -> bool:
    """Whether a trainable variable maps inputs to units: a kernel, but no table of embeddings."""
    return is_kernel(variable) and variable.name != "embeddings"


@dataclass(frozen=True, eq=False)
class _OfMatrices(Remedy):
    """A price on every kernel as a matrix W (inputs, units)."""

    strength: float = 0.01

    def __post_init__(self) -> None:
        options.not_negative(self, "strength")

    def penalizes(self, variable: Any) -> bool:
        """Whether the variable is the kernel of a dense, convolution or recurrent layer."""
        return is_matrix(variable)


@dataclass(frozen=True, eq=False)
class Orthogonal(_OfMatrices):
    """A price on units of a layer that say the same: their weights are drawn towards right angles and length 1.

    Would a model whose units each look at something else hold better on new data?

        loss = data loss + strength * sum over kernels of |W'W - I|_F^2        (W: inputs by units, the larger side first)

    A kernel of more axes is reshaped to (all others, units). Where there are more units than inputs, WW' - I is priced: more
    directions than dimensions cannot be at right angles. Keras's `OrthogonalRegularizer` prices the mean |cosine| between
    units, which leaves their lengths free and takes matrices alone: it is another penalty.

    Args:
        strength: The factor, at least 0; useful values are mostly between 1e-6 and 1e-2.

    Raises:
        InvalidOption: A negative strength.

    Example:
        >>> import pellucid as pl
        >>> pl.Orthogonal(1e-3)
        Orthogonal(strength=0.001)

    References:
        Bansal, Chen and Wang 2018, "Can we gain more from orthogonality regularizations in training deep networks?",
        arXiv:1810.09102.

    Limits:
        It also holds every unit's length near 1, the output layer's too. W'W costs as much as a training step on as many
        examples as W has units (convolutions see many positions of each example, so there it is cheap; wide dense layers in
        small batches are not). Attention, depthwise and other kernels whose last axis is not all their units are priced by
        that axis alone.
    """

    slot = "orthogonal"

    def penalty(self, value: Tensor, kept: Any = None) -> Tensor:
        """`strength` times |G|^2, G the smaller Gram matrix less the identity; its gradient 4WG (4GW where that is WW' - I) is
        written out, as differentiating a product of W with itself would multiply once more.
        """
        from keras import ops

        w = ops.reshape(value, (-1, value.shape[-1]))
        tall, fixed = w.shape[0] >= w.shape[1], ops.stop_gradient(w)
        gram = ops.matmul(ops.transpose(fixed), fixed) if tall else ops.matmul(fixed, ops.transpose(fixed))
        off = gram - ops.eye(gram.shape[0], dtype=gram.dtype)
        slope = 4.0 * (ops.matmul(fixed, off) if tall else ops.matmul(off, fixed))  # type: ignore[operator]
        return (ops.sum(ops.square(off)) + ops.sum(slope * (w - fixed))) * self.strength

    def exactly(self, value: Array) -> float:
        """The same in 64 bits."""
        w = _matrix(value)
        gram = w.T @ w if len(w) >= w.shape[1] else w @ w.T
        return self.strength * float(np.square(gram - np.eye(len(gram))).sum())


@dataclass(frozen=True, eq=False)
class SpectralNorm(_OfMatrices):
    """A price on how much each layer can stretch its input: its outputs move little when its inputs do.

    Would a model that small changes of the input move less hold better on new data?

        loss = data loss + strength / 2 * sum over kernels of sigma_max(W)^2,   gradient  strength * sigma_max * u v'

    sigma_max is found by power iteration: one round a step, from where the step before had come, as the weights hardly change in
    between. What the log tells is exact. A kernel of more axes is reshaped to (all others, units).

    Args:
        strength: The factor, at least 0; useful values are mostly between 1e-3 and 1e-1.

    Raises:
        InvalidOption: A negative strength.

    Example:
        >>> import pellucid as pl
        >>> pl.SpectralNorm(0.01)
        SpectralNorm(strength=0.01)

    References:
        Yoshida and Miyato 2017, "Spectral norm regularization for improving the generalizability of deep learning",
        arXiv:1705.10941.

    Limits:
        The norm of a reshaped convolution kernel is not that of the convolution, which can be larger, up to a factor of the
        square root of the kernel's positions. Before a normalization layer the size of a kernel does not change the outputs.
        Where two singular values are about equal, one round may follow either. The log needs a singular value decomposition
        an epoch, slow beyond some thousands of units.
    """

    slot = "spectral_norm"

    def keeps(self, value: Array) -> Array:
        """The right singular vector (units, 1) as some rounds from a fixed start find it."""
        w = _matrix(value)
        v = np.random.default_rng(0).normal(size=w.shape[1])
        for _ in range(_ROUNDS):
            moved = w.T @ (w @ v)
            v = moved / norm if (norm := float(np.linalg.norm(moved))) > _SMALL else v / np.linalg.norm(v)
        return v[:, None].astype(value.dtype)

    def penalty(self, value: Tensor, kept: Any = None) -> Tensor:
        """Half of `strength` times |u'W|^2 with u = Wv / |Wv|: its gradient for a u that is constant is sigma u v', v moved on by
        half a round, which is what is kept.
        """
        from keras import ops

        w = ops.reshape(value, (-1, value.shape[-1]))
        u = _unit(ops.matmul(ops.stop_gradient(w), kept.value))
        stretched = ops.matmul(ops.reshape(u, (1, -1)), w)
        moved = ops.reshape(_unit(ops.stop_gradient(stretched)), (-1, 1))
        kept.assign(ops.where(ops.any(moved != 0), moved, kept.value))  # a kernel of zeros turns no direction anywhere
        return ops.sum(ops.square(stretched)) * (self.strength / 2)  # type: ignore[operator]

    def exactly(self, value: Array) -> float:
        """The same in 64 bits, by the singular values."""
        return self.strength / 2 * float(np.linalg.norm(_matrix(value), 2)) ** 2


def _matrix(value: Array) -> Array:
    return value.reshape(-1, value.shape[-1])


def _unit(vector: Tensor) -> Any:
    from keras import ops

    return vector * ops.rsqrt(ops.maximum(ops.sum(ops.square(vector)), _SMALL**2))
