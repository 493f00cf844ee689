"""Quality as the input is disturbed more and more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pellucid.core.measurement import Measurement
from pellucid.core.numbers import figure
from pellucid.errors import InvalidInput
from pellucid.plot.axes import Frame, limits
from pellucid.plot.curves import SIZE, read
from pellucid.plot.scene import Dot, Line, Mark, Picture, Table, Text, shorten, text_width
from pellucid.plot.theme import SMALL
from pellucid.shapes import Floats


def robustness(measurement: Measurement) -> Picture:
    """Quality at each severity, one line a corruption with whiskers; the one that costs most stands out.

    Args:
        measurement: What `CorruptionRobustness` gives.

    Raises:
        InvalidInput: A measurement of another kind.
    """
    parts = measurement.detail.get("corruptions")
    if not isinstance(parts, Mapping) or not parts:
        raise InvalidInput(f"{measurement.name} holds no corruptions to draw")
    severities = read(measurement, "severities")[0]
    clean, quality = float(measurement.detail["clean"]), str(measurement.detail.get("quality", "quality"))
    share = quality == "accuracy"
    kept = (lambda a: np.clip(a, 0, 1)) if share else (lambda a: a)
    curves = {
        name: [kept(clean - np.asarray(part[key], float)) for key in ("drop", "high", "low")]
        for name, part in parts.items()
    }
    last, room = float(severities[-1]), 14 + max(text_width(name, SMALL) for name in curves)
    y = limits([v for curve in curves.values() for side in curve for v in side], include=(clean,))
    frame = Frame.of(
        SIZE, (0.0, last * (SIZE[0] - 70) / (SIZE[0] - 70 - min(room, 150))), (y[0], min(1.0, y[1] + 0.02))
    )
    marks = [m for m in frame.grid("severity", quality, percent_y=share) if not _beyond(m, frame, last)]
    marks.append(Line([frame.point(0, clean), frame.point(last, clean)], "reference", 1.5, "4 3"))
    marks.append(
        Text(frame.x(0) + 6, frame.y(clean) - 7, f"undisturbed {figure(clean, percent=share)}", "muted", SMALL)
    )
    worst = str(measurement.detail.get("worst", ""))
    for place, name in enumerate(sorted(curves, key=lambda n: n == worst)):
        marks += _curve(frame, severities, clean, curves[name], (name == worst, 3.0 * (place - len(curves) / 2)))
    marks += _labels(frame, last, {name: float(curve[0][-1]) for name, curve in curves.items()}, worst)
    told = f"{worst} costs most; the dashed line is the undisturbed {quality}."
    return Picture(
        *SIZE,
        tuple(marks),
        f"{quality[0].upper()}{quality[1:]} as the input is disturbed",
        told,
        _table(parts, severities),
    )


def _beyond(mark: Mark, frame: Frame, last: float) -> bool:
    """Whether a mark of the axis of severities lies where the labels stand."""
    axis = (isinstance(mark, Text) and mark.anchor == "middle") or (
        isinstance(mark, Line) and mark.points[0][0] == mark.points[-1][0]
    )
    x = mark.x if isinstance(mark, Text) else mark.points[0][0] if isinstance(mark, Line) else 0.0
    return axis and x > frame.x(last) + 1


def _curve(
    frame: Frame, severities: Floats, clean: float, curve: Sequence[Floats], look: tuple[bool, float]
) -> list[Mark]:
    """A line from the undisturbed quality on, whiskers moved a little sideways so that they do not hide each other."""
    stands_out, shift = look
    colour, width = ("accent", 2.4) if stands_out else ("reference", 1.4)
    value, low, high = curve
    marks: list[Mark] = []
    for s, lo, hi, v in zip(severities, low, high, value, strict=True):
        x = frame.x(s) + shift
        marks.append(Line([(x, frame.y(lo)), (x, frame.y(hi))], colour, 1.2))
        marks.append(Dot(x, frame.y(v), 3.2 if stands_out else 2.4, colour))
    points = [
        frame.point(0, clean),
        *((frame.x(s) + shift, frame.y(v)) for s, v in zip(severities, value, strict=True)),
    ]
    return [Line(points, colour, width), *marks]


def _labels(frame: Frame, last: float, ends: Mapping[str, float], worst: str) -> list[Mark]:
    """Direct labels at the ends of the curves, moved apart where they would overlap."""
    x, below = frame.x(last) + 14, -1e9
    marks: list[Mark] = []
    for name, end in sorted(ends.items(), key=lambda item: -item[1]):
        below = max(frame.y(end), below + 15)
        colour = "accent" if name == worst else "muted"
        marks.append(Text(x, below + 4, shorten(name, SIZE[0] - x - 2, SMALL), colour, SMALL, "start", name == worst))
    return marks


def _table(parts: Mapping[str, Any], severities: Floats) -> Table:
    rows = tuple(
        (name, int(s), *(figure(float(part[key][i])) for key in ("drop", "low", "high")))
        for name, part in parts.items()
        for i, s in enumerate(severities)
    )
    return Table(("corruption", "severity", "lost", "low", "high"), rows)
