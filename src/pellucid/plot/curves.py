"""Curves behind a measurement: reliability, risk against coverage; each with its band."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pellucid.core.measurement import Measurement
from pellucid.core.numbers import figure, span
from pellucid.core.resampling import wilson
from pellucid.errors import InvalidInput
from pellucid.plot.axes import Frame, rounded
from pellucid.plot.scene import Box, Dot, Line, Mark, Picture, Table, Text
from pellucid.plot.theme import SMALL
from pellucid.shapes import Floats

SIZE = (460.0, 320.0)
"""Width and height of a chart in pixels: two fit beside each other on a page."""


def read(measurement: Measurement, *names: str, within: Mapping[str, Any] | None = None) -> list[Floats]:
    """Arrays of a measurement's detail, or an error that says which are missing."""
    held = measurement.detail if within is None else within
    missing = [name for name in names if held.get(name) is None]
    if missing:
        found = ", ".join(held) or "nothing"
        raise InvalidInput(f"{measurement.name} holds no {' and no '.join(missing)} to draw; it holds {found}")
    return [np.asarray(held[name], dtype=float) for name in names]


def reliability(measurement: Measurement) -> Picture:
    """Accuracy against confidence in bins, an interval for each bin and, below, how many examples it holds.

    The band holds what a calibrated model would show by chance, bin by bin.

    Args:
        measurement: What `CalibrationError` gives; the binning that its value is of is drawn.

    Raises:
        InvalidInput: A measurement of another kind.
    """
    chosen = getattr(measurement.provenance.method, "binning", "equal-width").replace("-", "_")
    held = measurement.detail.get(chosen, measurement.detail)
    said, came, count, low, high = read(measurement, "confidence", "accuracy", "count", "low", "high", within=held)
    start = float(np.clip(np.floor(10 * min(said.min(), low.min(), 0.9)) / 10, 0, 0.9))
    frame = Frame.of(SIZE, (start, 1.0), (start, 1.0))
    marks = frame.grid("how sure the model is", "how often it is right", percent_x=True, percent_y=True)
    marks += _counts(frame, said, count)
    if "expected_low" in held and len(said) > 1:  # where the dots of a calibrated model would lie
        least, most = read(measurement, "expected_low", "expected_high", within=held)
        marks.append(frame.band(said, np.clip(least, start, 1), np.clip(most, start, 1), "reference"))
    marks.append(frame.line((start, 1), (start, 1), "reference", 1.5, "4 3"))
    marks += _bins(frame, said, came, count, (low, high))
    left, right, top, base = (
        frame.x.start,
        frame.x.end,
        frame.y.end,
        frame.y.start,
    )  # dots lie between the other corners
    marks.append(Text(left + 8, top + 16, "above: too modest", "muted", SMALL))
    marks.append(Text(right - 8, base - 32, "below: too sure", "muted", SMALL, "end"))
    table = tuple(zip(rounded(said), rounded(came), rounded(low), rounded(high), map(int, count), strict=True))
    error = figure(measurement.value, measurement.interval, percent=True)
    told = f"Calibration error {error}, {span(measurement.interval, percent=True)}: {measurement.verdict}."
    columns = "confidence", "share right", "low", "high", "examples"
    return Picture(*SIZE, tuple(marks), "Confidence against being right", told, Table(columns, table))


def _bins(frame: Frame, said: Floats, came: Floats, count: Floats, ends: tuple[Floats, Floats]) -> list[Mark]:
    marks: list[Mark] = []
    for c, a, n, low, high in zip(said, came, count, *ends, strict=True):
        tip = f"{figure(a, percent=True)} right of {int(n)} at {figure(c, percent=True)}"
        marks.append(Line([(frame.x(c), frame.y(low)), (frame.x(c), frame.y(high))], "accent", 1.5))
        marks.append(Dot(*frame.point(c, a), 4, "accent", tip=tip))
    return marks


def _counts(frame: Frame, said: Floats, count: Floats) -> list[Mark]:
    """How many examples each bin holds, as low bars on the base line."""
    tall = np.maximum(1.0, 24 * count / max(1.0, float(count.max())))
    return [
        Box(frame.x(c) - 5, frame.y.start - h, 10, h, "reference", 0.35, 0, f"{int(n)} examples")
        for c, n, h in zip(said, count, tall, strict=True)
    ]


def risk_coverage(measurement: Measurement) -> Picture:
    """The error rate among the answers kept, when only the most confident share is answered.

    The band holds the Wilson interval of each error rate on its own.

    Args:
        measurement: What `SelectiveRisk` gives.

    Raises:
        InvalidInput: A measurement of another kind.
    """
    coverage, risk = read(measurement, "coverage", "risk")
    rows = max(1, round(1 / float(coverage[0])))
    keep = np.unique(np.linspace(0, len(coverage) - 1, 100).astype(int))
    coverage, risk = coverage[keep], risk[keep]
    level = getattr(measurement.provenance.method, "level", 0.95)
    around = [wilson(round(r * c * rows), max(1, round(c * rows)), level) for c, r in zip(coverage, risk, strict=True)]
    low, high = np.array([i.low for i in around]), np.array([i.high for i in around])
    full, top = float(risk[-1]), max(2.2 * float(risk.max()), float(high[-1]), 0.01)
    frame = Frame.of(SIZE, (0.0, 1.0), (0.0, min(1.0, top)))
    marks = frame.grid(
        "share answered, the surest first", "share of the answers that is wrong", percent_x=True, percent_y=True
    )
    marks += [frame.band(coverage, low, high, "accent"), frame.line(coverage, risk, "accent", 2.4)]
    marks.append(frame.line((0, 1), (full, full), "reference", 1.5, "4 3"))
    marks.append(
        Text(
            frame.x.start + 6,
            frame.y(full) - 7,
            f"all answered: {figure(full, around[-1], percent=True)} wrong",
            "muted",
            SMALL,
        )
    )
    some = np.unique(np.linspace(0, len(coverage) - 1, 21).astype(int))
    table = tuple(zip(*(rounded(a[some]) for a in (coverage, risk, low, high)), strict=True))
    told = f"Area under the curve {figure(measurement.value, measurement.interval)}: {measurement.verdict}."
    columns = "share answered", "share wrong", "low", "high"
    return Picture(*SIZE, tuple(marks), "Errors if it may decline to answer", told, Table(columns, table))
