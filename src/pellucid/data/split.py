"""What `load` gives: two data sets, and how they were made."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pellucid.core.dataset import Dataset
from pellucid.core.record import Value
from pellucid.data.encoding import Encoder


@dataclass(frozen=True, eq=False)
class Splits(Value):
    """Data for training and for testing.

    Attributes:
        train: The examples to learn from; medians and categories come from these alone.
        test: The examples held out.
        name: The built-in name, or the file's.
        encoder: How a table became numbers, to be applied to later files; None where the source holds arrays.
        notes: What a reader should know: columns left out, categories never seen, scaling.

    Example:
        >>> import pellucid as pl
        >>> train, test = pl.data.load("breast-cancer", seed=0)
        >>> len(train), len(test)
        (427, 142)
    """

    train: Dataset
    test: Dataset
    name: str
    encoder: Encoder | None = None
    notes: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[Dataset]:
        return iter((self.train, self.test))
