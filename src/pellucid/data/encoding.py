"""From a table's cells to numbers: decided once, on the training rows, and applied to every later file alike."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pellucid.core.record import Value
from pellucid.core.registry import unknown
from pellucid.data.tables import Table
from pellucid.errors import InvalidOption, UnknownName, UnreadableFile
from pellucid.shapes import Array, Floats

TYPES = ("numeric", "boolean", "categorical", "constant", "identifier")
"""What a column can be. The last two tell nothing of a new row and are left out."""

TRUTH = {"true": 1.0, "yes": 1.0, "t": 1.0, "y": 1.0, "false": 0.0, "no": 0.0, "f": 0.0, "n": 0.0}
"""Words for the two values of a boolean column, in lower case."""

MOST_CATEGORIES = 30
"""Categories that get a column of their own; rarer ones share `(other)`."""

NUMERIC_SHARE = 0.9
"""From this share of numbers on, a column is numeric and text in it is a mistake."""

_FEW = 20  # rows below which values that never repeat are no sign of an identifier


@dataclass(frozen=True, eq=False)
class Column(Value):
    """How one original column becomes numbers.

    Attributes:
        name: The column's name in the file.
        type: One of `TYPES`.
        fill: What stands for a missing number: the median of the training rows.
        missing: Whether values are missing among the training rows: a column of its own then says where.
        categories: The categories of the training rows, the most frequent first.
        other: Whether rarer categories share a column `(other)`; one never seen in training then goes there too, and
            otherwise leaves all columns at zero.
    """

    name: str
    type: str
    fill: float = 0.0
    missing: bool = False
    categories: tuple[str, ...] = ()
    other: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the encoded columns."""
        if self.type == "categorical":
            extra = ("(other)",) * self.other + ("(missing)",) * self.missing
            return tuple(f"{self.name}={category}" for category in (*self.categories, *extra))
        if self.type in ("numeric", "boolean"):
            return (self.name, *((f"{self.name} is missing",) * self.missing))
        return ()

    def encode(self, table: Table, notes: list[str]) -> Floats:
        """The encoded columns (B, F) of a table; what is worth knowing goes into `notes`."""
        cells = table.frame[self.name]
        return self._one_hot(cells, table, notes) if self.type == "categorical" else self._numeric(cells, table, notes)

    def _numeric(self, cells: Any, table: Table, notes: list[str]) -> Floats:
        values = numbers(table, self.name, self.type)
        gone = np.isnan(values)
        if gone.any() and not self.missing:
            notes.append(
                f"{table.source}: {gone.sum()} values of {self.name!r}, never missing in training, became {self.fill:g}"
            )
        filled = np.where(gone, self.fill, values)
        return np.column_stack([filled, gone] if self.missing else [filled])

    def _one_hot(self, cells: Any, table: Table, notes: list[str]) -> Floats:
        text = as_text(cells)
        known = {category: i for i, category in enumerate(self.categories)}
        gone = text.is_null().to_numpy()
        codes = text.replace_strict(known, default=-1, return_dtype=int).fill_null(-1).to_numpy()
        strange = (codes < 0) & ~gone
        if self.other:
            codes = np.where(strange, len(known), codes)
        elif strange.any():
            seen = ", ".join(map(repr, text.filter(strange).unique().sort().head(3)))
            notes.append(
                f"{table.source}: {strange.sum()} values of {self.name!r} are of no category seen in training ({seen})"
            )
        if self.missing:
            codes = np.where(gone, len(known) + self.other, codes)
        elif gone.any():
            notes.append(
                f"{table.source}: {gone.sum()} values of {self.name!r}, never missing in training, are of no category"
            )
        return (codes[:, None] == np.arange(len(self.names))).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Encoder(Value):
    """How a table becomes the inputs of a model: fitted on training rows, then the same for every file.

    Attributes:
        columns: One `Column` for each column of the file that is not the target, a group or an id.
        target: The target column's name.
        classes: The class names in the order of their numbers; empty for regression.

    Example:
        >>> import pellucid as pl
        >>> encoder = pl.data.load("breast-cancer").encoder
        >>> encoder.columns[0].name, encoder.columns[0].type, encoder.classes
        ('mean radius', 'numeric', ('malignant', 'benign'))
    """

    columns: tuple[Column, ...]
    target: str
    classes: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the encoded columns (F,)."""
        return tuple(name for column in self.columns for name in column.names)

    @property
    def origins(self) -> tuple[str, ...]:
        """The original column (F,) that each encoded column came from."""
        return tuple(column.name for column in self.columns for _ in column.names)

    def encode(self, table: Table, notes: list[str]) -> Floats:
        """The inputs (B, F) of a table.

        Raises:
            UnreadableFile: A column is missing, or holds text where numbers belong; names row and column.
        """
        used = [column for column in self.columns if column.names]
        require(table, [column.name for column in used])
        parts = [column.encode(table, notes) for column in used]
        return np.concatenate(parts, axis=1).astype(np.float32)

    def labels(self, table: Table) -> Array:
        """The target (B,) of a table: class numbers, or real numbers.

        Raises:
            UnreadableFile: The column or a value is missing, or a class was never seen in training.
        """
        require(table, [self.target])
        require_filled(table, self.target)
        if not self.classes:
            return numbers(table, self.target, "numeric")
        text = class_text(table, self.target)
        codes = text.replace_strict(
            {name: i for i, name in enumerate(self.classes)}, default=-1, return_dtype=int
        ).to_numpy()
        if (codes < 0).any():
            i = int(np.argmax(codes < 0))
            raise UnreadableFile(
                f"{table.source}: row {table.rows[i]}, column {self.target!r}: the class {text[i]!r} does not occur in "
                f"training, which has {', '.join(map(repr, self.classes[:10]))}"
            )
        return codes


def fit(
    table: Table, training: Array, features: Sequence[str], types: Mapping[str, str]
) -> tuple[tuple[Column, ...], list[str]]:
    """The columns' encodings and notes on what was left out.

    Types are decided on the whole table, so that a wrong cell is found wherever it stands; medians and categories come
    from the `training` rows alone.

    Raises:
        UnreadableFile: Text in a numeric column, infinity, or no column that is of use.
    """
    for name, kind in types.items():
        if name not in table.names:
            raise UnknownName(unknown("column", name, table.names))
        if kind not in TYPES:
            raise InvalidOption(f"types: column {name!r}: expected one of {', '.join(TYPES)}, got {kind!r}")
    part = table.take(training)
    columns = tuple(_fitted(part, name, types.get(name) or _type(table, name), name in types) for name in features)
    if not any(column.names for column in columns):
        raise UnreadableFile(f"{table.source}: no column to learn from: all are constant, identifiers or the target")
    notes = [
        f"column {column.name!r} was left out: it {'never changes' if column.type == 'constant' else 'only names the rows'}"
        for column in columns
        if not column.names
    ]
    return columns, notes


def _fitted(part: Table, name: str, kind: str, asked: bool) -> Column:
    if kind in ("constant", "identifier"):
        return Column(name, kind)
    cells = part.frame[name]
    if cells.n_unique() < 2 and not asked:
        return Column(name, "constant")
    missing = cells.null_count() > 0
    if kind == "categorical":
        counts = as_text(cells).drop_nulls().value_counts().rows()
        ranked = [category for category, _ in sorted(counts, key=lambda pair: (-pair[1], pair[0]))]
        return Column(name, kind, 0.0, missing, tuple(ranked[:MOST_CATEGORIES]), len(ranked) > MOST_CATEGORIES)
    values = numbers(part, name, kind)
    fill = float(np.nanmedian(values)) if not np.isnan(values).all() else 0.0
    return Column(name, kind, fill, missing)


def _type(table: Table, name: str) -> str:
    """What a column holds, judged by all of its cells."""
    import polars

    cells = table.frame[name]
    known = cells.drop_nulls()
    if cells.n_unique() < 2:
        return "constant"
    if known.dtype == polars.Boolean:
        return "boolean"
    if known.dtype == polars.String:
        lower = known.str.to_lowercase()
        if len(known) and lower.is_in(list(TRUTH)).all():
            return "boolean"
        if known.cast(polars.Float64, strict=False).is_not_null().mean() < NUMERIC_SHARE:
            free = len(known) >= _FEW and known.n_unique() > NUMERIC_SHARE * len(known)
            return "identifier" if free else "categorical"
    return "identifier" if _is_running(name, numbers(table, name, "numeric")) else "numeric"


def _is_running(name: str, values: Floats) -> bool:
    """Whether whole numbers only count or name the rows: one after another, or never repeated under an id's name."""
    if len(values) < _FEW or np.isnan(values).any() or np.any(values % 1):
        return False
    words = name.lower().replace("-", "_").split("_")
    named = {"id", "index", "uuid", "key"} & {words[0], words[-1]} and len(np.unique(values)) == len(values)
    return bool(np.all(np.diff(values) == 1) or named)


