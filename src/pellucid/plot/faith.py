"""What the checks of an explanation saw: curves against random rankings, similarity against random weights."""

from __future__ import annotations

import numpy as np

from pellucid.core.measurement import Measurement
from pellucid.core.numbers import figure, span
from pellucid.plot.axes import Frame, limits, rounded
from pellucid.plot.curves import SIZE, read
from pellucid.plot.scene import Dot, Line, Mark, Picture, Table, Text, shorten
from pellucid.plot.theme import SMALL


def faithfulness(measurement: Measurement) -> Picture:
    """A check of an explanation as a picture.

    For `Deletion` and `Insertion`: the mean score as parts are hidden or shown in the order of the explanation, over the
    band that random orders span. For `ParameterRandomization`: how alike the explanation stays as layers are made
    random, from the last to the first.

    Args:
        measurement: What one of these checks gives.

    Raises:
        InvalidInput: A measurement of another kind.
    """
    if "similarities" in measurement.detail:
        return _randomized(measurement)
    return _ranked(measurement)


def _ranked(measurement: Measurement) -> Picture:
    share, own, chance, low, high = read(measurement, "fractions", "curve", "random_curve", "random_low", "random_high")
    deleting = (
        own[0] >= own[-1] if measurement.name not in ("deletion", "insertion") else measurement.name == "deletion"
    )
    verb, edge = ("hidden", "score falls") if deleting else ("shown", "score rises")
    frame = Frame.of(SIZE, (0.0, 1.0), limits([*own, *low, *high]))
    marks: list[Mark] = frame.grid(f"share of inputs {verb}, the most important first", "mean score", percent_x=True)
    marks += [frame.band(share, low, high, "reference"), frame.line(share, chance, "reference", 1.5, "4 3")]
    marks.append(frame.line(share, own, "accent", 2.4))
    marks += _labels(frame, share, own, chance)
    rows = tuple(zip(*(rounded(a) for a in (share, own, chance, low, high)), strict=True))
    told = (
        f"The {edge} earlier than with random rankings by {figure(measurement.value, measurement.interval)} "
        f"({span(measurement.interval)}) of its whole change: {measurement.verdict}."
    )
    table = Table((f"share {verb}", "score", "random", "low", "high"), rows)
    title = f"{'Deletion' if deleting else 'Insertion'}: the score as inputs are {verb}"
    return Picture(*SIZE, tuple(marks), title, told, table)


def _labels(frame: Frame, share: np.ndarray, own: np.ndarray, chance: np.ndarray) -> list[Mark]:
    """Names where the curves are furthest apart: a curve bends away from its name, which stands on its outer side."""
    apart = np.where(share >= 0.3, np.abs(own - chance), -1.0)  # further left there is no room for words
    at = int(np.argmax(apart))
    above = own[at] > chance[at]
    x, mine, theirs = frame.x(float(share[at])), frame.y(float(own[at])), frame.y(float(chance[at]))
    return [
        Text(x - 10, mine + (-4 if above else 12), "this explanation", "accent", SMALL, "end", True),
        Text(x + 10, theirs + (20 if above else -10), "random rankings", "muted", SMALL),
    ]


def _randomized(measurement: Measurement) -> Picture:
    (similar,) = read(measurement, "similarities")
    names = ["none", *map(str, measurement.detail["layers"])]
    values = np.concatenate([[1.0], similar])
    limit = float(measurement.detail.get("limit", 0.5))
    frame = Frame.of(SIZE, (-0.4, len(values) - 0.6), (min(-0.2, float(values.min()) - 0.05), 1.05))
    marks: list[Mark] = [m for m in frame.grid("", "rank correlation with the explanation") if _upright(m, frame)]
    marks.append(Line([(frame.x.start, frame.y(limit)), (frame.x.end, frame.y(limit))], "reference", 1.5, "4 3"))
    marks.append(Text(frame.x.end, frame.y(limit) - 6, "should end below this", "muted", SMALL, "end"))
    x = np.arange(len(values))
    marks.append(frame.line(x, values, "accent", 2.2))
    marks += _end(frame, measurement, len(values) - 1)
    room = (frame.x.end - frame.x.start) / len(values)
    for i, (name, value) in enumerate(zip(names, values, strict=True)):
        marks.append(Dot(frame.x(i), frame.y(float(value)), 4, "accent", tip=f"{name}: {figure(float(value))}"))
        if room > 36 or i in (0, len(values) - 1):
            marks.append(
                Text(frame.x(i), frame.y.start + 18, shorten(name, max(44, room - 4), SMALL), "muted", SMALL, "middle")
            )
    marks.append(
        Text(frame.x.end, frame.y.start + 36, "layers made random, one after the other", "muted", SMALL, "end")
    )
    left = f"{figure(measurement.value, measurement.interval)} ({span(measurement.interval)})"
    told = f"With every layer random the correlation is {left}: {measurement.verdict}."
    table = Table(("layers random up to", "rank correlation"), tuple(zip(names, rounded(values), strict=True)))
    return Picture(*SIZE, tuple(marks), "Randomization: does the explanation need the weights?", told, table)


def _upright(mark: Mark, frame: Frame) -> bool:
    """Whether a mark of the grid belongs to the upright axis."""
    if isinstance(mark, Text):
        return mark.anchor != "middle" and mark.text != ""
    return isinstance(mark, Line) and mark.points[0][1] == mark.points[-1][1]


def _end(frame: Frame, measurement: Measurement, last: int) -> list[Mark]:
    if measurement.interval is None:
        return []
    x = frame.x(last)
    low, high = frame.y(measurement.interval.low), frame.y(measurement.interval.high)
    return [
        Line([(x, low), (x, high)], "accent", 1.5),
        Line([(x - 4, low), (x + 4, low)], "accent", 1.5),
        Line([(x - 4, high), (x + 4, high)], "accent", 1.5),
    ]
