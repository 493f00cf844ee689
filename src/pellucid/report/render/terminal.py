"""An audit in a terminal: the verdict, the findings with their intervals, and how far the explanations can be trusted."""

from __future__ import annotations

from typing import Any

from pellucid.core.numbers import count
from pellucid.plot.theme import COLOURS, SEVERITIES

_VERDICTS = {"unfit": "critical", "caution": "warning", "sound": "good"}


def overview(audit: Any) -> Any:
    """What a person needs to see at once, as something rich can print."""
    from rich.console import Group
    from rich.text import Text

    s = audit.subject
    severity = _VERDICTS[audit.verdict]
    head = Text.assemble(
        (f"{SEVERITIES[severity]} {audit.verdict}", f"bold {_colour(severity)}"), "  ", (f"{s['model']} on {s['data']}", "bold")
    )  # fmt: skip
    rows = f"{count(s['test_rows'])} rows held out, {count(s['train_rows'])} for training · explanations {audit.trust}"
    return Group(head, Text(audit.sentence), Text(rows, _colour("muted")), Text(), _table(audit.findings))


def _table(findings: Any) -> Any:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), header_style=_colour("muted"), pad_edge=False)
    for name, options in (("severity", {"no_wrap": True}), ("code", {"no_wrap": True}), ("finding", {"ratio": 1})):
        table.add_column(name, **options)  # type: ignore[arg-type]
    table.add_column("value", justify="right", no_wrap=True)
    table.add_column("interval", no_wrap=True)
    for found in findings:
        colour = _colour(found.severity)
        table.add_row(
            Text(f"{SEVERITIES[found.severity]} {found.severity}", colour), Text(found.code, _colour("muted")),
            Text(found.title), Text(found.figure if found.value is not None else ""), Text(found.span),
        )  # fmt: skip
    return table


def _colour(meaning: str) -> str:
    return COLOURS[meaning].terminal