# -- cells -----------------------------------------------------------------------------------------------------------


def numbers(table: Table, name: str, kind: str) -> Floats:
    """A column as 64-bit floats, NaN where missing.

    Raises:
        UnreadableFile: A cell is no finite number (or no truth value); names its row.
    """
    import polars

    cells = table.frame[name]
    if cells.dtype == polars.String and kind == "boolean":
        found = cells.str.to_lowercase().replace_strict(TRUTH, default=None, return_dtype=polars.Float64)
    else:
        found = cells.cast(polars.Float64, strict=False)
    values = found.to_numpy().astype(np.float64)
    wrong = (np.isnan(values) & cells.is_not_null().to_numpy()) | np.isinf(values)
    if wrong.any():
        raise _wrong_cells(table, name, kind, np.flatnonzero(wrong))
    return values


def _wrong_cells(table: Table, name: str, kind: str, at: Array) -> UnreadableFile:
    what = "true or false" if kind == "boolean" else "a finite number"
    others = f" ({len(at)} such cells; the next in rows {_listed(table.rows[at[1:]])})" if len(at) > 1 else ""
    return UnreadableFile(
        f"{table.source}: row {table.rows[at[0]]}, column {name!r}: expected {what}, got {table.frame[name][int(at[0])]!r}"
        f"{others}; correct the file, leave the cell empty if the value is unknown, or say that the column is "
        f'categorical: types={{{name!r}: "categorical"}}'
    )


