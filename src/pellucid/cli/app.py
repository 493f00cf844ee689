"""The commands, put together."""

from __future__ import annotations

from typing import Annotated

import typer

import pellucid
from pellucid.cli import audit, compare, data, explain, guard, methods

app = typer.Typer(
    name="pellucid",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"pellucid {pellucid.__version__}")
        raise typer.Exit


@app.callback(epilog="Start with:  pellucid audit breast-cancer")
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and leave.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the whole traceback of an error.")] = False,
) -> None:
    """Explain, verify and measure a deep model, and say how sure every number is."""
    del version
    guard.show_tracebacks(debug)


app.command("audit")(audit.audit)
app.command("explain")(explain.explain)
app.command("compare")(compare.compare)
app.command("methods")(methods.methods)
app.command("data")(data.data)
