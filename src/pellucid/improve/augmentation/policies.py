"""Several small changes of an image, drawn from a list: one after the other, or beside each other and mixed.

Keras has layers of these names, which are made for pipelines of single images. Inside a compiled step on a batch its RandAugment
draws one pair of operations for all images, its AugMix draws its chains once, when the step is traced, and its Equalization
counts values over the whole batch (Keras 3.15); so the operations are written out here, and each image has draws of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pellucid.core import options
from pellucid.errors import InvalidOption
from pellucid.improve.augmentation.images import RangedAugmentation
from pellucid.improve.augmentation.operations import COLOURS, GEOMETRY, done
from pellucid.shapes import Tensor

ALL = ("nothing", *GEOMETRY, *COLOURS)
PLAIN = (*GEOMETRY, "autocontrast", "solarize", "posterize")
"""Without brightness, contrast, colour and sharpness, on which robustness is usually judged."""


@dataclass(frozen=True, eq=False)
class _Policy(RangedAugmentation):
    """Operations on images whose values are brought to 0 to 1 for them, and back."""

    rank = 1

    def __post_init__(self) -> None:
        strength = getattr(self, "strength", None)
        options.positive(self, "strength")
        if strength > 1:  # type: ignore[operator]
            raise InvalidOption(
                f"{type(self).__name__}.strength: expected a number above 0 and at most 1, got {strength!r}"
            )

    def changed(self, x: Tensor, draws: Any) -> Tensor:
        """See `Augmentation.changed`."""
        from keras import ops

        low, high = draws["range"][0], draws["range"][1]
        found = self.within(ops.clip((x - low) / (high - low), 0.0, 1.0), draws)
        return low + (high - low) * ops.clip(found, 0.0, 1.0)

    def within(self, x: Tensor, draws: Any) -> Tensor:
        """Other images, all values from 0 to 1."""
        raise NotImplementedError


@dataclass(frozen=True, eq=False)
class RandAugment(_Policy):
    """Changes every image by a few operations drawn from a list of thirteen, all of one strength.

    Would the answer be the same if the image were a little turned, moved, darker, sharper?

        x' = O_n(... O_1(x)),   each O even over: nothing, rotate, shear and shift along x or y, autocontrast, solarize,
        posterize, brightness, contrast, colour, sharpness;   each with amount `strength`, up or down by chance

    At strength 1: 30 degrees, a shear of 0.3, a third of a side, 0.1 or 1.9 times the light, contrast, colour or sharpness, all
    light made negative, four bits of eight. Borders are continued outwards.

    Args:
        count: Operations an image, at least 1.
        strength: Above 0, at most 1: a tenth of the magnitude that the paper has.

    Raises:
        InvalidOption: No operation, or a strength out of range.
        NotApplicable: While training, other data than images (B, H, W, C).

    Example:
        >>> import pellucid as pl
        >>> pl.RandAugment(count=2, strength=0.3)
        RandAugment(count=2, strength=0.3)

    References:
        Cubuk, Zoph, Shlens and Le 2020, "RandAugment: practical automated data augmentation with a reduced search space",
        arXiv:1909.13719.

    Limits:
        The range of values is taken from the training data, and the run says what it was taken to be. Equalization of
        histograms, which the paper has too, is left out. Every image has operations of its own, so all are computed for each
        image. Colour does nothing where there are no three channels.
    """

    slot = "rand_augment"
    count: int = 2
    strength: float = 0.3

    def __post_init__(self) -> None:
        super().__post_init__()
        options.whole(self, "count")

    def within(self, x: Tensor, draws: Any) -> Tensor:
        """See `_Policy.within`."""
        from keras import ops

        rows = ops.shape(x)[0]
        for _ in range(self.count):
            amount = ops.where(draws.chance(0.5, rows), self.strength, -self.strength)
            x = done(x, draws.whole(len(ALL), rows), amount, ALL)
        return x


@dataclass(frozen=True, eq=False)
class AugMix(_Policy):
    """Mixes every image with some chains of operations on it.

    Would the answer be the same under changes that nobody has thought of?

        x' = m x + (1 - m) * sum over k of w_k chain_k(x),   w ~ Dirichlet(1, ..., 1),   m even over 0 to 1

    A chain is one to `depth` operations, each even over: rotate, shear and shift along x or y, autocontrast, solarize, posterize,
    with an amount of a tenth of `strength` to all of it, up or down.

    Args:
        width: Chains an image, at least 1.
        depth: The most operations in a chain, at least 1.
        strength: Above 0, at most 1; what it stands for is told at `RandAugment`.

    Raises:
        InvalidOption: No chain, no operation, or a strength out of range.
        NotApplicable: While training, other data than images (B, H, W, C).

    Example:
        >>> import pellucid as pl
        >>> pl.AugMix(width=2)
        AugMix(width=2, depth=3, strength=0.3)

    References:
        Hendrycks, Mu, Cubuk, Zoph, Gilmer and Lakshminarayanan 2020, "AugMix: a simple data processing method to improve
        robustness and uncertainty", arXiv:1912.02781.

    Limits:
        This is the mixing alone, with the paper's alpha of 1: its term that compares answers to three versions of an image is
        not part of it, and much of the paper's gain is. It costs width times depth rounds of every operation. Equalization is
        left out.
    """

    slot = "augmix"
    width: int = 3
    depth: int = 3
    strength: float = 0.3

    def __post_init__(self) -> None:
        super().__post_init__()
        options.whole(self, "width")
        options.whole(self, "depth")

    def within(self, x: Tensor, draws: Any) -> Tensor:
        """See `_Policy.within`."""
        from keras import ops

        rows, several = ops.shape(x)[0], (self.width, -1, *x.shape[1:])
        shares = -ops.log(
            draws.uniform(self.width, rows, 1, 1, 1, low=1e-7)
        )  # exponential over their sum: Dirichlet of ones
        chains = ops.reshape(self.chain(ops.tile(x, (self.width, 1, 1, 1)), draws), several)
        kept = draws.uniform(rows, 1, 1, 1)
        return kept * x + (1 - kept) * ops.sum(shares / ops.sum(shares, axis=0) * chains, axis=0)

    def chain(self, x: Tensor, draws: Any) -> Tensor:
        """One chain of operations an image."""
        from keras import ops

        rows = ops.shape(x)[0]
        length = 1 + draws.whole(self.depth, rows)
        for step in range(self.depth):
            size = self.strength * draws.uniform(rows, low=0.1)
            amount = ops.where(draws.chance(0.5, rows), size, -size)
            found = done(x, draws.whole(len(PLAIN), rows), amount, PLAIN)
            x = ops.where(ops.reshape(length > step, (-1, 1, 1, 1)), found, x)
        return x