def _listed(rows: Iterable[Any], most: int = 5) -> str:
    rows = [str(row) for row in rows]
    return ", ".join(rows[:most]) + (", ..." if len(rows) > most else "")


def as_text(cells: Any) -> Any:
    """Cells as text, whole numbers without a decimal point."""
    import polars

    if cells.dtype == polars.Float64:
        whole = (cells.drop_nulls() % 1 == 0).all()
        return cells.cast(polars.Int64).cast(polars.String) if whole else cells.cast(polars.String)
    return cells.cast(polars.String)


def class_text(table: Table, name: str) -> Any:
    """A target column as class names; 1, 1.0 and 1e0 are one class."""
    import polars

    cells = table.frame[name]
    if cells.dtype == polars.String:
        found = cells.cast(polars.Float64, strict=False)
        if found.null_count() == cells.null_count():
            cells = found
    return as_text(cells)


def require(table: Table, names: Sequence[str]) -> None:
    """Raise if a column is missing from the table; the nearest names are offered."""
    for name in names:
        if name not in table.names:
            raise UnreadableFile(f"{table.source}: {unknown('column', name, table.names)}")


def require_filled(table: Table, name: str) -> None:
    """Raise if a cell of the column is missing; names the rows."""
    gone = np.flatnonzero(table.frame[name].is_null().to_numpy())
    if len(gone):
        raise UnreadableFile(
            f"{table.source}: column {name!r} is empty in {len(gone)} rows ({_listed(table.rows[gone])}); "
            "drop those rows, since nothing can be learned or tested without the answer"
        )
