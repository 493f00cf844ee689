"""`pellucid compare`: which recipe makes a small model of these data better, in what, and at what price."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from pellucid.cli.guard import guarded
from pellucid.cli.options import AsJson, Delimiter, Groups, Header, Seed, Source, TargetColumn, TestFile, Types


@guarded
def compare(
    source: Source,
    recipe: Annotated[
        list[str] | None,
        typer.Option("--recipe", "-r", metavar="NAME=REMEDIES", help="l2=L2(0.01)+Dropout(0.2); may be repeated."),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Trainings of each recipe.")] = 5,
    epochs: Annotated[int, typer.Option(min=1, help="Epochs of each training.")] = 20,
    batch: Annotated[int, typer.Option(min=1, help="Examples of a step.")] = 32,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Trainings at the same time.", show_default="what pays")
    ] = None,
    target: TargetColumn = None,
    delimiter: Delimiter = None,
    header: Header = None,
    test: TestFile = None,
    groups: Groups = None,
    types: Types = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="DIR", help="Where the page goes: comparisons/NAME if not said."),
    ] = None,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Train a small model of the data by several recipes, and compare them in everything that matters.

    [bold]Examples[/]

    \b
    pellucid compare breast-cancer -r "l2=L2(0.01)" -r "both=L2(0.01)+Dropout(0.2)"
    pellucid compare digits -r "dropout=Dropout(0.3)" --seeds 3 --epochs 10
    pellucid compare patients.csv --target outcome -r "stop=EarlyStopping(patience=3)" --out mine

    Plain training is the reference. A fifth of the training rows is held out to choose by; the test rows judge. Every training is
    kept in DIR/trainings as soon as it is finished: the same command goes on after an interruption. `pellucid methods --verb
    improve` lists the remedies.
    """
    from pellucid.cli import environment, recipes, sources
    from pellucid.cli.audit import require_writable

    environment.prepare()
    named = recipes.read(recipe or [])
    asked = sources.Asked(source, target, delimiter, header, test, groups, tuple(types or ()), seed)
    splits = asked.load()
    folder = out or Path("comparisons") / splits.name
    require_writable(folder)
    options = {
        "seeds": range(seed, seed + seeds), "workers": workers, "folder": folder / "trainings",
        "fit": {"epochs": epochs, "batch_size": batch}, "progress": False if as_json else None,
    }  # fmt: skip
    environment.start()
    found = _compared(splits, named, seed, options)
    found.save(folder)
    found.page(folder)
    typer.echo(json.dumps(found.summary(), indent=2, ensure_ascii=False) if as_json else str(found))
    if not as_json:
        typer.echo(str(folder / "index.html"))


def _compared(splits: Any, named: dict[str, Any], seed: int, options: dict[str, Any]) -> Any:
    """A fifth of the training rows, whole groups of them, says which recipe to choose."""
    from pellucid.core.splitting import holdout
    from pellucid.study.compare import compare as verb
    from pellucid.training import default_model

    data = splits.train
    kept, held = holdout(data.y, 0.2, groups=data.groups, classes=data.task == "classification", seed=seed)
    train, validation = data.take(kept), data.take(held)
    return verb(default_model(train), named, train=train, validation=validation, test=splits.test, **options)
