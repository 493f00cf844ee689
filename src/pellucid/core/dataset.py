"""Data with the words a person needs to read about it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pellucid.core.record import Value
from pellucid.errors import InvalidInput
from pellucid.shapes import Array, Inputs

KINDS = ("tabular", "image", "text", "sequence", "audio", "video")


@dataclass(frozen=True, eq=False)
class Dataset(Value):
    """Examples, labels and names.

    Args:
        x: Inputs, examples first: (B, F) for a table, (B, H, W, C) for images, (B, T) tokens, (B, T, F) sequences,
            (B, T, H, W, C) videos; or a dict of such arrays for a model with several inputs.
        y: Labels (B,): whole numbers for classes, real numbers for regression. None if unknown.
        kind: "tabular", "image", "text", "sequence", "audio" or "video"; guessed from the shape of `x` if None.
        feature_names: A name for each column of a table (F,).
        class_names: A name for each class (K,).
        groups: An identifier (B,) shared by examples that belong together (a patient, a track): never split.
        ids: An identifier (B,) of each example.
        columns: For a table whose columns were encoded, the original column (F,) that each came from; columns of
            one origin are hidden and shuffled together.
        vocabulary: For a text, the word of each token number (V,): `vocabulary[7]` is the word of token 7, and
            `vocabulary[0]` that of padding.
        name: What the data are called.

    Raises:
        InvalidInput: Lengths that differ, no examples, names that do not fit, or tokens that have no word.

    Example:
        >>> import numpy as np, pellucid as pl
        >>> data = pl.Dataset(np.eye(3), [0, 1, 1], feature_names=["a", "b", "c"], class_names=["no", "yes"])
        >>> len(data), data.kind, data.task
        (3, 'tabular', 'classification')
    """

    x: Any
    y: Any = None
    kind: str | None = None
    feature_names: Sequence[str] | None = None
    class_names: Sequence[str] | None = None
    groups: Any = None
    ids: Any = None
    columns: Sequence[str] | None = None
    name: str = ""
    vocabulary: Sequence[str] | None = None

    def __post_init__(self) -> None:
        put = lambda name, value: object.__setattr__(self, name, value)  # noqa: E731
        put("x", {k: np.asarray(v) for k, v in self.x.items()} if isinstance(self.x, Mapping) else np.asarray(self.x))
        for name in ("y", "groups", "ids"):
            if (value := getattr(self, name)) is not None:
                put(name, np.asarray(value))
        for name in ("feature_names", "class_names", "columns", "vocabulary"):
            if (value := getattr(self, name)) is not None:
                put(name, tuple(map(str, value)))
        put("kind", self.kind or ("text" if self.vocabulary is not None else _guess_kind(self.x)))
        self._check()

    def _check(self) -> None:
        if self.kind not in KINDS:
            raise InvalidInput(f"kind: expected one of {', '.join(KINDS)}, got {self.kind!r}")
        lengths = {f"x[{k!r}]": len(v) for k, v in self.x.items()} if isinstance(self.x, dict) else {"x": len(self.x)}
        lengths |= {n: len(v) for n in ("y", "groups", "ids") if (v := getattr(self, n)) is not None}
        if len(set(lengths.values())) > 1:
            told = ", ".join(f"{name} has {count}" for name, count in lengths.items())
            raise InvalidInput(f"every part of a dataset needs the same number of examples, but {told}")
        if not len(self):
            raise InvalidInput("the dataset is empty: expected at least one example")
        if self.y is not None and self.y.ndim != 1:
            hint = "y[:, 0]" if self.y.shape[1:] == (1,) else "class numbers, not one-hot rows"
            raise InvalidInput(f"y: expected labels of shape (B,), got {self.y.shape}; give {hint}")
        width = None if isinstance(self.x, dict) else self.x.shape[-1] if self.x.ndim > 1 else None
        for name in ("feature_names", "columns"):
            names = getattr(self, name)
            if names is not None and self.kind == "tabular" and len(names) != width:
                raise InvalidInput(f"{name}: expected {width} names, one a column of x, got {len(names)}")
        if self.vocabulary is not None:
            self._check_words(len(self.vocabulary))

    def _check_words(self, count: int) -> None:
        """Refuse words for what is no text, and tokens that have none."""
        if self.kind != "text":
            raise InvalidInput(
                f'vocabulary: gives the words of token numbers, so kind must be "text", got {self.kind!r}'
            )
        whole = [a for a in self.x.values() if a.dtype.kind in "iu"] if isinstance(self.x, dict) else [self.x]
        for tokens in (a for a in whole if a.size):
            if tokens.min() < 0 or tokens.max() >= count or np.any(np.mod(tokens, 1)):
                found = f"{tokens.min():g} to {tokens.max():g}" if not np.any(np.mod(tokens, 1)) else "fractions"
                raise InvalidInput(
                    f"vocabulary: has the words of {count} tokens, numbered from 0, but x holds {found}; give a word for each"
                )

    def __len__(self) -> int:
        return len(next(iter(self.x.values())) if isinstance(self.x, dict) else self.x)

    @property
    def task(self) -> str:
        """ "classification" if labels are whole numbers (or text) with at most a third as many values as examples."""
        if self.y is None:
            return "unknown"
        if self.class_names is not None or self.y.dtype.kind in "biuUSO":
            return "classification"
        whole = bool(np.all(np.mod(self.y, 1) == 0)) if np.isfinite(self.y).all() else False
        return "classification" if whole and len(np.unique(self.y)) <= max(2, len(self.y) // 3) else "regression"

    def take(self, index: Any) -> Dataset:
        """The examples at `index` (numbers, a slice or a mask), names kept."""
        pick = lambda a: None if a is None else a[index]  # noqa: E731
        x = {k: v[index] for k, v in self.x.items()} if isinstance(self.x, dict) else self.x[index]
        return dataclasses.replace(self, x=x, y=pick(self.y), groups=pick(self.groups), ids=pick(self.ids))

    @property
    def described(self) -> dict[str, Any]:
        """Names of what is in it, which a record keeps for reading and drawing."""
        return {name: getattr(self, name) for name in ("feature_names", "class_names", "columns", "vocabulary")}

    def label(self, number: int) -> str:
        """The name of a class, or its number."""
        names = self.class_names
        return names[number] if names is not None and 0 <= number < len(names) else str(number)


def _guess_kind(x: Inputs) -> str:
    if isinstance(x, Mapping):
        return "tabular"
    if x.ndim == 2 or x.ndim == 1:
        return "tabular"
    return {4: "image", 5: "video"}.get(x.ndim, "sequence")


def as_dataset(data: Any, labels: Array | None = None) -> Dataset:
    """A `Dataset` as it is, an `(x, y)` pair or bare inputs made into one."""
    if isinstance(data, Dataset):
        return data
    if isinstance(data, tuple) and len(data) == 2:
        return Dataset(*data)
    if data is None:
        raise InvalidInput("expected a Dataset or a pair (x, y), got None")
    if isinstance(data, tuple | list) and len({np.shape(part) for part in data}) > 1:
        raise InvalidInput(
            f"expected a Dataset or a pair (x, y), got a {type(data).__name__} of {len(data)} parts of different shapes; "
            "weights of examples go with fit={'sample_weight': w}, several inputs in a dict"
        )
    return Dataset(data, labels)
