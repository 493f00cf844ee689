"""`pellucid audit`: one model, one run, one report."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from pellucid.cli.guard import FAILED_GATE, guarded
from pellucid.cli.options import (
    AsJson,
    Delimiter,
    Groups,
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
def audit(
    source: Source,
    model: ModelFile = None,
    target: TargetColumn = None,
    delimiter: Delimiter = None,
    header: Header = None,
    test: TestFile = None,
    groups: Groups = None,
    types: Types = None,
    out: Annotated[
        Optional[Path],
        typer.Option("--out", "-o", metavar="DIR", help="Where the report goes: reports/NAME if not said."),
    ] = None,
    gate: Annotated[
        Optional[Path], typer.Option(metavar="FILE", help="Limits as YAML; exit code 1 where one is broken.")
    ] = None,
    by: Annotated[
        Optional[list[str]],
        typer.Option("--by", metavar="COLUMN", help="A column whose groups are held against each other, such as sex."),
    ] = None,
    budget: Annotated[
        Optional[float],
        typer.Option(min=0, metavar="SECONDS", help="Time for the measures; the cheap ones come first."),
    ] = None,
    seed: Seed = 0,
    trust_model: TrustModel = False,
    as_json: AsJson = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the path of the report alone.")] = False,
) -> None:
    """Audit a model: how it will do on new data, what it looks at, and whether that account can be believed.

    [bold]Examples[/]

    \b
    pellucid audit breast-cancer
    pellucid audit digits --model digits.keras --out reports/mine
    pellucid audit patients.csv --target outcome --groups patient --by sex
    pellucid audit german.data --delimiter space --target -1
    pellucid audit patients.csv --target outcome --gate gate.yaml

    A gate is a small YAML file:  gap.accuracy: {max: 0.05}   performance.accuracy: {min: 0.9, bound: low}

    [bold]Exit codes[/]  0 every limit holds, 1 a limit is broken, 2 bad input, 3 a fault of Pellucid
    """
    from pellucid.cli import environment, sources
    from pellucid.cli import gate as gates

    environment.prepare()
    limits = gates.read_gate(gate) if gate is not None else {}
    asked = sources.Asked(source, target, delimiter, header, test, groups, tuple(types or ()), seed)
    splits = asked.load()
    folder = out or Path("reports") / splits.name
    require_writable(folder)
    groups_of = _groups_of(by or [], splits)
    environment.start()
    used, told = sources.model_for(splits, model, seed=seed, trust=trust_model)
    asked_for = {"seed": seed, "notes": (told, *splits.notes), "progress": False if as_json or quiet else None}
    found = _audited(used, splits, groups_of, budget, asked_for)
    found.save(folder)
    outcomes = gates.judge(limits, gates.numbers([*found.measurements, *found.verification]))
    _tell(found, outcomes, folder, as_json=as_json, quiet=quiet)
    if not all(outcome.passed for outcome in outcomes):
        raise typer.Exit(FAILED_GATE)


def require_writable(folder: Path) -> None:
    """Refuse a folder that cannot be written before any work is done.

    Raises:
        UnwritableOutput: It is a file, or lies where nothing may be made.
    """
    from pellucid.errors import UnwritableOutput

    if folder.exists() and not folder.is_dir():
        raise UnwritableOutput(f"cannot write to {folder}: it is a file; name a folder with --out")
    parent = folder.absolute()
    while not parent.exists():
        parent = parent.parent
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        raise UnwritableOutput(f"cannot write to {folder}: {parent} may not be written; name another with --out")


def _groups_of(by: list[str], splits: Any) -> list[Any]:
    """What holds groups against each other, if any were named; before any work is done.

    Raises:
        InvalidInput: A column that does not exist, or has too many values.
    """
    from pellucid.measure.subgroups import Subgroups, attributes

    asked = [Subgroups(tuple(by))] if by else []
    for measure in asked:
        list(attributes(measure, splits.test))
    return asked


def _audited(used: Any, splits: Any, more: list[Any], budget: float | None, options: dict[str, Any]) -> Any:
    import pellucid as pl
    from pellucid.report.audit import BUDGET

    limit = BUDGET if budget is None else budget
    measures = [*pl.default_measures(), *more]
    return pl.audit(used, train=splits.train, test=splits.test, measures=measures, budget=limit, **options)


def _tell(found: Any, outcomes: Any, folder: Path, *, as_json: bool, quiet: bool) -> None:
    from rich.console import Console

    from pellucid.cli import gate as gates

    page = folder / "index.html"
    if as_json:
        told = {**found.summary(), "gate": gates.summary(outcomes), "report": str(page)}
        typer.echo(json.dumps(told, indent=2, ensure_ascii=False))
        return
    console = Console(highlight=False)
    if not quiet:
        console.print(found)
    if outcomes and not (quiet and all(o.passed for o in outcomes)):
        gates.show(outcomes, console)
    typer.echo(str(page))
