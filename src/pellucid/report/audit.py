"""The verb `audit`: everything about one model on one page, with what speaks against it first."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pellucid.core.measurement import Measurement
from pellucid.core.randomness import check_seed
from pellucid.core.record import Provenance, Record, Stopwatch, versions, writing
from pellucid.explain.attention.reading import AttentionReading
from pellucid.explain.base import Explanation
from pellucid.plot.ranking import Importance
from pellucid.report.finding import SEVERITIES, Finding
from pellucid.report.selection import Example

FORMAT = "pellucid-audit/1"
PAGE, SUMMARY = "index.html", "audit.json"

BUDGET = 120.0
"""Seconds that the measures of an audit may take, where nothing else is said."""

SENTENCES = {
    "unfit": "Do not rely on this model yet: {grave}.",
    "caution": "Usable with care: {grave}.",
    "sound": "Nothing that was looked at speaks against relying on this model for data like the test data.",
}
"""What each verdict says. The word is that of the gravest finding; "sound" means looked at, not proven."""


@dataclass(frozen=True, eq=False)
class Audit(Record):
    """What is known about one model: findings, the numbers behind them, explanations and how far they can be trusted.

    Attributes:
        subject: What was audited: "model", "data", "task", "train_rows", "test_rows", "inputs", "outputs", "classes",
            "parameters", "date".
        findings: What a reader must know, gravest first.
        measurements: The results of the measures, in the order asked.
        explanation: The explanation of a sample of test rows (the first `sampled`) and of the examples shown.
        sampled: How many rows of the explanation are the fair sample.
        importance: Which inputs count over the sample.
        examples: The rows shown: typical, borderline, confidently wrong.
        attention: Where the model looks in a few of the examples, the first of each role; None of a model without attention.
        attended: The same on the examples themselves, where it takes a look at the model to place it, as on videos; else None.
        verification: The checks of the explanation, and of attention where there is any; empty where they could not be made.
        trust: What they amount to: "trusted", "doubtful", "refuted", or "unverified".
        trust_reason: Why, in plain words.
        skipped: (question, reason) for everything that does not apply or could not be done.
        notes: Remarks of the one who asked for the audit.
        provenance: Seed, cost, fingerprints, versions.
    """

    subject: Mapping[str, Any]
    findings: tuple[Finding, ...] = ()
    measurements: tuple[Measurement, ...] = ()
    explanation: Explanation | None = None
    sampled: int = 0
    importance: Importance | None = None
    examples: tuple[Example, ...] = ()
    attention: AttentionReading | None = None
    attended: Explanation | None = None
    verification: tuple[Measurement, ...] = ()
    trust: str = "unverified"
    trust_reason: str = ""
    skipped: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    provenance: Provenance = field(default_factory=Provenance)

    @property
    def verdict(self) -> str:
        """One word: "unfit" with a critical finding, "caution" with a warning, else "sound"."""
        gravest = min((SEVERITIES.index(f.severity) for f in self.findings), default=2)
        return ("unfit", "caution", "sound", "sound")[gravest]

    @property
    def sentence(self) -> str:
        """The verdict in one sentence."""
        gravest = next(iter(self.findings), None)
        same = [f.title[0].lower() + f.title[1:] for f in self.findings if gravest and f.severity == gravest.severity]
        return SENTENCES[self.verdict].format(grave=_joined(same[:3], len(same)))

    def summary(self) -> dict[str, Any]:
        """What `audit.json` holds: plain keys and numbers, without arrays."""
        from pellucid.report.render.plain import summary

        return summary(self)

    def html(self) -> str:
        """The page: one HTML document that needs nothing else."""
        from pellucid.report.render.html import page

        return page(self)

    def markdown(self) -> str:
        """The verdict and the findings as Markdown, for a comment on a change."""
        from pellucid.report.render.plain import markdown

        return markdown(self)

    def save(self, folder: str | Path) -> Path:
        """Write `index.html`, `audit.json` and the record (`record.json`, `arrays.npz`) to a folder.

        Everything is written beside the folder first and put in place at the end: an audit that cannot be written
        leaves nothing half-written.

        Raises:
            UnwritableOutput: The folder cannot be made or written.
        """
        import json

        text = json.dumps(self.summary(), indent=2, ensure_ascii=False, allow_nan=False)
        page = self.html()
        with writing(Path(folder)) as draft:
            super().save(draft)
            (draft / PAGE).write_text(page, encoding="utf-8")
            (draft / SUMMARY).write_text(text + "\n", encoding="utf-8")
        return Path(folder)

    def __rich__(self) -> Any:
        from pellucid.report.render.terminal import overview

        return overview(self)

    def _repr_html_(self) -> str:
        from pellucid.plot.scene import escape

        return f'<iframe srcdoc="{escape(self.html())}" style="width:100%;height:80vh;border:0" title="Audit"></iframe>'


def _joined(titles: list[str], count: int) -> str:
    more = (
        [f"and {count - len(titles)} more" if count - len(titles) > 1 else "and one more"]
        if count > len(titles)
        else []
    )
    return "; ".join([*titles, *more])


def audit(
    model: Any,
    *,
    train: Any,
    test: Any,
    method: Any = None,
    measures: Sequence[Any] | None = None,
    examples: int | Iterable[int] = 2,
    seed: int = 0,
    budget: float | None = BUDGET,
    progress: bool | None = None,
    notes: Sequence[str] = (),
) -> Audit:
    """Audit a model: measure it, explain it, check the explanations, and say what a reader must know.

    The model is never trained or changed.

    Args:
        model: A Keras model, `torch.nn.Module` or callable, wrapped or not.
        train: What the model was trained on: a `pl.Dataset` or an `(x, y)` pair.
        test: Data it has not seen, likewise.
        method: How to explain; None for `IntegratedGradients` from the mean of the training rows (tables) or from
            zeros (everything else), and for `PermutationShapley` or `Occlusion` where the model has no gradients.
        measures: What to measure; None for `pl.default_measures()`.
        examples: How many rows to show of each role (typical, borderline, confidently wrong), or which test rows.
        seed: Same seed, same audit.
        budget: Seconds for the measures: they are made in the order of their cost, and the report says which were left out;
            None for no limit.
        progress: Show a bar; None shows it on a terminal.
        notes: Remarks to be shown in the report, for one that the model was trained for this audit.

    Returns:
        An `Audit`; `save` writes the report.

    Raises:
        InvalidInput: Data that do not fit the model; a single measure or check that fails is told in the audit.

    Limits:
        An audit looks at the rows it is given. It cannot see what neither set holds: other places, other times, other
        kinds of rows; nor whether the labels are true.
    """
    from pellucid.report.gather import gather

    clock = Stopwatch()
    asked = {"method": method, "measures": measures, "examples": examples, "budget": budget}
    found = gather(model, (train, test), asked, check_seed(seed), progress)
    provenance = Provenance(
        method=found.explanation.method if found.explanation is not None else None, seed=seed, evaluations=found.evaluations,
        seconds=clock.seconds, model=found.fingerprint, inputs=found.inputs, versions=versions(),
    )  # fmt: skip
    fields = {f.name for f in dataclasses.fields(Audit)} & {f.name for f in dataclasses.fields(found)}
    return Audit(**{name: getattr(found, name) for name in fields}, notes=tuple(notes), provenance=provenance)
