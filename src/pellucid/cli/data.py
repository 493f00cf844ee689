"""`pellucid data`: the built-in data sets, and what is in a file before anything is learned from it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from pellucid.cli.guard import guarded
from pellucid.cli.options import AsJson, Delimiter, Groups, Header, TargetColumn, Types


@guarded
def data(
    source: Annotated[
        str | None, typer.Argument(metavar="[SOURCE]", help="A built-in data set or a file, to look into it.")
    ] = None,
    target: TargetColumn = None,
    delimiter: Delimiter = None,
    header: Header = None,
    groups: Groups = None,
    types: Types = None,
    as_json: AsJson = False,
) -> None:
    """List the built-in data sets, or show what a file holds and how it will be read.

    [bold]Examples[/]

    \b
    pellucid data
    pellucid data breast-cancer
    pellucid data patients.csv
    pellucid data german.data --delimiter space --target -1

    A file may be delimited text (.csv, .tsv, .data, .txt, also gzipped), Parquet, or NPZ with arrays x and y. Empty
    cells, ?, NA and NaN are missing values. With --target it is shown as a model will get it.
    """
    from rich.console import Console

    from pellucid.cli import sources

    found: Any
    show: Any
    if source is None:
        found, show = _builtin(), _show_builtin
    elif target is None and not _knows_itself(source):
        found, show = _columns(Path(source), delimiter, header, types or []), _show_columns
    else:
        asked = sources.Asked(source, target, delimiter, header, groups=groups, types=tuple(types or ()))
        found, show = _splits(asked.load()), _show_splits
    if as_json:
        typer.echo(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        show(found, Console(highlight=False))


def _knows_itself(source: str) -> bool:
    """Whether the labels need no telling: a built-in set, an NPZ file, or nothing there is (the reader says so)."""
    return not Path(source).is_file() or source.removesuffix(".gz").endswith(".npz")


def _builtin() -> list[dict[str, str]]:
    from pellucid.data.builtin import SOURCES

    return [{"name": s.name, "description": s.description, "licence": s.licence} for s in SOURCES]


def _columns(path: Path, delimiter: str | None, header: bool | None, types: list[str]) -> list[dict[str, Any]]:
    import numpy as np

    from pellucid.cli.sources import pair
    from pellucid.data import encoding
    from pellucid.data.tables import read_table

    table = read_table(path, delimiter, header)
    columns, _ = encoding.fit(table, np.arange(len(table)), table.names, dict(map(pair, types)))
    return [
        {
            "column": c.name, "type": c.type, "rows": len(table), "missing": table.frame[c.name].null_count(),
            "different": table.frame[c.name].n_unique(), "first": _first(table.frame[c.name]),
        }
        for c in columns
    ]  # fmt: skip


def _first(cells: Any) -> list[str]:
    return [f"{cell:g}" if isinstance(cell, float) else str(cell) for cell in cells.drop_nulls().head(3)]


def _splits(splits: Any) -> dict[str, Any]:
    import numpy as np

    train = splits.train
    classes = {}
    if train.task == "classification":
        for part in splits:
            for number, times in zip(*np.unique(part.y, return_counts=True), strict=True):
                classes.setdefault(train.label(int(number)), []).append(int(times))
    several = isinstance(train.x, dict)
    return {
        "name": splits.name,
        "kind": train.kind,
        "task": train.task,
        "training_rows": len(train),
        "test_rows": len(splits.test),
        "inputs": {k: list(v.shape[1:]) for k, v in train.x.items()} if several else list(train.x.shape[1:]),
        "classes": classes,
        "columns": list(dict.fromkeys(train.columns or train.feature_names or ())),
        "notes": list(splits.notes),
    }


def _show_builtin(found: list[dict[str, str]], console: Any) -> None:
    from rich.table import Table

    table = Table("name", "what it is", "licence", box=None, padding=(0, 2, 0, 0))
    for item in found:
        table.add_row(f"[cyan]{item['name']}[/]", item["description"], item["licence"])
    console.print(table)
    console.print("\nOr a file of yours: [cyan]pellucid data patients.csv[/] shows its columns.")


def _show_columns(found: list[dict[str, Any]], console: Any) -> None:
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("column", "read as", "missing", "different", "for example"):
        table.add_column(heading, justify="right" if heading in ("missing", "different") else "left")
    for item in found:
        gone = f"{item['missing']:,}" if item["missing"] else "-"
        table.add_row(
            escape(item["column"]),
            item["type"],
            gone,
            f"{item['different']:,}",
            escape(", ".join(item["first"])),
        )
    console.print(table)
    console.print(f"\n{found[0]['rows']:,} rows. Say what to predict with --target COLUMN.")


def _show_splits(found: dict[str, Any], console: Any) -> None:
    from rich.markup import escape

    shape = found["inputs"]
    console.print(f"[bold]{escape(found['name'])}[/]: {found['kind']}, {found['task']}")
    console.print(
        f"{found['training_rows']:,} rows to learn from, {found['test_rows']:,} held out; inputs of shape {shape}"
    )
    for name, counts in found["classes"].items():
        console.print(f"  {escape(name)}: {' and '.join(f'{c:,}' for c in counts)}")
    if found["columns"]:
        console.print(f"learned from {escape(', '.join(found['columns']))}")
    for note in found["notes"]:
        console.print(f"note: {escape(note)}")
