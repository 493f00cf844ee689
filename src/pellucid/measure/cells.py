"""Calibration errors of several classes at once, in bins or by a kernel: pure functions of probabilities and labels.

Notation: p (N, C) the probabilities of C outcomes, z (N, C) which of them came true. The error of order q is the mean over
outcomes of the mean over rows of |E[z_c | p_c] - p_c|^q, to the power 1/q; E[z_c | p_c] is the share of hits in a bin, or that
among rows of about the same p_c, the row itself left out:

r_i = sum_{j != i} k(p_i, p_j) z_j / sum_{j != i} k(p_i, p_j), with k(p, s) the density at p of a Beta(s/h + 1, (1 - s)/h + 1).

Source: Popordanoska, Sayer and Blaschko 2022, arXiv:2210.07810; Nixon et al. 2019, arXiv:1904.01685 (by class).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pellucid.measure.bins import DRAWS, Bins, ErrorEstimate, Trial, binned, edges, inverted, shape
from pellucid.shapes import Array, Floats

FINE = 120
"""Cells of almost equal probabilities that a kernel works on; fewer different ones are all taken as they are."""

BANDWIDTHS = np.geomspace(1e-4, 0.3, 15)
"""The h among which the kernel's is chosen."""

FEW = 1000
"""Rows that the bandwidth is chosen by."""


@dataclass(frozen=True)
class Cells:
    """Rows of one outcome that are taken as of equal probability.

    Attributes:
        index: The cell (N,) of each row.
        held: What falls into each cell (M,).
        coarse: The bin (M,) of each cell, and what falls into each bin.
        kernel: k (M, M) between cells, each row up to a factor; None where a cell is a bin.
    """

    index: Array
    held: Bins
    coarse: tuple[Array, Bins]
    kernel: Floats | None = None

    def power(self, hits: Floats, norm: float) -> Floats:
        """Mean over rows of |E[z | p] - p|^q (R,), for hits (R, M) in each cell."""
        count, said = self.held.count, self.held.confidence
        if self.kernel is None:
            return np.abs(hits / count - said) ** norm @ self.held.weight
        own = np.diag(self.kernel)
        others = self.kernel @ count - own
        alone = others <= 1e-9 * own  # a row without any like it says nothing
        came, rest = hits @ self.kernel.T, np.where(alone, 1.0, others)
        hit, missed = (np.where(alone, 0, (part / rest - said)) for part in (came - own, came))
        return (hits * np.abs(hit) ** norm + (count - hits) * np.abs(missed) ** norm).sum(axis=1) / count.sum()

    def drawn(self, deviation: Floats, generator: np.random.Generator) -> Floats:
        """Hits (DRAWS, M) if each bin's truth is its confidence plus a deviation."""
        rate = np.clip(self.held.confidence + deviation[self.coarse[0]], 0, 1)
        share = generator.binomial(self.held.count, rate, size=(DRAWS, len(rate))) / self.held.count
        return self.held.count * np.clip(rate + (share - rate) * self.held.narrow, 0, 1)


def in_bins(said: Floats, came: Array, inner: Floats) -> Cells:
    """Cells that are bins between edges."""
    found = binned(said, came, inner)
    index = np.unique(np.searchsorted(inner, said, side="right"), return_inverse=True)[1]
    return Cells(index, found, (np.arange(len(found.count)), found))


def by_kernel(said: Floats, came: Array, inner: Floats, bandwidth: float) -> Cells:
    """Cells that a kernel joins."""
    values, index = np.unique(said, return_inverse=True)
    if len(values) > FINE:
        index = np.unique(np.searchsorted(edges(said, FINE, "equal-mass"), said, side="right"), return_inverse=True)[1]
    held = binned(index.astype(float), came, np.arange(1, index.max() + 1))
    mean = lambda part: np.bincount(index, weights=part) / held.count  # noqa: E731
    held = Bins(held.count, mean(said), held.accuracy, mean(said * (1 - said)))
    coarse = np.unique(np.searchsorted(inner, held.confidence, side="right"), return_inverse=True)[1]
    count = np.bincount(coarse, weights=held.count)
    over = lambda part: np.bincount(coarse, weights=held.count * part) / count  # noqa: E731
    bins = Bins(count.astype(int), over(held.confidence), over(held.accuracy), over(held.bernoulli))
    log = log_kernel(held.confidence, held.confidence, bandwidth)
    return Cells(index, held, (coarse, bins), np.exp(log - log.max(axis=1, keepdims=True)))


def log_kernel(at: Floats, of: Floats, bandwidth: float) -> Floats:
    """ln k (A, B) at some probabilities (A,) of the kernels of others (B,)."""
    from scipy.special import betaln

    p = np.clip(at, 1e-9, 1 - 1e-9)
    first, second = of / bandwidth, (1 - of) / bandwidth
    return np.stack([np.log(p), np.log1p(-p)], axis=1) @ np.stack([first, second]) - betaln(first + 1, second + 1)


