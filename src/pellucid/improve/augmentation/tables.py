"""Rows of a table that are a little other: noise on numbers, and values of other rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from pellucid.core import options
from pellucid.core.dataset import Dataset
from pellucid.data.corruptions.base import columns_of
from pellucid.improve.augmentation.base import Augmentation
from pellucid.improve.augmentation.places import pairs
from pellucid.shapes import Array, Tensor


@dataclass(frozen=True, eq=False)
class TableNoise(Augmentation):
    """Adds noise to the numbers of a table, in units of each column's spread.

    Would the answer be the same if everything had been measured a little less exactly?

        x'_f = x_f + spread * s_f * z,   z standard normal,   s_f the standard deviation of column f in training

    Columns of whole numbers only are left alone: counts, years, codes and encoded categories; the run says which they are.

    Args:
        spread: The noise in standard deviations, above 0; 0.05 to 0.2 is usual.

    Raises:
        InvalidOption: A spread that is not above 0.
        NotApplicable: While training, other data than a table (B, F).

    Example:
        >>> import pellucid as pl
        >>> pl.TableNoise(0.1)
        TableNoise(spread=0.1)

    References:
        Bishop 1995, "Training with noise is equivalent to Tikhonov regularization", doi:10.1162/neco.1995.7.1.108.

    Limits:
        Noise is drawn for each column by itself, so columns that always went together (a total and its parts) no longer do.
    """

    slot = "table_noise"
    kinds = ("tabular",)
    axes = (2, 2)
    spread: float = 0.1

    def __post_init__(self) -> None:
        options.positive(self, "spread")

    def known(self, train: Dataset) -> dict[str, Array]:
        """The spread of each column (F,), 0 where it is left alone."""
        spread = np.nanstd(train.x.astype(np.float64), axis=0)
        return {"spread": np.where(_whole(train.x), 0, spread).astype(np.float32)}

    def assumed(self, train: Dataset) -> str:
        """Which columns are left alone."""
        alone = np.flatnonzero(_whole(train.x))
        if not len(alone):
            return ""
        names = [train.feature_names[i] if train.feature_names else f"column {i}" for i in alone.tolist()]
        more = f" and {len(names) - 5} more" if len(names) > 5 else ""
        return f"TableNoise left alone what holds whole numbers only: {', '.join(names[:5])}{more}"

    def changed(self, x: Tensor, draws: Any) -> Tensor:
        """See `Augmentation.changed`."""
        from keras import ops

        return x + self.spread * draws["spread"] * draws.normal(*ops.shape(x))


def _whole(x: Array) -> Array:
    """Which columns (F,) hold whole numbers only, missing ones aside."""
    return np.all(np.isnan(x) | (np.mod(x, 1) == 0), axis=0) if x.dtype.kind == "f" else np.ones(x.shape[1], bool)


@dataclass(frozen=True, eq=False)
class ColumnSwap(Augmentation):
    """Exchanges values between the rows of a batch, column by column (swap noise).

    Would the answer be the same if one value of a row were another's? No single column is counted on then.

        for every column: rows are paired at random; the two of a pair exchange their values with probability `rate`

    So every value is one that occurs, and each column of a batch holds what it held before. Columns that were encoded from one
    (`Dataset.columns`) are exchanged together.

    Args:
        rate: The probability that a pair exchanges a column, between 0 and 1; 0.05 to 0.15 is usual.

    Raises:
        InvalidOption: A rate that is not between 0 and 1.
        NotApplicable: While training, other data than a table (B, F).

    Example:
        >>> import pellucid as pl
        >>> pl.ColumnSwap(0.1)
        ColumnSwap(rate=0.1)

    References:
        Jahrer 2018, first place of the Porto Seguro challenge,
        https://www.kaggle.com/c/porto-seguro-safe-driver-prediction/discussion/44629; Bahri, Jiang, Tay and Metzler 2022, "SCARF:
        self-supervised contrastive learning using random feature corruption", arXiv:2106.15147.

    Limits:
        Columns are exchanged independently, so rows come about that cannot be (a man who is pregnant). A column that decides
        alone is exchanged too, and the label stays: a rate r makes about r / 2 of such labels wrong where classes are equally
        frequent.
    """

    slot = "column_swap"
    kinds = ("tabular",)
    axes = (2, 2)
    rate: float = 0.1

    def __post_init__(self) -> None:
        options.fraction(self, "rate")

    def known(self, train: Dataset) -> dict[str, Array]:
        """The number (F,) of the original column of each column."""
        origin = np.zeros(train.x.shape[1], np.int32)
        for number, column in enumerate(columns_of(train)):
            origin[column.where] = number
        return {"origin": origin, "origins": np.arange(origin.max() + 1)}

    def changed(self, x: Tensor, draws: Any) -> Tensor:
        """See `Augmentation.changed`."""
        from keras import ops

        shape = draws["origins"].shape[0], ops.shape(x)[0]
        index = pairs(draws.uniform(*shape), ops.ones(shape, dtype="bool"), draws.chance(self.rate, *shape))
        rows = ops.take(index, draws["origin"], axis=0)
        return ops.transpose(ops.take_along_axis(ops.transpose(x), rows, axis=1))
