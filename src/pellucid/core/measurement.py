"""What `measure` and `verify` give: a number, its interval, and what it means in plain words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pellucid.core.record import Provenance, Record
from pellucid.core.resampling import Interval


@dataclass(frozen=True, eq=False)
class Measurement(Record):
    """One quantity, with its uncertainty and a verdict.

    Attributes:
        name: The quantity in snake case, dotted where it is one of several ("gap.accuracy").
        value: The estimate; None where the quantity could not be had (the verdict says why).
        interval: The confidence interval of `value`, or None where none applies.
        verdict: One of the measure's own few words ("overfits", "calibrated", "trusted", "not applicable", ...).
        detail: Everything behind it by name: curves as arrays, parts as numbers, an `explanation` in one sentence.
        provenance: What was run, on what, at what cost.
        better: Which way is better: "higher", "lower", or "" where neither is.
        share: Whether it is a share, or a difference of shares, to be read in per cent.
    """

    name: str
    value: float | None
    interval: Interval | None = None
    verdict: str = ""
    detail: Mapping[str, Any] = field(default_factory=dict)
    provenance: Provenance = field(default_factory=Provenance)
    better: str = ""
    share: bool = False

    def __str__(self) -> str:
        number = "n/a" if self.value is None else f"{self.value:.4g}"
        around = f" [{self.interval.low:.4g}, {self.interval.high:.4g}]" if self.interval else ""
        return f"{self.name} = {number}{around}" + (f" ({self.verdict})" if self.verdict else "")
