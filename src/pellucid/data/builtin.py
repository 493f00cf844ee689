"""Data that comes with the library and needs no network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from pellucid.core.dataset import Dataset
from pellucid.core.splitting import holdout
from pellucid.data import encoding
from pellucid.data.split import Splits
from pellucid.data.tables import Table


class Source(NamedTuple):
    """A built-in data set: its name, what it is in one line, its licence, and what loads it."""

    name: str
    description: str
    licence: str
    load: Callable[[float, int], Splits]


def _breast_cancer(test: float, seed: int) -> Splits:
    import polars
    from sklearn.datasets import load_breast_cancer

    found: Any = load_breast_cancer()
    classes = tuple(map(str, found.target_names))
    frame = polars.DataFrame(found.data, schema=list(map(str, found.feature_names)))
    table = Table(frame, np.arange(1, len(frame) + 1), "breast-cancer")
    kept, held = holdout(found.target, test, seed=seed)
    columns, notes = encoding.fit(table, kept, table.names, {})
    encoder = encoding.Encoder(columns, "diagnosis", classes)

    def part(index: np.ndarray, word: str) -> Dataset:
        return Dataset(
            encoder.encode(table.take(index), notes), found.target[index], kind="tabular", feature_names=encoder.names,
            class_names=classes, columns=encoder.origins, ids=index, name=f"breast-cancer ({word})",
        )  # fmt: skip

    return Splits(part(kept, "train"), part(held, "test"), "breast-cancer", encoder, tuple(notes))


def _digits(test: float, seed: int) -> Splits:
    from sklearn.datasets import load_digits

    found: Any = load_digits()
    images = (found.images[..., None] / 16).astype(np.float32)
    kept, held = holdout(found.target, test, seed=seed)

    def part(index: np.ndarray, word: str) -> Dataset:
        return Dataset(
            images[index], found.target[index], kind="image", class_names=list("0123456789"), ids=index,
            name=f"digits ({word})",
        )  # fmt: skip

    return Splits(part(kept, "train"), part(held, "test"), "digits", None, ("grey values were divided by 16",))


SOURCES = (
    Source(
        "breast-cancer",
        "569 cell samples, 30 measurements in their own units: is the tumour malignant or benign? (Wisconsin, 1995)",
        "CC BY 4.0, doi:10.24432/C5DW2B",
        _breast_cancer,
    ),
    Source(
        "digits",
        "1,797 images of handwritten digits, 8x8 pixels of grey (Alpaydin and Kaynak, 1998)",
        "CC BY 4.0, doi:10.24432/C50P49",
        _digits,
    ),
)
"""Every built-in data set, in the order in which they are listed."""
