"""A finding: one thing a reader must know about a model, with a code that stays the same for ever."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from pellucid.core import options
from pellucid.core.numbers import figure, span
from pellucid.core.record import Value
from pellucid.core.resampling import Interval
from pellucid.errors import InvalidOption

SEVERITIES = ("critical", "warning", "note", "good")
"""Gravest first. critical: do not rely on the model before this is settled. warning: it limits where the model can be
relied on. note: good to know, or not settled by this data. good: looked at, and nothing speaks against the model."""


class Code(NamedTuple):
    """One kind of finding: the question it answers, and what its number is."""

    question: str
    quantity: str


CODES = {
    "PL-PER-001": Code("How good is it on data it has not seen?", "quality on held-out data"),
    "PL-PER-002": Code("Is it as good on rare classes as on common ones?", "mean share found over the classes"),
    "PL-GEN-001": Code("Does it do worse on new data than on what it was trained on?", "train minus held-out quality"),
    "PL-GEN-002": Code("Does it miss even what the training rows show?", "training error above the least possible"),
    "PL-CAL-001": Code("When it says 90 %, is it right nine times in ten?", "calibration error"),
    "PL-SET-001": Code("Would sets of answers keep a promise of being right?", "share of rows covered"),
    "PL-SEL-001": Code("Does its confidence tell right answers from wrong ones?", "area under risk over coverage"),
    "PL-ROB-001": Code("Does it hold when the input is disturbed?", "quality lost under corruption"),
    "PL-ADV-001": Code("Does it hold against somebody who looks for its weak points?", "accuracy left, at most"),
    "PL-LEA-001": Code("Are test rows also among the training rows?", "share of test rows found again"),
    "PL-LEA-002": Code("Does a column give the label away?", "how well the best column alone predicts it"),
    "PL-LAB-001": Code("Are some labels wrong?", "share of wrong labels"),
    "PL-MEM-001": Code("Can it be told which rows it was trained on?", "advantage of an attacker over guessing"),
    "PL-SHI-001": Code(
        "Are the test rows drawn like the training rows?", "how well a classifier tells them apart (AUROC)"
    ),
    "PL-DOM-001": Code("Does it hold in other places or times?", "largest loss of quality in a domain"),
    "PL-SUB-001": Code("Does it serve some groups worse than others?", "largest difference of quality between groups"),
    "PL-SLI-001": Code("Are rows that nobody named served worse?", "loss in the worst slice beyond the rest"),
    "PL-EXP-001": Code("Are the explanations computed exactly enough?", "largest relative error of a map"),
    "PL-EXP-002": Code("Does it rest on a single input?", "share of the attribution on the largest input"),
    "PL-TRU-001": Code("Are the explanations faithful to the model?", "advantage over a random ranking"),
    "PL-ATT-001": Code("Does its attention show what it answers by?", "agreement with leaving parts out"),
    "PL-AUD-001": Code("Was everything looked at?", "questions left open"),
}
"""Every code there is. Codes are never reused or renumbered; a new kind of finding is a new line."""


@dataclass(frozen=True, eq=False)
class Finding(Value):
    """One thing a reader must know.

    Args:
        code: A key of `CODES`, the same in every version.
        severity: "critical", "warning", "note" or "good".
        title: The finding in plain words.
        evidence: A sentence with the number and its interval.
        value: The number, or None.
        interval: The interval of `value`, or None.
        reference: A number to compare `value` with and what it is called, such as (0.0, "no gap"), or None.
        unit: What `value` is in: "%" for a share, "points" for a difference of shares, "" for anything else.
        limits: When this finding misleads.
        next_step: What to do about it.

    Raises:
        InvalidOption: A code or severity that does not exist.

    Example:
        >>> Finding("PL-GEN-001", "good", "It does as well on new data", "Gap 0.3 % (interval -1 to 2 %).").anchor
        'pl-gen-001'
    """

    code: str
    severity: str
    title: str
    evidence: str
    value: float | None = None
    interval: Interval | None = None
    reference: tuple[float, str] | None = None
    unit: str = ""
    limits: str = ""
    next_step: str = ""

    def __post_init__(self) -> None:
        options.one_of(self, "severity", SEVERITIES)
        options.one_of(self, "unit", ("", "%", "points"))
        if self.code not in CODES:
            raise InvalidOption(
                f"Finding.code: there is no {self.code!r}; codes are listed in pellucid.report.finding.CODES"
            )

    @property
    def kind(self) -> Code:
        """The question that the code answers."""
        return CODES[self.code]

    @property
    def figure(self) -> str:
        """The number with the digits its interval supports and its unit."""
        return figure(self.value, self.interval, percent=self.unit != "", unit=self.unit)

    @property
    def span(self) -> str:
        """The interval likewise; empty where there is none."""
        return span(self.interval, percent=self.unit != "", unit=self.unit)

    @property
    def anchor(self) -> str:
        """Where the reference page of findings describes it."""
        return self.code.lower()

    @property
    def documentation(self) -> str:
        """Path of its description in the documentation."""
        return f"reference/findings.md#{self.anchor}"

    def summary(self) -> dict[str, Any]:
        """The finding with plain keys, as `audit.json` holds it."""
        ends = (
            None
            if self.interval is None
            else {"low": self.interval.low, "high": self.interval.high, "level": self.interval.level}
        )
        return {
            "code": self.code, "severity": self.severity, "title": self.title, "evidence": self.evidence, "value": self.value,
            "interval": ends, "unit": self.unit, "limits": self.limits, "next_step": self.next_step,
            "documentation": self.documentation,
        }  # fmt: skip


def by_severity(findings: Any) -> tuple[Finding, ...]:
    """Findings, the gravest first; of one severity in the order of `CODES`."""
    codes = list(CODES)
    return tuple(sorted(findings, key=lambda f: (SEVERITIES.index(f.severity), codes.index(f.code))))


def reference() -> str:
    """The reference page of every code, in Markdown."""
    parts = [f"## {code}\n\n{kind.question}\n\nNumber: {kind.quantity}." for code, kind in CODES.items()]
    return "# Findings\n\nEvery finding of an audit has a code that never changes.\n\n" + "\n\n".join(parts) + "\n"
