"""Reading tables: delimited text and Parquet, every cell traced to its row in the file.

Text is read by one parser from the first byte to the last, so that a wrong row is named by the number an editor shows
(the header, where there is one, is row 1). Cells stay text here; what they mean is decided in `encoding`.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from pellucid.errors import InvalidOption, UnreadableFile
from pellucid.shapes import Array

MISSING = ("", "?", "na", "n/a", "nan", "null")
"""Cells that stand for "not known", in lower case."""

DELIMITERS = {"comma": ",", "tab": "\t", "semicolon": ";", "pipe": "|", "space": " ", "whitespace": " "}
"""Words for delimiters; a space stands for any run of spaces and tabs."""

_BATCH = 50_000  # rows that are held as Python objects at a time


@dataclass(frozen=True)
class Table:
    """Columns by name, where each row stands in its file, and the file's name for messages."""

    frame: Any
    rows: Array
    source: str

    @property
    def names(self) -> list[str]:
        """The columns' names, in order."""
        return list(self.frame.columns)

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, index: Array) -> Table:
        """Some of the rows."""
        return Table(self.frame[np.asarray(index)], self.rows[index], self.source)


def read_table(path: Path, delimiter: str | None = None, header: bool | None = None) -> Table:
    """Read delimited text (also gzipped) or Parquet.

    Args:
        path: The file; one that ends in `.parquet` or `.pq` is Parquet, all else is text.
        delimiter: What parts the cells of text: a character, or "comma", "tab", "semicolon", "pipe", "space" (any run of
            spaces and tabs). None finds it in the file.
        header: Whether the first row holds names; None decides by looking. Without names the columns are `column_1`, ...

    Raises:
        UnreadableFile: The file is missing, empty, not UTF-8, ragged or damaged, or names a column twice.
    """
    table = _read_parquet(path) if path.suffix in (".parquet", ".pq") else _read_text(path, delimiter, header)
    if not len(table):
        raise UnreadableFile(f"{path}: no rows of data")
    return table


# -- text ------------------------------------------------------------------------------------------------------------


def _read_text(path: Path, delimiter: str | None, header: bool | None) -> Table:
    text = _decoded(path)
    mark = _character(delimiter) if delimiter is not None else _guess_delimiter(text, path)
    records = _records(text, mark, path)
    first = list(islice(records, 64))
    if not first:
        raise UnreadableFile(f"{path}: the file is empty")
    named = _looks_like_header([cells for _, cells in first]) if header is None else header
    width = len(first[0][1])
    names = _names(path, first[0][1]) if named else [f"column_{i + 1}" for i in range(width)]
    return _collect(path, names, first[1 if named else 0 :], records)


def _decoded(path: Path) -> str:
    raw = read_bytes(path)
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        row = raw.count(b"\n", 0, problem.start) + 1
        byte = raw[problem.start]
        raise UnreadableFile(
            f"{path}: row {row} is not UTF-8 text (byte 0x{byte:02x}); save the file as UTF-8 and try again"
        ) from None


def read_bytes(path: Path) -> bytes:
    """The whole file, unpacked if it is gzipped."""
    try:
        raw = path.read_bytes()
        return gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
    except (EOFError, gzip.BadGzipFile, zlib.error) as problem:
        raise UnreadableFile(f"{path}: the gzip file is damaged or cut short: {problem}") from None
    except OSError as problem:
        raise UnreadableFile(f"{path}: cannot be read: {problem.strerror or problem}") from None


def _character(delimiter: str) -> str:
    mark = DELIMITERS.get(delimiter.lower(), "\t" if delimiter == "\\t" else delimiter)
    if len(mark) != 1:
        raise InvalidOption(f"delimiter: expected one character or one of {', '.join(DELIMITERS)}, got {delimiter!r}")
    return mark


def _records(text: str, mark: str, path: Path) -> Iterator[tuple[int, list[str]]]:
    """Each record with the row it starts on; empty lines are passed over."""
    csv.field_size_limit(2**31 - 1)
    lines: Iterable[str] = io.StringIO(text, newline="")
    if mark == " ":
        lines = (re.sub(r"[ \t]+", " ", line.strip(" \t\r\n")) + "\n" for line in lines)
    reader = csv.reader(lines, delimiter=mark, skipinitialspace=True)
    row = 1
    try:
        for cells in reader:
            if cells and any(map(str.strip, cells)):
                yield row, cells
            row = reader.line_num + 1
    except csv.Error as problem:
        raise UnreadableFile(f"{path}: row {row} cannot be read: {problem}") from None


