"""A progress bar for long work: examples done, rate, time left; silent where there is no terminal."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any


class Progress:
    """A bar as a context manager; `advance` it as work is done.

    Args:
        label: What is being done, in a few words.
        total: How many there are to do.
        show: True, False, or None for "where the standard error is a terminal".
    """

    def __init__(self, label: str, total: int, show: bool | None = None) -> None:
        self._shown = sys.stderr.isatty() if show is None else show
        self._label, self._total = label, total
        self._bar: Any = None

    def __enter__(self) -> Progress:
        if self._shown:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar

            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.speed!s:.6}/s"),
                       TimeElapsedColumn(), TimeRemainingColumn())  # fmt: skip
            # the rate is that of all the time: a step may take longer than any window
            options = {"console": Console(stderr=True), "transient": True, "speed_estimate_period": float("inf")}
            self._bar = Bar(*columns, **options)
            self._bar.start()
            self._task = self._bar.add_task(self._label, total=self._total)
            self._bar.advance(self._task, 0)  # from here on the first step is timed
        return self

    def advance(self, count: int = 1) -> None:
        """Say that `count` more are done."""
        if self._bar is not None:
            self._bar.advance(self._task, count)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
