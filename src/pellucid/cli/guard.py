"""The edge of every command: errors become one readable line and an exit code."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from typing import Any

import typer

from pellucid.errors import PellucidError

FAILED_GATE, BAD_INPUT, INTERNAL, STOPPED = 1, 2, 3, 130

_DEBUG = "PELLUCID_DEBUG"


def show_tracebacks(show: bool) -> None:
    """Whether errors show where they come from; also asked for by the environment variable PELLUCID_DEBUG."""
    if show:
        os.environ[_DEBUG] = "1"


def guarded(command: Callable[..., Any]) -> Callable[..., Any]:
    """A command whose errors are told in plain words and answered by an exit code."""

    @functools.wraps(command)
    def run(*arguments: Any, **options: Any) -> Any:
        try:
            return command(*arguments, **options)
        except KeyboardInterrupt:
            raise _leave("stopped; what was not finished was not written", STOPPED) from None
        except BrokenPipeError:  # the reader, `head` for one, has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit from None
        except PellucidError as problem:
            raise _leave(str(problem), BAD_INPUT) from None
        except (typer.Exit, typer.Abort, typer.BadParameter):
            raise
        except Exception as problem:
            told = f"{type(problem).__name__}: {problem}".strip().splitlines()[0]
            hint = "this is a fault of Pellucid, not of your input; please report it with what --debug shows"
            raise _leave(f"internal error: {told}; {hint}", INTERNAL) from None

    return run


def _leave(message: str, code: int) -> typer.Exit:
    """Say what happened on the standard error: the message in red, its last clause as the hint below it."""
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True, highlight=False)
    if os.environ.get(_DEBUG):
        console.print_exception(suppress=[typer])
    what, _, hint = message.rpartition("; ")
    console.print(Text(what or hint, style="bold red"), soft_wrap=True)
    if what:
        console.print(Text(f"  {hint}"), soft_wrap=True)
    return typer.Exit(code)
