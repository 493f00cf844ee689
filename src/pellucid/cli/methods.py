"""`pellucid methods`: what there is, whose idea it is, and when it misleads."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from pellucid.cli.guard import guarded
from pellucid.cli.options import AsJson

VERBS = ("explain", "verify", "measure", "improve")


@guarded
def methods(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="A method, to read all about it.")] = None,
    verb: Annotated[str | None, typer.Option(help="Only one verb: explain, verify, measure or improve.")] = None,
    bibtex: Annotated[bool, typer.Option("--bibtex", help="Print the papers as BibTeX.")] = False,
    as_json: AsJson = False,
) -> None:
    """List every method with its paper, or tell all about one.

    [bold]Examples[/]

    \b
    pellucid methods
    pellucid methods IntegratedGradients
    pellucid methods --verb measure
    pellucid methods --bibtex > pellucid.bib
    """
    from pellucid.core.bibliography import bibtex as as_bibtex

    chosen = _chosen(name, verb)
    if bibtex:
        typer.echo(as_bibtex(key for entry in chosen for key in entry.papers))
    elif as_json:
        typer.echo(json.dumps([_summary(entry) for entry in chosen], indent=2, ensure_ascii=False))
    elif name:
        _tell(chosen[0])
    else:
        _list(chosen)


def _chosen(name: str | None, verb: str | None) -> list[Any]:
    from pellucid.core.registry import entries, find, unknown
    from pellucid.errors import UnknownName

    if verb is not None and verb not in VERBS:
        raise UnknownName(unknown("verb", verb, VERBS))
    return [find(name)] if name else entries(verb)


def _summary(entry: Any) -> dict[str, Any]:
    from pellucid.cli.docstring import read, signature
    from pellucid.core.bibliography import paper

    kind = entry.load()
    papers = [{**paper(key)._asdict(), "address": paper(key).address} for key in entry.papers]
    return {
        "name": entry.name,
        "verb": entry.verb,
        "call": signature(kind),
        "question": read(kind).line,
        "papers": papers,
    }


def _list(chosen: list[Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    from pellucid.cli.docstring import read
    from pellucid.core.bibliography import paper

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for heading in ("verb", "method", "what it answers", "papers"):
        table.add_column(heading, no_wrap=heading in ("verb", "method"), overflow="fold")
    last = ""
    for entry in chosen:
        papers = "\n".join(f"{paper(k).names} {paper(k).year}, {paper(k).identifier}" for k in entry.papers)
        table.add_row(
            "" if entry.verb == last else entry.verb,
            f"[cyan]{entry.name}[/]",
            read(entry.load()).line,
            papers,
        )
        last = entry.verb
    console = Console(highlight=False)
    console.print(table)
    console.print("\nAll about one: [cyan]pellucid methods IntegratedGradients[/]")
    console.print("The bibliography: [cyan]pellucid methods --bibtex[/]")


def _tell(entry: Any) -> None:
    from rich.console import Console
    from rich.padding import Padding
    from rich.text import Text

    from pellucid.cli.docstring import read, reflow, signature
    from pellucid.core.bibliography import paper

    kind = entry.load()
    told = read(kind)
    console = Console(highlight=False)
    console.print(Text(f"pl.{signature(kind)}", style="bold cyan"), soft_wrap=True)
    console.print(Text(f"a method of the verb `{entry.verb}`\n", style="dim"))
    console.print(Text("\n\n".join(filter(None, [told.line, reflow(told.body)]))))
    sections = {
        **told.sections,
        "Papers": "\n".join(f"{paper(key)}\n  {paper(key).address}" for key in entry.papers),
    }
    for heading, text in sections.items():
        if heading != "References":  # told in full under Papers
            console.print(Text(f"\n{heading}", style="bold"))
            console.print(Padding(Text(text if heading in ("Example", "Papers") else reflow(text)), (0, 0, 0, 2)))
