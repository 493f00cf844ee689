"""Hide one part at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from pellucid.core.baselines import resolve_baseline
from pellucid.core.masks import Players, hidden_scores, make_players
from pellucid.errors import InvalidOption
from pellucid.explain.base import Attribution, Method, Question
from pellucid.shapes import Array, Floats


@dataclass(frozen=True, eq=False)
class Occlusion(Method):
    """The fall of the score when a part is hidden: what is missed most?

    A window w slides over the input; `values[i]` is the mean over the windows that cover entry i of
    `score(x) - score(x with w replaced by the baseline)`. A table hides one column at a time (all columns that were
    encoded from one go together, and share its fall evenly), a sentence one token.

    Args:
        window: Size of the window: a whole number, one for each axis but the channels', or None: an eighth of each axis
            of an image or sequence, one column or token.
        stride: Step of the window, in the same forms; None: half the window.
        baseline: What hidden entries are replaced by: a number, one example, one for each (B, ...), or a dict.

    Raises:
        InvalidOption: A window or stride that does not fit the input.

    Example:
        >>> import numpy as np, pellucid as pl
        >>> e = pl.explain(lambda x: x[:, 0] * x[:, 1] + x[:, 2], np.array([[2.0, 3.0, 4.0]]), pl.Occlusion())
        >>> e.values.tolist()
        [[6.0, 6.0, 4.0]]

    References:
        Zeiler and Fergus 2014, "Visualizing and understanding convolutional networks", arXiv:1311.2901.

    Limits:
        Parts that stand in for each other both look unimportant, parts that need each other are counted twice (above, x0
        and x1 get 6 each of a product of 6). Hidden inputs may be unlike anything the model was trained on.
    """

    window: Any = None
    stride: Any = None
    baseline: Any = 0.0

    def __post_init__(self) -> None:
        for name in ("window", "stride"):
            value = getattr(self, name)
            sizes = np.atleast_1d(np.asarray(1 if value is None else value))
            if sizes.dtype.kind not in "iuf" or sizes.ndim > 1 or not all(v >= 1 and v == np.floor(v) for v in sizes):
                raise InvalidOption(f"Occlusion.{name}: expected whole numbers of at least 1 or None, got {value!r}")

    def attribute(self, question: Question) -> Attribution:
        """See `Method.attribute`."""
        q, fill = question, resolve_baseline(self.baseline, question.model, question.inputs)
        cells = make_players(q.inputs, q.kind, patch=_one_each(q), columns=q.columns)
        hide = np.concatenate(self._windows(q, cells))
        scores = hidden_scores(q.model, q.inputs, fill, q.target, cells, hide)
        falls = q.output[:, None] - scores
        mean = (falls.astype(np.float64) @ hide) / np.maximum(hide.sum(0), 1)
        cost = np.full(len(q), len(hide))
        values = tuple(self._shares(mean, a, cells) for a in cells.assignment)
        return Attribution(values, cost, np.ones(len(q), bool), baseline=fill, baseline_output=q.score_of(fill))

    def _shares(self, falls: Floats, assignment: Array, cells: Players) -> Floats:
        """The falls of cells (B, G) at the entries; columns of one origin have a part of it each, as they are added up."""
        each = cells.sizes()[assignment] if assignment.ndim < 2 else 1
        return (falls[:, assignment] / each).astype(np.float32)

    def _windows(self, question: Question, cells: Players) -> list[Array]:
        """Which cells each window hides (M, G), input by input."""
        found = []
        for array, assignment in zip(question.inputs, cells.assignment, strict=True):
            axes = array.shape[1:-1] if array.ndim > 2 else array.shape[1:]
            if array.ndim <= 2 and self.window is None:
                own = np.unique(assignment)
                found.append(np.eye(cells.count, dtype=bool)[own])
                continue
            window = _each_axis("window", self.window, [max(1, -(-n // 8)) for n in axes])
            stride = _each_axis("stride", self.stride, [max(1, w // 2) for w in window])
            grid = assignment if array.ndim <= 2 else assignment[..., 0]
            found.append(_sliding(grid, window, stride, cells.count))
        return found


def _one_each(question: Question) -> int | None:
    return 1 if any(a.ndim > 2 for a in question.inputs) else None


def _each_axis(name: str, given: Any, default: Sequence[int]) -> list[int]:
    if given is None:
        return list(default)
    sizes = [int(given)] * len(default) if np.ndim(given) == 0 else [int(v) for v in given]
    if len(sizes) != len(default):
        raise InvalidOption(f"Occlusion.{name}: expected one number or {len(default)}, one an axis, got {given!r}")
    return sizes


def _sliding(grid: Array, window: Sequence[int], stride: Sequence[int], count: int) -> Array:
    """Masks (M, G) of a window at every step; the last step reaches the end."""
    if any(s > w for s, w in zip(stride, window, strict=True)):
        raise InvalidOption(
            f"Occlusion.stride: {tuple(stride)} is wider than the window {tuple(window)}: entries would be left out"
        )
    starts = [_starts(n, w, s) for n, w, s in zip(grid.shape, window, stride, strict=True)]
    hide = np.zeros((int(np.prod([len(s) for s in starts])), count), dtype=bool)
    for mask, corner in zip(hide, product(*starts), strict=True):
        part = tuple(slice(c, c + w) for c, w in zip(corner, window, strict=True))
        mask[grid[part].ravel()] = True
    return hide


def _starts(length: int, window: int, stride: int) -> list[int]:
    last = max(0, length - window)
    return sorted({*range(0, last, stride), last})
