"""Which inputs count, over many examples, and how sure that is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pellucid.core.numbers import figure
from pellucid.core.randomness import stream
from pellucid.core.record import Record
from pellucid.core.resampling import Interval
from pellucid.plot.axes import Scale, bar, limits, tick_label, ticks, whisker
from pellucid.plot.heat import channels_first, heatmap
from pellucid.plot.scene import Box, Line, Mark, Picture, Table, Text, shorten, text_width
from pellucid.plot.theme import SMALL
from pellucid.plot.words import words_of
from pellucid.shapes import Array, Floats

RESAMPLES = 1000


@dataclass(frozen=True, eq=False)
class Importance(Record):
    """Mean absolute attribution of each input over many examples, with a bootstrap interval over the examples.

    Attributes:
        names: The inputs: columns of a table (encoded columns of one origin together), words of texts, bands of
            spectrograms, or pixels.
        values: Mean absolute attribution (F,), or (H, W) for images, in units of the score explained.
        low, high: Ends of the percentile interval, the shape of `values`.
        shares: Each value over the sum of all.
        share_low, share_high: Ends of the interval of each share.
        examples: How many examples it is of.
        level: Confidence level of the intervals.

    Limits:
        The interval says how much the mean would change with other examples from the same source. It says nothing
        about whether the attributions themselves are right: that is what `verify` is for.
    """

    names: tuple[str, ...]
    values: Floats
    low: Floats
    high: Floats
    shares: Floats
    share_low: Floats
    share_high: Floats
    examples: int
    level: float = 0.95

    def order(self) -> Array:
        """Indices of the inputs, the most important first."""
        return np.argsort(-self.values.ravel(), kind="stable")

    def interval(self, index: int) -> Interval:
        """The interval of one input's mean."""
        return self._between(self.low, self.high, index)

    def share_interval(self, index: int) -> Interval:
        """The interval of one input's share of the whole."""
        return self._between(self.share_low, self.share_high, index)

    def _between(self, low: Floats, high: Floats, index: int) -> Interval:
        return Interval(float(low.ravel()[index]), float(high.ravel()[index]), self.level, "bootstrap (percentile)")


def summarise(explanation: Any, *, level: float = 0.95, seed: int = 0) -> Importance:
    """The mean absolute attribution of each input over the examples of an explanation.

    Encoded columns of one origin are added up in each example before the absolute value is taken, so that a category
    spread over ten columns counts as one input; so are the places of a text where the same word stands. What happens at one
    time in one sound or video happens at another in the next: their absolute values are added up over time.

    Example:
        >>> import numpy as np
        >>> from pellucid.explain.base import Explanation
        >>> one = np.ones(2)
        >>> e = Explanation(np.array([[1.0, -2.0], [3.0, -2.0]]), np.zeros((2, 2)), one, one, one, one, one)
        >>> summarise(e).values
        array([2., 2.])
    """
    names, parts = by_word(explanation) if _is_text(explanation) else by_column(explanation)
    parts = np.abs(parts).astype(float)
    if explanation.kind in ("audio", "video") and not explanation.hidden and not isinstance(explanation.values, dict):
        names, parts = over_time(explanation, names, parts)
    count, flat = len(parts), parts.reshape(len(parts), -1)
    generator = stream(seed, "importance")
    weights = generator.multinomial(count, np.full(count, 1 / count), size=RESAMPLES) / count
    mean = flat.mean(0)
    ends = _ends(weights, flat, (0.5 - level / 2, 0.5 + level / 2))
    put = lambda a: np.asarray(a).reshape(parts.shape[1:])  # noqa: E731
    shares = mean / (mean.sum() or 1.0)
    low, high, share_low, share_high = map(put, ends)
    return Importance(tuple(names), put(mean), low, high, put(shares), share_low, share_high, count, level)


def _ends(weights: Floats, flat: Floats, levels: tuple[float, float]) -> Floats:
    """Ends (4, F) of the intervals of means and of shares; some thousand inputs at a time, so memory is bounded."""
    total = weights @ flat.sum(1, keepdims=True)
    total[total == 0] = 1.0
    blocks = []
    for start in range(0, flat.shape[1], 2048):
        drawn = weights @ flat[:, start : start + 2048]
        blocks.append(np.concatenate([np.quantile(drawn, levels, axis=0), np.quantile(drawn / total, levels, axis=0)]))
    return np.concatenate(blocks, axis=1)


def over_time(explanation: Any, names: list[str], parts: Floats) -> tuple[list[str], Floats]:
    """Sizes (B, M) of the bands of spectrograms, (B, H, W) of the pixels of videos; others as they are."""
    shape = explanation.values.shape[1:]
    if explanation.kind == "audio" and len(shape) == 2:
        bands = explanation.feature_names or [f"band {i}" for i in range(shape[1])]
        return list(bands), parts.reshape(-1, *shape).sum(1)
    if explanation.kind == "video" and len(shape) == 4:
        return [], parts.reshape(-1, *shape).sum((1, 4))
    return names, parts


def _is_text(explanation: Any) -> bool:
    ids, values = explanation.inputs, explanation.values
    plain = (
        hasattr(ids, "dtype") and hasattr(values, "ndim") and ids.ndim == values.ndim == 2 and not explanation.hidden
    )
    return explanation.kind == "text" and plain and ids.shape == values.shape


def by_word(explanation: Any) -> tuple[list[str], Array]:
    """Names (V,) and attributions (B, V) of the words of texts, wherever they stand; padding (token 0) is left out."""
    ids = np.asarray(explanation.inputs).astype(int)
    found, place = np.unique(ids, return_inverse=True)
    total = np.zeros((len(ids), len(found)))
    np.add.at(total, (np.arange(len(ids))[:, None], place.reshape(ids.shape)), explanation.values)
    names = list(words_of(explanation, found) or [f"token {i}" for i in found])
    if found[0] == 0 and len(found) > 1:
        return names[1:], total[:, 1:]
    return names, total


