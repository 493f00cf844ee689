"""An audit in plain keys and numbers, for other programs, and in Markdown, for a comment on a change.

`audit.json` holds: `format`; `verdict` and `sentence`; `trust` (what the verification says of the explanations);
`subject` (what was audited); `findings` (`code`, `severity`, `title`, `evidence`, `value`, `interval`, `limits`,
`next_step`, `documentation`); `measurements` and `verification` (`name`, `value`, `interval`, `verdict`, `explanation`,
`parts`); `importance` (`input`, `value`, `low`, `high`, `share`); `examples`; `skipped`; `notes`; `provenance`. Keys are
only ever added.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from pellucid.core.measurement import Measurement
from pellucid.core.record import Value, encode
from pellucid.core.resampling import Interval
from pellucid.plot.theme import SEVERITIES


def summary(audit: Any) -> dict[str, Any]:
    """What `audit.json` holds."""
    from pellucid.report.audit import FORMAT

    return finite({
        "format": FORMAT, "verdict": audit.verdict, "sentence": audit.sentence, "trust": audit.trust,
        "subject": dict(audit.subject), "findings": [f.summary() for f in audit.findings],
        "measurements": [measurement(m) for m in audit.measurements],
        "verification": [measurement(m) for m in audit.verification],
        "importance": _importance(audit.importance), "examples": [example.settings() for example in audit.examples],
        "skipped": [{"question": question, "reason": reason} for question, reason in audit.skipped],
        "notes": list(audit.notes), "provenance": _provenance(audit.provenance),
    })  # fmt: skip


def measurement(found: Measurement) -> dict[str, Any]:
    """A measurement in plain keys; its numbers that are one of several under `parts`."""
    parts = {
        key: _estimate(part if isinstance(part, Mapping) else {"value": part.value, "interval": part.interval})
        for key, part in found.detail.items()
        if isinstance(part, Measurement) or (isinstance(part, Mapping) and "value" in part)
    }
    return {
        "name": found.name, **_estimate({"value": found.value, "interval": found.interval}), "verdict": found.verdict,
        "explanation": found.detail.get("explanation", ""), "parts": parts, "settings": encode(found.provenance.method, {}),
        "evaluations": found.provenance.evaluations, "seconds": found.provenance.seconds,
    }  # fmt: skip


def _estimate(part: Mapping[str, Any]) -> dict[str, Any]:
    interval = part.get("interval")
    ends = (
        {"low": interval.low, "high": interval.high, "level": interval.level}
        if isinstance(interval, Interval)
        else None
    )
    return {"value": part["value"], "interval": ends}


def _importance(found: Any) -> list[dict[str, Any]]:
    if found is None or found.values.ndim != 1:
        return []
    columns = found.values, found.low, found.high, found.shares
    return [
        {
            "input": found.names[i],
            **{key: float(a[i]) for key, a in zip(("value", "low", "high", "share"), columns, strict=True)},
        }
        for i in found.order()
    ]


def _provenance(found: Any) -> dict[str, Any]:
    kept = {key: value for key, value in found.settings().items() if key != "method"}
    return {"method": encode(found.method, {}), **kept, "notes": list(found.notes), "versions": dict(found.versions)}


def finite(value: Any) -> Any:
    """Values as JSON has them: NaN and infinities become null, arrays lists."""
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return finite(value.tolist())
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    if isinstance(value, np.generic):
        return finite(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return finite(value.settings()) if isinstance(value, Value) else value


def markdown(audit: Any) -> str:
    """The verdict and the findings as Markdown, short enough for a comment on a change."""
    model, data = escaped(audit.subject["model"]), escaped(audit.subject["data"])
    head = f"## {model} on {data}: {audit.verdict}\n\n{escaped(audit.sentence)}\n"
    rows = [
        f"| {SEVERITIES[f.severity]} {f.severity} | {f.code} | {escaped(f.title)} | {f.figure} | {f.span} |"
        for f in audit.findings
    ]
    return "\n".join([head, "| severity | code | finding | value | interval |", "|---|---|---|--:|---|", *rows, ""])


def escaped(text: Any) -> str:
    """Text that cannot start a table cell, a tag, a link or emphasis of its own."""
    line = " ".join(str(text).split())
    return "".join("\\" + c if c in "\\`*_[]|#" else {"<": "&lt;", ">": "&gt;", "&": "&amp;"}.get(c, c) for c in line)
