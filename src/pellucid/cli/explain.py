"""`pellucid explain`: why the model gives these answers, with the error of every number."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from pellucid.cli.guard import guarded
from pellucid.cli.options import (
    AsJson,
    Delimiter,
    Header,
    ModelFile,
    Seed,
    Source,
    TargetColumn,
    TestFile,
    TrustModel,
    Types,
)


@guarded
def explain(
    source: Source,
    model: ModelFile = None,
    method: Annotated[
        str, typer.Option(metavar="NAME", help="An explain method; see `pellucid methods`.")
    ] = "IntegratedGradients",
    option: Annotated[
        list[str] | None,
        typer.Option("--option", "-o", metavar="NAME=VALUE", help="An option of the method; may be repeated."),
    ] = None,
    rows: Annotated[
        str, typer.Option(metavar="ROWS", help="Which held-out examples, counted from 0: 0,5 or 0-9.")
    ] = "0",
    of: Annotated[
        str,
        typer.Option(
            metavar="OUTPUT",
            help="Which output is asked about: predicted, label, a class, A:B for A rather than B, or a hidden unit: LAYER[3].",
        ),
    ] = "predicted",
    target: TargetColumn = None,
    delimiter: Delimiter = None,
    header: Header = None,
    test: TestFile = None,
    types: Types = None,
    top: Annotated[int, typer.Option(min=1, help="How many inputs to print, the largest first.")] = 10,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where to save the record; the default saves nothing.")
    ] = None,
    seed: Seed = 0,
    trust_model: TrustModel = False,
    as_json: AsJson = False,
) -> None:
    """Show how much each input counts for a model's answers.

    [bold]Examples[/]

    \b
    pellucid explain breast-cancer --rows 0,5
    pellucid explain digits --model digits.keras --method Occlusion
    pellucid explain breast-cancer -o tolerance=0.001 --of malignant
    pellucid explain digits --method GradCam
    pellucid explain breast-cancer --method Conductance -o layer=dense --of malignant
    pellucid explain patients.csv --target outcome --model mine.keras --out why

    The model's own scale is explained: log-odds where it ends in a softmax or sigmoid. "Nothing" is the mean training
    row of a table, of a text whose vocabulary has them mask tokens or else unknown words, and zero elsewhere
    (-o baseline=0 says otherwise), a background 100 training rows. An explanation says what the model responds to;
    `pellucid audit` also verifies that it can be believed.
    """
    from pellucid.cli import asking, environment, sources
    from pellucid.explain.base import explain as verb
    from pellucid.report.gather import references

    environment.prepare()
    # A wrong option is told before anything is loaded or trained.
    asking.method(method, option or [], {"background": 0.0})
    asked = sources.Asked(source, target, delimiter, header, test, types=tuple(types or ()), seed=seed)
    splits = asked.load()
    picked = asking.rows(rows, len(splits.test))
    about = asking.output(of, splits.test.class_names)
    chosen = asking.method(method, option or [], references(splits.train))
    environment.start()
    used, told = sources.model_for(splits, model, seed=seed, trust=trust_model)
    found = verb(used, splits.test.take(picked), chosen, about, seed=seed)
    if out is not None:
        found.save(out)
    if as_json:
        typer.echo(json.dumps(asking.summary(found, picked), indent=2, ensure_ascii=False))
    else:
        _show(found, picked, top, told)
        typer.echo(f"saved in {out}" if out else "nothing was saved; --out DIR saves the whole record")


def _show(found: Any, picked: list[int], top: int, told: str) -> None:
    from rich.console import Console
    from rich.text import Text

    from pellucid.cli import asking

    console = Console(highlight=False)
    console.print(Text(told))
    for i, row in enumerate(picked):
        console.print()
        console.print(Text(asking.heading(found, i, row), style="bold"))
        console.print(Text(asking.accuracy(found, i)))
        console.print(_table(asking.largest(found, i, top), found.standard_error is not None))
    for note in found.provenance.notes:
        console.print(Text(f"note: {note}"))


def _table(parts: list[dict[str, Any]], sampled: bool) -> Any:
    from rich.table import Table
    from rich.text import Text

    from pellucid.core.numbers import figure

    table = Table(box=None, padding=(0, 2, 0, 0))
    headings = ["input", "value", "counts for", *(["± standard error"] if sampled else []), ""]
    for heading in headings:
        table.add_column(heading, justify="left" if heading in ("input", "") else "right")
    longest = max((abs(part["attribution"]) for part in parts), default=0.0) or 1.0
    for part in parts:
        size, colour = part["attribution"], "blue" if part["attribution"] >= 0 else "red"
        bar = Text("█" * max(1, round(24 * abs(size) / longest)) if size else "", style=colour)
        error = [figure(part["standard_error"])] if sampled else []
        table.add_row(
            Text(part["input"]),
            figure(part["value"]),
            f"{'+' if size > 0 else ''}{figure(size)}",
            *error,
            bar,
        )
    return table