def by_column(explanation: Any) -> tuple[list[str], Array]:
    """Names (F,) and attributions (B, F) of a table's original columns; places of an image keep their two axes."""
    values = explanation.values
    if isinstance(values, dict):
        names = [f"{key}[{i}]" for key, v in values.items() for i in range(int(np.prod(v.shape[1:])))]
        return names, np.concatenate([v.reshape(len(v), -1) for v in values.values()], axis=1)
    if explanation.kind == "image" and values.ndim in (3, 4):
        return [], values if values.ndim == 3 else values.sum(1 if channels_first(explanation.inputs.shape[1:]) else -1)
    flat = values.reshape(len(values), -1)
    of_inputs = explanation.feature_names or _by_place(explanation.kind, values.shape[1:])
    names = [f"{explanation.layer} [{i}]" for i in range(flat.shape[1])] if explanation.hidden else list(of_inputs)
    if len(names) != flat.shape[1]:
        names = [f"{names[i % len(names)]} [{i // len(names)}]" for i in range(flat.shape[1])]
    columns = explanation.columns
    if columns is None or len(columns) != flat.shape[1]:
        return names, flat
    origins = list(dict.fromkeys(columns))
    member = np.array([[column == origin for origin in origins] for column in columns], dtype=flat.dtype)
    return origins, flat @ member


def _by_place(kind: str, shape: tuple[int, ...]) -> list[str]:
    """What to call inputs that have no names: by their place in a sound or a video, else by number."""
    axes = {("audio", 2): ("frame", "band"), ("video", 3): ("frame", "row", "column")}.get((kind, len(shape)))
    if kind == "video" and len(shape) == 4 and shape[-1] == 1:
        return _by_place(kind, shape[:-1])
    if axes is None:
        return [f"input {i}" for i in range(int(np.prod(shape)))]
    return [", ".join(f"{axis} {i}" for axis, i in zip(axes, place, strict=True)) for place in np.ndindex(*shape)]


def importance(source: Any, *, top: int = 15, title: str = "What the model looks at", width: float = 500) -> Picture:
    """The most important inputs as bars with intervals; for images a map of the mean absolute attribution.

    Args:
        source: An `Explanation` of many examples, or an `Importance`.
        top: How many inputs are drawn; the rest are added up in words.
        title: What is drawn.
        width: Width of the picture in pixels.
    """
    found = source if isinstance(source, Importance) else summarise(source)
    if found.values.ndim == 2:
        told = f"Mean absolute attribution of each pixel over {found.examples} examples."
        return heatmap(found.values, title=title, description=told, table=_pixels(found, top))
    order = found.order()[:top]
    names = [found.names[i] for i in order]
    left = min(width * 0.42, max(text_width(n) for n in names) + 18)
    _, high = limits(found.high[order], include=(0.0,))
    scale = Scale(0.0, high, left, width - 76)
    base = 12 + 26 * len(order)
    marks = _axis(scale, base, "mean |attribution|, in units of the score")
    for place, i in enumerate(order):
        marks += _bar(found, int(i), 24 + 26 * place, scale, width)
    rows = tuple(
        (found.names[i], *_figures(found, int(i)), figure(float(found.shares[i]), percent=True)) for i in order
    )
    return Picture(
        width,
        base + 44,
        tuple(marks),
        title,
        _told(found, names),
        Table(("input", "mean |attribution|", "low", "high", "share"), rows),
    )


def _pixels(found: Importance, top: int) -> Table:
    """The pixels that count most, with their intervals."""
    places = [(int(i), *map(int, np.unravel_index(i, found.values.shape))) for i in found.order()[:top]]
    rows = tuple((row, column, *_figures(found, i)) for i, row, column in places)
    return Table(("row", "column", "mean |attribution|", "low", "high"), rows)


def _axis(scale: Scale, base: float, label: str) -> list[Mark]:
    marks: list[Mark] = []
    for tick in ticks(scale.low, scale.high, 4):
        marks.append(Line([(scale(tick), 8), (scale(tick), base)], "rule", 1))
        marks.append(Text(scale(tick), base + 16, tick_label(tick, False), "muted", SMALL, "middle"))
    marks.append(Text(scale.end, base + 34, label, "muted", SMALL, "end"))
    return marks


def _bar(found: Importance, i: int, y: float, scale: Scale, width: float) -> list[Mark]:
    name, value, low, high = found.names[i], float(found.values[i]), float(found.low[i]), float(found.high[i])
    tip = f"{name}: {figure(value, found.interval(i))}"
    return [
        Text(scale.start - 12, y + 4, shorten(name, scale.start - 16), anchor="end"),
        Box(*bar(y, scale(0), scale(value), 14), "accent", 0.55, 2, tip),
        *whisker(y, scale(low), scale(high), "ink", 3, 1.2),
        Text(width - 2, y + 4, figure(float(found.shares[i]), percent=True), "muted", SMALL, "end"),
    ]


def _figures(found: Importance, i: int) -> tuple[str, str, str]:
    interval = found.interval(i)
    return (
        figure(float(found.values.ravel()[i]), interval),
        figure(interval.low, interval),
        figure(interval.high, interval),
    )


def _told(found: Importance, names: Sequence[str]) -> str:
    rest = len(found.names) - len(names)
    share = float(found.shares[found.order()[: len(names)]].sum())
    more = f"; the other {rest} inputs hold {figure(1 - share, percent=True)}" if rest > 0 else ""
    return f"Over {found.examples} examples, most important first: {', '.join(names[:3])}{more}."
