"""What stands below the findings: generalization, explanations, their verification, remedies, provenance."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from pellucid import plot
from pellucid.core.measurement import Measurement
from pellucid.core.numbers import count, counted, figure, span, sureness
from pellucid.core.record import encode
from pellucid.errors import InvalidInput
from pellucid.explain.attention.reading import AttentionReading
from pellucid.plot.positions import one_looks
from pellucid.plot.scene import Picture, Table
from pellucid.report.attention import shown
from pellucid.report.checks.attention import FAMILY, checked
from pellucid.report.selection import CHECKED, ROLES, Example


@dataclass(frozen=True)
class Drawing:
    """A picture on the page with its heading, its caption and its numbers."""

    picture: Picture
    title: str
    caption: str
    wide: bool = False
    tag: str = ""
    tag_more: str = ""

    @property
    def svg(self) -> Any:
        """The picture in the colours of the page."""
        from markupsafe import Markup

        return Markup(self.picture.svg(None))

    @property
    def table(self) -> Table:
        """The numbers behind it."""
        return self.picture.table


@dataclass(frozen=True)
class Titled:
    """A table with a heading."""

    title: str
    table: Table


@dataclass(frozen=True)
class Section:
    """One part of the page."""

    id: str
    title: str
    lead: str
    figures: tuple[Drawing, ...] = ()
    tables: tuple[Titled, ...] = ()
    banner: dict[str, str] | None = field(default=None)


def sections(audit: Any) -> list[Section]:
    """Every part of the page below the findings."""
    looked = [] if audit.attention is None else [attention(audit)]
    return [
        generalization(audit), explanations(audit), *looked, verification(audit), remedies(audit), provenance(audit),
    ]  # fmt: skip


def _drawn(draw: Callable[..., Picture], *given: Any, **told: Any) -> Iterator[Drawing]:
    """A drawing, or nothing where the record holds nothing to draw."""
    try:
        picture = draw(*given)
    except InvalidInput:
        return
    yield Drawing(picture, told.pop("title", picture.title), **{"caption": picture.description, **told})


def _family(measurements: Iterable[Measurement], name: str) -> list[Measurement]:
    return [m for m in measurements if m.name.split(".")[0] == name and m.value is not None]


def generalization(audit: Any) -> Section:
    """Performance, gap, calibration, selective risk, robustness, leakage."""
    drawings: list[Drawing] = []
    for found in _family(audit.measurements, "performance"):
        drawings += _performance(found)
    for found in _family(audit.measurements, "gap"):
        drawings += _gap(found)
    for family, draw in (
        ("calibration_error", plot.reliability),
        ("selective_risk", plot.risk_coverage),
    ):
        for found in _family(audit.measurements, family):
            drawings += _drawn(draw, found, caption=_said(found))
    for family, parts in (("domain_gap", "domains"), ("subgroups", "groups")):
        for found in _family(audit.measurements, family):
            drawings += _side_by_side(found, parts)
    for found in _family(audit.measurements, "corruption_robustness"):
        drawings += _drawn(plot.robustness, found, caption=_said(found), wide=True)
    lead = "How the model does on rows it has not seen, and what happens when they are not like those it knows."
    return Section("generalization", "Generalization", lead, tuple(drawings), (_measured(audit.measurements),))


def _said(found: Measurement) -> str:
    return str(found.detail.get("explanation", ""))


def _parts(found: Measurement) -> list[tuple[str, float, Any]]:
    parts = {
        key: part for key, part in found.detail.items() if isinstance(part, dict) and part.get("value") is not None
    }
    return [(key.replace("_", " "), part["value"], part.get("interval")) for key, part in parts.items()]


def _performance(found: Measurement) -> Iterator[Drawing]:
    """The metrics on a scale from 0 to 1 together; the others stand in the table of all numbers."""
    shares = [row for row in _parts(found) if row[0] in ("accuracy", "balanced accuracy", "auroc", "auprc", "r2")]
    if shares:
        yield from _drawn(lambda: plot.intervals(shares, title="Quality on unseen rows"), caption=_said(found))


def _gap(found: Measurement) -> Iterator[Drawing]:
    rows = [
        (f"{word} rows", found.detail[key]["value"], found.detail[key]["interval"])
        for key, word in (("train", "training"), ("test", "unseen"))
        if key in found.detail
    ]
    if rows:
        percent = found.name.endswith("accuracy")
        title = f"{found.name.split('.')[-1].replace('_', ' ').capitalize()} on training rows and on unseen rows"
        yield from _drawn(lambda: plot.intervals(rows, title=title, percent=percent), caption=_said(found))


def _side_by_side(found: Measurement, parts: str) -> Iterator[Drawing]:
    """The quality in every domain or group."""
    every = [found.detail["reference"]] if "reference" in found.detail else []
    named = [(f"{p['attribute']}: {p['group']}", p) for p in [*every, *found.detail[parts]]]
    rows = [(name, part["value"], part["interval"]) for name, part in named]
    metric = found.name.split(".")[-1].replace("_", " ")
    title = f"{metric.upper() if metric.startswith('au') else metric.capitalize()} of each {parts.removesuffix('s')}"
    yield from _drawn(
        lambda: plot.intervals(rows, title=title, percent=metric.endswith("accuracy")), caption=_said(found)
    )


def _measured(measurements: Iterable[Measurement]) -> Titled:
    rows = []
    for found in measurements:
        rows.append(
            (found.name.replace("_", " "), figure(found.value, found.interval), span(found.interval), found.verdict)
        )
        family, _, asked = found.name.partition(".")
        rows += [
            (f"{family}: {name}".replace("_", " "), figure(value, interval), span(interval), "")
            for name, value, interval in _parts(found) if name != asked.replace("_", " ")
        ]  # fmt: skip
    return Titled("All that was measured", Table(("quantity", "value", "interval", "verdict"), tuple(rows)))


def explanations(audit: Any) -> Section:
    """The whole picture, then the examples."""
    banner = None
    if audit.explanation is None:
        return Section(
            "explanations", "Explanations", "The model was not explained; the reason stands under what was left out."
        )
    drawings: list[Drawing] = []
    if audit.importance is not None:
        drawings += _drawn(plot.importance, audit.importance, wide=True, caption=_global(audit))
    for example in audit.examples:
        drawings += _example(audit, example)
    method, rows = type(audit.explanation.method).__name__, count(audit.sampled)
    lead = f"What the model responds to, by {method}: first over {rows} rows, then row by row."
    if not any(e.role == "confidently wrong" for e in audit.examples) and any(
        e.right is not None for e in audit.examples
    ):
        lead += " No test row was answered wrongly with confidence, so none is shown."
    banner = _trust_banner(audit)
    return Section("explanations", "Explanations", lead, tuple(drawings), (), banner)


def _global(audit: Any) -> str:
    found = audit.importance
    what = f"Mean absolute attribution to the predicted class over {count(found.examples)} test rows"
    what += {
        "text": "; of each word, wherever it stands. ", "audio": "; of each band, at any time. ",
        "video": "; of each pixel, at any time. ",
    }.get(audit.explanation.kind, ". ")  # fmt: skip
    if found.values.ndim == 1:
        what += "Whiskers are 95 % intervals over rows; the figures at the right are each input's share of the whole"
        rest = 1 - float(found.shares[found.order()[:15]].sum())
        what += f", the inputs not drawn hold {figure(rest, percent=True)}. " if len(found.names) > 15 else ". "
    return what + "It says what this model responds to, not what causes the outcome."


def _example(audit: Any, example: Example) -> Iterator[Drawing]:
    sure = f", {sureness(example.probability)} sure" if example.probability is not None else ""
    verdict = {True: "right", False: f"wrong: it is {example.label}", None: f"true: {example.label}"}[example.right]
    yield from _drawn(
        lambda: plot.attribution(audit.explanation, example.index), title=f"Says {example.predicted}{sure}",
        tag=example.role.capitalize(), tag_more=f"{example.name} · {verdict}", caption=ROLES[example.role],
    )  # fmt: skip


def attention(audit: Any) -> Section:
    """Every head for the first example, then where the last layer looks in each."""
    reading = audit.attention
    rows = list(zip(shown(audit.examples), range(len(reading)), strict=False))
    drawings = list(_drawn(plot.attention_grid, reading, title=f"Every head, for {rows[0][0].name}", wide=True))
    for example, index in rows:
        drawings += _looked(audit, example, index)
    lead = (
        "How much of its attention each position pays to each other one. A weight says how much is taken from a position, not "
        "what it holds nor whether the score needs it: alone it is no explanation."
    )
    found = checked(audit.verification)
    tables = (_attended(found),) if found is not None and found.verdict in ATTENTION else ()
    return Section("attention", "Where the model looks", lead, tuple(drawings), tables, _attention_banner(found))


ATTENTION = {
    "faithful": ("good", "In this model attention shows what the answer rests on, as the numbers below say."),
    "undecided": ("warning", "The numbers below do not settle whether attention shows what the answer rests on."),
    "not faithful": (
        "warning",
        "In this model attention does not show what the answer rests on: do not read it as a reason.",
    ),
}
"""What is said beside attention, by what its check found."""


def _attention_banner(found: Measurement | None) -> dict[str, str]:
    if found is not None and found.verdict in ATTENTION:
        severity, text = ATTENTION[found.verdict]
        return {"severity": severity, "word": found.verdict, "text": text}
    why = "" if found is None else _reason(found)
    told = "Whether attention shows what the answer rests on was not found out" + (f": {why}." if why else ".")
    return {"severity": "warning", "word": "not checked", "text": told}


def _attended(found: Measurement) -> Titled:
    """The two questions that decide, and a third for comparison, with their numbers."""
    moves, agrees = found.detail["permutation"], found.detail["agreement"]
    scale = "0 to 1" if moves.detail["unit"] == 1 else "1 is what another row would do"
    moved = f"Does the answer move when the weights are shuffled over the parts of the input? (by how much, {scale})"
    rows = [_asked(moved, moves.value, moves.interval, moves.detail["limit"], moves.verdict)]
    if agrees is not None:
        d = agrees.detail
        ranked = "Are parts with more attention those whose absence moves the answer more? (rank correlation, −1 to 1)"
        if d["idle"]:
            ranked += f" Said by {d['examples'] - d['idle']} rows: in the others no single part moves the answer."
        rows.append(_asked(ranked, d["settled"], d["settled_interval"], d["limit"], agrees.verdict))
        rows.append(_asked("For comparison: those with the larger gradient?", d["gradient"], d["gradient_interval"]))
    title = f"Is attention a faithful account? Asked of “{found.detail['layer']}”, in {counted(found.detail['examples'], 'row')}"
    return Titled(title, Table(("question", "value", "interval", "takes", "answer"), tuple(rows)))


def _asked(
    question: str, value: float | None, ends: Any, least: float | None = None, verdict: str = ""
) -> tuple[str, ...]:
    answers = {"moves the output": "yes", "does not move the output": "no", "agrees": "yes", "does not agree": "no"}
    takes = "" if least is None else f"more than {figure(least)}"
    return question, figure(value, ends), span(ends), takes, answers.get(verdict, "not settled") if takes else ""


def _looked(audit: Any, example: Example, index: int) -> Iterator[Drawing]:
    """Where the class token, or a single query, of the last layer looks, on the example itself; else lines."""
    reading, told = audit.attention, {"tag": example.role.capitalize(), "tag_more": example.name}
    if audit.attended is not None:
        title = f"Where the model looks, in {reading.names[-1]}"
        yield from _drawn(lambda: plot.attribution(audit.attended, index), title=title, **told)
        return
    drawn = _drawn(lambda: plot.attention_map(reading, example=index), **told) if one_looks(reading, index) else ()
    yield from list(drawn) or _drawn(lambda: plot.attention_lines(reading, example=index), **told)


TRUST = {
    "trusted": ("good", "The checks below support these explanations."),
    "doubtful": ("warning", "The checks below do not settle whether these explanations are right: read them as hints."),
    "refuted": ("critical", "The checks below speak against these explanations: do not rest on them."),
    "unverified": (
        "warning",
        "These explanations have not been verified; nothing is known about whether they are right.",
    ),
}
"""What is said beside explanations, by what their verification found."""


def _trust_banner(audit: Any) -> dict[str, str]:
    severity, text = TRUST[audit.trust]
    return {"severity": severity, "word": audit.trust, "text": text}


def verification(audit: Any) -> Section:
    """Each check of the explanations, drawn where it has a curve."""
    drawings: list[Drawing] = []
    checks = [m for m in audit.verification if m.name != FAMILY]
    for found in checks:
        drawings += _drawn(plot.faithfulness, found, caption=_reason(found), wide="similarities" in found.detail)
    rows = [
        (m.name.replace("_", " "), figure(m.value, m.interval), span(m.interval), m.verdict, _reason(m)) for m in checks
    ]
    table = Titled(
        "All checks of the explanations", Table(("check", "value", "interval", "verdict", "why"), tuple(rows))
    )
    rows_checked = f" Checked on {count(min(CHECKED, audit.sampled))} of the rows explained." if checks else ""
    lead = "An explanation earns trust: it must beat random rankings on the same model, and change when its weights do."
    lead += rows_checked
    return Section(
        "verification",
        "Are the explanations true?",
        lead,
        tuple(drawings),
        (table,) if rows else (),
        _trust_banner(audit),
    )


def _reason(found: Measurement) -> str:
    return str(found.detail.get("reason") or found.detail.get("explanation") or "")


def remedies(audit: Any) -> Section:
    """What could be tried, for every finding that is not good."""
    rows = [(f.code, f.title, f.next_step) for f in audit.findings if f.severity != "good" and f.next_step]
    lead = (
        "What could be tried next. Nothing here was tried: an audit does not train."
        if rows
        else "Nothing was found that asks for a remedy."
    )
    return Section(
        "remedies",
        "Remedies",
        lead,
        (),
        (Titled("By finding", Table(("code", "finding", "what could be tried"), tuple(rows))),) if rows else (),
    )


def provenance(audit: Any) -> Section:
    """Methods, settings, seeds, cost, versions, fingerprints, and what was left out."""
    p = audit.provenance
    read = [found for found in (audit.explanation, audit.attention, audit.attended) if found is not None]
    done = [*audit.measurements, *read, *audit.verification]
    steps = tuple(
        (_step(r), _settings(r.provenance.method), r.provenance.evaluations, f"{r.provenance.seconds:.2f}")
        for r in done
    )
    facts = [
        ("seed", str(p.seed)), ("seconds", f"{p.seconds:.1f}"), ("rows given to the model", p.evaluations),
        ("model fingerprint", p.model), ("data fingerprint", p.inputs), *sorted(p.versions.items()),
    ]  # fmt: skip
    tables = [
        Titled("What was run", Table(("step", "settings", "model rows", "seconds"), steps)),
        Titled("On what, and with which versions", Table(("what", "value"), tuple(facts))),
    ]
    if audit.skipped:
        tables.append(Titled("What was left out", Table(("question", "reason"), tuple(audit.skipped))))
    if notes := (*audit.notes, *(audit.explanation.provenance.notes if audit.explanation is not None else ())):
        tables.append(Titled("Notes", Table(("note",), tuple((note,) for note in notes))))
    return Section("provenance", "Provenance", "Everything needed to make these numbers again.", (), tuple(tables))


def _step(result: Any) -> str:
    if isinstance(result, Measurement):
        return result.name
    return "attention" if isinstance(result, AttentionReading) else "explanation"


def _settings(method: Any) -> str:
    """A method with its options, arrays by their shape."""
    if method is None or isinstance(method, str):
        return ""
    arrays: dict[str, Any] = {}
    encode(method, arrays)
    options = [f"{key}={_option(value)}" for key, value in method.settings().items()]
    return f"{type(method).__name__}({', '.join(options)})"


def _option(value: Any) -> str:
    return f"array{value.shape}" if hasattr(value, "shape") and value.shape else repr(value)
