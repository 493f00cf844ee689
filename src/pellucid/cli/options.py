"""Options that several commands share, each declared once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Source = Annotated[
    str,
    typer.Argument(metavar="SOURCE", help="A built-in data set (see `pellucid data`), or a CSV, Parquet or NPZ file."),
]
ModelFile = Annotated[
    Path | None,
    typer.Option(
        "--model",
        "-m",
        metavar="FILE",
        help="A saved Keras model (.keras, .h5). Without it a small one is trained.",
    ),
]
TargetColumn = Annotated[
    str | None,
    typer.Option(
        "--target",
        "-t",
        metavar="COLUMN",
        help="The column to predict, by name or by position: -1 is the last.",
    ),
]
Delimiter = Annotated[
    str | None,
    typer.Option(
        metavar="MARK",
        help="What parts the cells of a text file: a character, or comma, tab, semicolon, pipe, space.",
    ),
]
Header = Annotated[
    bool | None,
    typer.Option("--header/--no-header", help="Whether the first row names the columns.", show_default="found"),
]
TestFile = Annotated[
    Path | None,
    typer.Option("--test", metavar="FILE", help="Data to test on. Without it a quarter of the rows is held out."),
]
Groups = Annotated[
    str | None,
    typer.Option(metavar="COLUMN", help="A column of what belongs together, such as a patient: never split."),
]
Types = Annotated[
    list[str] | None,
    typer.Option("--type", metavar="COLUMN=TYPE", help="What a column holds, where it does not tell: ZIP=categorical."),
]
Seed = Annotated[int, typer.Option(min=0, help="The same seed gives the same numbers.")]
TrustModel = Annotated[
    bool,
    typer.Option(
        "--trust-model",
        help="Load a model file that runs code of its author (Lambda layers). Only if you know them.",
    ),
]
AsJson = Annotated[
    bool, typer.Option("--json", help="Print machine-readable JSON on the standard output, and nothing else.")
]
