"""The one way in: a built-in name or a file becomes two data sets."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pellucid.core.dataset import KINDS, Dataset
from pellucid.core.randomness import check_seed
from pellucid.core.registry import unknown
from pellucid.core.splitting import holdout
from pellucid.data import encoding
from pellucid.data.arrays import Choice, load_arrays
from pellucid.data.builtin import SOURCES, Source
from pellucid.data.split import Splits
from pellucid.data.tables import Table, read_table
from pellucid.errors import InvalidInput, InvalidOption, UnknownName, UnreadableFile
from pellucid.shapes import Array

MOST_CLASSES = 20
"""Up to this many different whole numbers a target is taken for classes."""

TASKS = (None, "classification", "regression")


def names() -> tuple[Source, ...]:
    """The built-in data sets: name, description, licence.

    Example:
        >>> [source.name for source in names()]
        ['breast-cancer', 'digits']
    """
    return SOURCES


def load(
    name_or_path: str | Path,
    *,
    target: str | int | None = None,
    delimiter: str | None = None,
    header: bool | None = None,
    groups: str | None = None,
    ids: str | None = None,
    kind: str | None = None,
    task: str | None = None,
    types: Mapping[str, str] | None = None,
    test: float | str | Path = 0.25,
    seed: int = 0,
) -> Splits:
    """Load data and part it into what is learned from and what is held out.

    Tables become numbers column by column: numeric columns stay in their own units (missing: the median of the
    training rows, and a column that says where), yes-or-no columns become 0 and 1, text becomes one column a category
    (the 30 most frequent; missing is a category of its own). Columns that never change or only name the rows are left
    out. `Splits.notes` says what was done; `Splits.encoder` does the same to a later file.

    Args:
        name_or_path: A built-in name (see `names`), or a file: delimited text (`.csv`, `.tsv`, `.data`, `.txt`, also
            gzipped), Parquet (`.parquet`, `.pq`), or NPZ with arrays x and y, or x_train, y_train, x_test, y_test.
        target: The column to predict, by name or by position (-1 is the last); for NPZ the name of the labels' array.
            Text, truth values and up to 20 different whole numbers are classes, all else is a quantity.
        delimiter: What parts the cells of text: a character or "comma", "tab", "semicolon", "pipe", "space"; None finds it.
        header: Whether the first row holds the columns' names; None decides by looking.
        groups: The column (array) of what belongs together, such as a patient: never torn apart by the split, not learned from.
        ids: The column that names each row, not learned from; without it rows are named by their number in the file.
        kind: "tabular", "image", "text", "sequence" or "audio", where an NPZ file's shapes do not tell.
        task: "classification" or "regression", where the target does not tell.
        types: What columns hold, where they do not tell: {"ZIP": "categorical"}; see `encoding.TYPES`.
        test: The share of rows to hold out, or a second file to test on, encoded exactly like the first.
        seed: Decides which rows are held out.

    Raises:
        UnknownName: No such built-in name, file or target column; the nearest are offered.
        UnreadableFile: A file that is missing, damaged, ragged, or holds what it should not; names row and column.
        InvalidInput: No target, fewer than two rows, or a target that is the same in all of them.

    Example:
        >>> import pellucid as pl
        >>> data = pl.data.load("digits", test=0.5, seed=1)
        >>> data.train.x.shape, data.test.kind
        ((899, 8, 8, 1), 'image')

    Limits:
        Whole numbers that are codes (1 = typical angina, 2 = ...) look like quantities: say so with `types`. Dates in
        text are taken for categories.
    """
    check_seed(seed)
    if kind is not None and kind not in KINDS:
        raise InvalidOption(f"kind: expected one of {', '.join(KINDS)}, got {kind!r}")
    if task not in TASKS:
        raise InvalidOption(f"task: expected 'classification', 'regression' or None, got {task!r}")
    held = _test_option(test)
    for source in SOURCES:
        if source.name == str(name_or_path):
            if isinstance(held, Path):
                raise InvalidOption(
                    f"test: {source.name} is built in and parts itself: give a share of rows, not a file"
                )
            return source.load(held, seed)
    path = _existing(Path(name_or_path))
    if path.name.removesuffix(".gz").endswith(".npz"):
        return load_arrays(path, Choice(None if target is None else str(target), groups, kind), held, seed)
    if path.suffix in (".pkl", ".pickle", ".joblib", ".npy"):
        raise UnreadableFile(f"{path}: {path.suffix} files are not read; save a table as CSV or Parquet, arrays as NPZ")
    return _Reading(path, target, delimiter, header, groups, ids, task, types or {}).splits(held, seed)


def _test_option(test: float | str | Path) -> float | Path:
    if isinstance(test, str | Path):
        return _existing(Path(test))
    if isinstance(test, bool) or not isinstance(test, int | float) or not 0 < test < 1:
        raise InvalidOption(f"test: expected a share of rows between 0 and 1 or a file, got {test!r}")
    return float(test)


def _existing(path: Path) -> Path:
    if path.is_dir():
        raise UnreadableFile(f"{path} is a folder, expected a file")
    if path.exists():
        return path
    if not path.suffix and path.parent == Path("."):
        raise UnknownName(unknown("data set", str(path), [s.name for s in SOURCES]) + "; or give the path of a file")
    beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
    near = difflib.get_close_matches(path.name, beside, n=3)
    raise UnreadableFile(f"{path}: no such file" + (f"; did you mean {' or '.join(map(repr, near))}?" if near else ""))


@dataclass(frozen=True)
class _Reading:
    """One table on its way to two data sets."""

    path: Path
    target: str | int | None
    delimiter: str | None
    header: bool | None
    groups: str | None
    ids: str | None
    task: str | None
    types: Mapping[str, str]
    notes: list[str] = field(default_factory=list)

    def splits(self, held: float | Path, seed: int) -> Splits:
        table = read_table(self.path, self.delimiter, self.header)
        target = self._target(table)
        classes, labels = self._answers(table, target)
        if isinstance(held, Path):
            kept, out = np.arange(len(table)), None
        else:
            groups = self._cells(table, self.groups)
            kept, out = holdout(labels, held, groups=groups, classes=bool(classes), seed=seed)
        encoder = self._encoder(table, kept, target, classes)
        if out is None:
            other = read_table(held, self.delimiter, self.header)  # type: ignore[arg-type]
            self._note_extra(table, other)
        else:
            other = table.take(out)
        name = self.path.name.removesuffix(".gz").rsplit(".", 1)[0]
        tables = ((table.take(kept), "train"), (other, "test"))
        parts = [self._dataset(encoder, part, f"{name} ({word})") for part, word in tables]
        if out is None and self.ids is None:  # row 3 of one file is not row 3 of another
            parts = [
                dataclasses.replace(part, ids=np.char.add(f"{source.source} ", part.ids.astype(str)))
                for part, source in zip(parts, (table, other), strict=True)
            ]
        return Splits(parts[0], parts[1], name, encoder, tuple(self.notes))

    def _target(self, table: Table) -> str:
        names = table.names
        if self.target is None:
            raise InvalidInput(f"target: say which column to predict; {self.path} has {', '.join(names)}")
        if isinstance(self.target, int):
            if not -len(names) <= self.target < len(names):
                raise UnknownName(
                    f"target: no column number {self.target}; {self.path} has {len(names)} columns, counted from 0"
                )
            return names[self.target]
        for option in (self.target, self.groups, self.ids):
            if option is not None and option not in names:
                raise UnknownName(f"{self.path}: {unknown('column', option, names)}")
        return self.target

    def _answers(self, table: Table, target: str) -> tuple[tuple[str, ...], Array]:
        """The class names (none for regression) and the labels (B,) of every row."""
        encoding.require_filled(table, target)
        if len(table) < 2:
            raise InvalidInput(
                f"{self.path}: one row of data; at least two are needed to learn from one and test on another"
            )
        names = self._classes(table, target)
        labels = encoding.Encoder((), target, names).labels(table)
        if len(np.unique(labels)) < 2:
            raise InvalidInput(
                f"{self.path}: column {target!r} is the same in every row, so there is nothing to predict"
            )
        return names, labels

    def _classes(self, table: Table, target: str) -> tuple[str, ...]:
        text = encoding.class_text(table, target).unique().to_list()
        try:
            values = sorted(text, key=float)
        except ValueError:
            if self.task == "regression" or len(text) > max(MOST_CLASSES, encoding.NUMERIC_SHARE * len(table)):
                encoding.numbers(table, target, "numeric")  # names the first cell that is no number
            return tuple(sorted(text))
        few = len(values) <= MOST_CLASSES and all(float(v).is_integer() for v in values)
        if self.task == "regression" or (self.task is None and not few):
            return ()
        if self.task is None and len(values) > 2:
            self.notes.append(
                f"the {len(values)} whole numbers in {target!r} were taken for classes, not for a quantity"
            )
        return tuple(values)

    def _encoder(self, table: Table, kept: Array, target: str, classes: Sequence[str]) -> encoding.Encoder:
        apart = {target, self.groups, self.ids}
        columns, notes = encoding.fit(table, kept, [n for n in table.names if n not in apart], self.types)
        self.notes.extend(notes)
        return encoding.Encoder(columns, target, tuple(classes))

    def _cells(self, table: Table, name: str | None) -> Array | None:
        if name is None:
            return None
        encoding.require(table, [name])
        encoding.require_filled(table, name)
        return encoding.as_text(table.frame[name]).to_numpy().astype(str)

    def _dataset(self, encoder: encoding.Encoder, table: Table, name: str) -> Dataset:
        ids = self._cells(table, self.ids)
        return Dataset(
            encoder.encode(table, self.notes), encoder.labels(table), kind="tabular", feature_names=encoder.names,
            class_names=encoder.classes or None, columns=encoder.origins, groups=self._cells(table, self.groups),
            ids=table.rows if ids is None else ids, name=name,
        )  # fmt: skip

    def _note_extra(self, table: Table, other: Table) -> None:
        extra = [name for name in other.names if name not in table.names]
        if extra:
            self.notes.append(f"{other.source}: columns unknown in training were left out: {', '.join(extra)}")