def _guess_delimiter(text: str, path: Path) -> str:
    """The mark that cuts the first rows into equally many cells, and the most of them."""
    if path.name.removesuffix(".gz").endswith((".tsv", ".tab")):
        return "\t"
    best, best_score = ",", (0.0, 0)
    for mark in (",", "\t", ";", "|", " "):
        widths = Counter(len(cells) for _, cells in islice(_records(text, mark, path), 50))
        if not widths:
            continue
        width, times = widths.most_common(1)[0]
        score = (
            round(times / widths.total(), 1),
            min(width, 2),
        )  # agreement first, then whether it cuts at all
        if width > 1 and score > best_score:
            best, best_score = mark, score
    return best


def _looks_like_header(rows: Sequence[Sequence[str]]) -> bool:
    """Names are text, each its own, over columns that hold something else; two all-text rows are taken for names."""
    names = [cell.strip() for cell in rows[0]]
    filled = [name for name in names if name]
    if any(_is_number(name) or name.lower() in MISSING for name in filled):
        return False
    below = [row for row in rows[1:] if len(row) == len(names)]
    if any(_is_number(cell.strip()) for row in below for cell in row):
        return True
    if len(set(filled)) < len(filled):
        return False
    return not any(name == row[i].strip() for i, name in enumerate(names) if name for row in below)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _names(path: Path, cells: Sequence[str]) -> list[str]:
    names = [cell.strip() or f"column_{i + 1}" for i, cell in enumerate(cells)]
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        raise UnreadableFile(f"{path}: row 1 names a column more than once: {', '.join(map(repr, twice))}")
    return names


def _collect(
    path: Path,
    names: Sequence[str],
    first: Sequence[tuple[int, list[str]]],
    rest: Iterator[tuple[int, list[str]]],
) -> Table:
    import polars

    parts, rows, batch = [], [], list(first)
    while batch:
        for row, cells in batch:
            if len(cells) != len(names):
                raise _ragged(path, row, cells, names)
        rows += [row for row, _ in batch]
        columns = zip(*(cells for _, cells in batch), strict=True)
        parts.append(polars.DataFrame([polars.Series(n, c, dtype=polars.String) for n, c in zip(names, columns)]))
        batch = list(islice(rest, _BATCH))
    if not parts:
        raise UnreadableFile(f"{path}: row 1 names the columns, but no rows of data follow")
    stripped = polars.all().str.strip_chars()
    known = polars.when(stripped.str.to_lowercase().is_in(list(MISSING))).then(None).otherwise(stripped)
    return Table(polars.concat(parts).select(known.name.keep()), np.array(rows), str(path))


def _ragged(path: Path, row: int, cells: Sequence[str], names: Sequence[str]) -> UnreadableFile:
    last = f"after column {names[len(cells) - 1]!r}" if len(cells) < len(names) else f"beyond column {names[-1]!r}"
    return UnreadableFile(
        f"{path}: row {row} has {len(cells)} cells {last}, expected {len(names)}; "
        "a cell that holds the delimiter needs quotes, and another delimiter can be given"
    )


# -- Parquet ---------------------------------------------------------------------------------------------------------


def _read_parquet(path: Path) -> Table:
    import polars

    try:
        frame = polars.read_parquet(path)
    except OSError as problem:
        raise UnreadableFile(f"{path}: cannot be read: {problem.strerror or problem}") from None
    except Exception as problem:  # polars has one error class for each way a file can be broken
        raise UnreadableFile(f"{path}: not a readable Parquet file, damaged or cut short: {problem}") from None
    return Table(
        frame.select([_plain(path, frame[name]) for name in frame.columns]),
        np.arange(1, len(frame) + 1),
        str(path),
    )


def _plain(path: Path, column: Any) -> Any:
    """A Parquet column as text, truth values or 64-bit floats; dates become days since 1970."""
    import polars

    kind = column.dtype
    if kind.is_numeric():
        return column.cast(polars.Float64).fill_nan(None)
    if kind == polars.Boolean:
        return column
    if kind in (polars.Date, polars.Datetime):
        return column.cast(polars.Datetime("us")).dt.epoch("us").cast(polars.Float64) / 86_400e6
    if kind in (polars.String, polars.Categorical, polars.Enum):
        text = column.cast(polars.String).str.strip_chars()
        return text.set(text.str.to_lowercase().is_in(list(MISSING)), None)
    if kind == polars.Null:
        return column.cast(polars.Float64)
    raise UnreadableFile(f"{path}: column {column.name!r} holds {kind}, expected numbers, text, truth values or dates")
