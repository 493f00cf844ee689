"""The command line, one thin file a command."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and leave the process with its exit code.

    0: done, every limit held. 1: a limit of the gate was broken. 2: bad input. 3: a fault of Pellucid. 130: stopped.
    """
    from pellucid.cli.app import app

    given = list(sys.argv[1:] if arguments is None else arguments)
    given.sort(key=lambda word: word != "--debug")  # may stand anywhere; typer reads it before the command
    app(given, prog_name="pellucid")
