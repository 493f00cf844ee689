"""The page: one HTML document that carries its pictures, its style and its numbers, and asks no network for anything."""

from __future__ import annotations

import base64
import functools
import hashlib
import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from pellucid.core.numbers import count, plain
from pellucid.plot import theme
from pellucid.plot.estimates import strip
from pellucid.report.finding import SEVERITIES, Finding
from pellucid.report.render.sections import sections

VERDICTS = {"unfit": "critical", "caution": "warning", "sound": "good"}
"""The severity whose colour and sign a verdict wears."""


_NONE = (None, "", "–", "n/a")
"""Cells without a number."""

_UNIT = re.compile(r"(\d) %")  # a number and its sign stay on one line


def page(audit: Any) -> str:
    """The report of an audit as HTML; everything that came from data or model is escaped."""
    severity = VERDICTS[audit.verdict]
    return document(
        "page.html.j2", audit.provenance.versions.get("pellucid", ""), subject=audit.subject, facts=facts(audit),
        verdict={"word": audit.verdict, "severity": severity, "sign": theme.SEVERITIES[severity], "sentence": audit.sentence},
        findings=_items(audit.findings), counted=counted(audit.findings), sections=sections(audit),
    )  # fmt: skip


def document(template: str, version: str, **given: Any) -> str:
    """A page of a template, with the style, the themes and the script that every page has."""
    script = _text("theme.js")
    return _surroundings().get_template(template).render(
        version=version, light=_raw(theme.variables("light")), dark=_raw(theme.variables("dark")), style=_raw(_style()),
        script=_raw(script), script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(), **given,
    )  # fmt: skip


@functools.cache
def _surroundings() -> Any:
    import jinja2

    surroundings = jinja2.Environment(
        loader=jinja2.FunctionLoader(_text), autoescape=True, undefined=jinja2.StrictUndefined
    )
    surroundings.filters["numeric_columns"] = _numeric_columns
    surroundings.filters["plain"] = plain
    surroundings.filters["tidy"] = lambda text: _UNIT.sub("\\1\u202f%", str(text))
    return surroundings


def _numeric_columns(rows: Sequence[Sequence[Any]]) -> list[bool]:
    """Of each column of a table, whether it holds numbers alone: those stand to the right."""
    return [any(map(_is_figure, column)) and all(_is_figure(c) or c in _NONE for c in column) for column in zip(*rows)]


def _is_figure(cell: Any) -> bool:
    """Whether a cell is a number, or one written out already."""
    if not isinstance(cell, str):
        return isinstance(cell, int | float) and not isinstance(cell, bool)
    return cell.strip("−+%, .\u202f") != "" and all(c in "0123456789−+.,% \u202f" for c in cell)


def _text(name: str) -> str:
    return (files("pellucid.report") / "templates" / name).read_text(encoding="utf-8")


def _style() -> str:
    return _text("style.css").replace("{{ font }}", theme.FONT).replace("{{ serif }}", theme.SERIF)


def _raw(text: str) -> Any:
    from markupsafe import Markup

    return Markup(text)


def facts(audit: Any) -> list[Mapping[str, str]]:
    """What was audited, in a few words each."""
    s, versions = audit.subject, audit.provenance.versions
    classes = tuple(s.get("classes") or ())
    more = " …" if len(classes) > 4 else ""
    explained = f"{count(audit.sampled)} rows; explanations {audit.trust}" if audit.sampled else ""
    found = [
        ("Model", s["model"], f"{count(s['parameters'])} trained numbers" if s.get("parameters") else "a callable"),
        ("Task", s["task"], f"{len(classes)} classes: {', '.join(classes[:4])}{more}" if classes else ""),
        ("Input", s["inputs"], s["data"]),
        ("Rows", f"{count(s['test_rows'])} held out", f"{count(s['train_rows'])} for training"),
        ("Explained by", _method(audit), explained),
        ("Made with", f"Pellucid {versions.get('pellucid', '')}", _stack(audit)),
    ]
    return [{"name": name, "value": value, "more": more} for name, value, more in found]


def _stack(audit: Any) -> str:
    versions = audit.provenance.versions
    return f"Keras {versions.get('keras', '')} on {versions.get('backend', '')}; seed {audit.provenance.seed}"


def _method(audit: Any) -> str:
    return type(audit.explanation.method).__name__ if audit.explanation is not None else "not explained"


def counted(findings: Any) -> str:
    """How many findings there are of each severity."""
    plural = {"warning": "warnings", "note": "notes"}
    found = {word: sum(f.severity == word for f in findings) for word in SEVERITIES}
    parts = [f"{n} {plural.get(word, word) if n > 1 else word}" for word, n in found.items() if n]
    return f"{', '.join(parts)}. Intervals hold at 95 % unless something else is said." if parts else "There are none."


def _items(findings: Any) -> list[dict[str, Any]]:
    seen: set[str] = set()
    items = []
    for found in findings:
        items.append(
            {
                "finding": found,
                "sign": theme.SEVERITIES[found.severity],
                "first": found.code not in seen,
                **_drawn(found),
            }
        )
        seen.add(found.code)
    return items


def _drawn(found: Finding) -> dict[str, Any]:
    """The number of a finding beside it, and its interval drawn where it has one."""
    if found.value is None:
        return {"figure": None}
    colour = "accent" if found.severity == "good" else found.severity
    drawn = ""
    if found.interval is not None:
        drawn = strip(found.value, found.interval, reference=found.reference, unit=found.unit, colour=colour).svg(None)
    around = f"interval {found.span}" if found.interval else ""
    return {"picture": _raw(drawn), "span": around, "figure": found.figure, "quantity": found.kind.quantity}