def chosen_bandwidth(said: Floats, generator: np.random.Generator) -> float:
    """The h under which each row is likeliest among the others; hits do not enter, so that a test of them stays one."""
    rows = said if len(said) <= FEW else generator.choice(said, FEW, replace=False)

    def likelihood(h: float) -> float:
        log = log_kernel(rows, rows, h)
        np.fill_diagonal(log, -np.inf)
        top = log.max(axis=1)
        log -= top[:, None]  # in place: the exponentials of a million pairs, for every bandwidth
        return float(np.mean(top + np.log(np.exp(log, out=log).sum(axis=1))))

    return float(max(BANDWIDTHS, key=likelihood))


def estimate_of(
    p: Floats, z: Array, every: Sequence[Cells], generator: np.random.Generator, norm: float, level: float
) -> ErrorEstimate:
    """The calibration error of all outcomes, its noise removed, with its interval; see `bins.inverted`.

    A calibrated model's hits are drawn row by row, one outcome each. Under other truths they are drawn outcome by outcome,
    and then their errors are spread as far as rows that say something of several outcomes at once make them: near 0 as those of
    the calibrated model are, away from it as `standard_error` says.
    """
    ends = np.cumsum([len(c.coarse[1].count) for c in every])[:-1]

    def apart(deviation: Floats) -> Floats:
        hits = [c.drawn(d, generator) for c, d in zip(every, np.split(deviation, ends), strict=True)]
        return error_of(every, hits, norm)

    found = joined([c.coarse[1] for c in every])
    seen = float(error_of(every, [(c.held.count * c.held.accuracy)[None] for c in every], norm)[0])
    null, pattern = error_of(every, hits_drawn(p, every, generator), norm), shape(found, _sharper(every))
    centre, spread = null.mean(), max(float(null.std()), 1e-12)
    near = spread / max(float(apart(np.zeros(len(found.count))).std()), 1e-12)
    far = standard_error(p, z, every, norm)

    def sample(deviation: Floats) -> Floats:
        errors = apart(deviation)
        if len(every) == 1:
            return errors
        away = float(np.clip((errors.mean() - centre) / (2 * spread), 0, 1))
        wider = near ** (1 - away) * (far / max(float(errors.std()), 1e-12)) ** away
        return errors.mean() + (errors - errors.mean()) * wider

    return inverted(Trial(found, pattern, seen, null, sample), norm, level)


def standard_error(p: Floats, z: Array, every: Sequence[Cells], norm: float) -> float:
    """The standard error of the error of all outcomes in bins, by its influences: right where no bin's deviation is near 0, and
    too large where some are.
    """
    bins = joined([c.coarse[1] for c in every])
    size = max(float(np.sum(bins.weight * np.abs(bins.deviation) ** norm)) ** (1 / norm), 1e-12)
    influence = np.zeros(len(p))
    for k, cells in enumerate(every):
        place, held = cells.coarse
        pull = np.sign(held.deviation) * (np.abs(held.deviation) / size) ** (norm - 1)
        influence += pull[place][cells.index] * (z[:, k] - p[:, k])
    return float(influence.std() / np.sqrt(len(p)) / len(every))


def _sharper(every: Sequence[Cells]) -> Floats | float:
    """The errors of probabilities that are too sharp, of mean size 1: a pattern that outcomes can all have."""
    parts = [c.coarse[1] for c in every]
    towards_mean = np.concatenate([np.average(b.confidence, weights=b.count) - b.confidence for b in parts])
    size = float(np.sum(joined(parts).weight * np.abs(towards_mean)))
    return towards_mean / size if len(every) > 1 and size > 1e-9 else -1.0


def error_of(every: Sequence[Cells], hits: Sequence[Floats], norm: float) -> Floats:
    """The error of order q (R,) of all outcomes, for hits (R, M) in the cells of each."""
    return np.mean([c.power(h, norm) for c, h in zip(every, hits, strict=True)], axis=0) ** (1 / norm)


def joined(parts: Sequence[Bins]) -> Bins:
    """The bins of all outcomes."""
    names = ("count", "confidence", "accuracy", "bernoulli")
    return Bins(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def hits_drawn(p: Floats, every: Sequence[Cells], generator: np.random.Generator) -> list[Floats]:
    """Hits (DRAWS, M) in the cells of each outcome, if one comes true in each row by its probability (N, C); of one: or none."""
    starts = np.cumsum([0, *(len(c.held.count) for c in every)])
    cell = np.stack([c.index + start for c, start in zip(every, starts, strict=False)], axis=1)
    if len(every) == 1:  # the cell beyond the last holds the rows that miss
        p, cell = np.hstack([p, 1 - p]), np.hstack([cell, np.full_like(cell, starts[-1])])
    up_to = np.cumsum(p, axis=1)[:, :-1].astype(np.float32)
    rows, cells = np.arange(len(p)), starts[-1] + 1
    hits = np.empty((DRAWS, cells))
    size = max(1, 4_000_000 // p.size)
    for start in range(0, DRAWS, size):
        drawn = generator.random((min(size, DRAWS - start), len(p), 1), dtype=np.float32)
        outcome = np.sum(drawn > up_to, axis=2)
        place = cell[rows, outcome] + np.arange(len(drawn))[:, None] * cells
        hits[start : start + size] = np.bincount(place.ravel(), minlength=len(drawn) * cells).reshape(-1, cells)
    return np.split(hits[:, : starts[-1]], starts[1:-1], axis=1)
