"""How many labels are wrong, from probabilities and labels: confident learning, corrected for rows that are only hard.

With p (B, K) the true classes' probabilities and T[z, i] the chance that a row of class z is labelled i, labels are drawn by
P(i | x) = sum_z p_z(x) T[z, i]. Everything here is a pure function of arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from pellucid.core.resampling import Interval, clopper_pearson, studentized
from pellucid.shapes import Array, Floats

LEAST = 1e-12
"""Probabilities are kept above this before their logarithm is taken."""

FEW = 10
"""Sure rows with another label below which their number is too small for a bootstrap."""


@dataclass(frozen=True)
class Sharpness:
    """The power that makes probabilities fit, p^power / sum p^power, its error and influence (B,), and how well they fit."""

    power: float
    error: float
    influence: Floats
    likelihood: float = 0.0


def sharpened(p: Floats, power: float) -> Floats:
    """Probabilities (B, K) at another temperature: p^power, each row summing to one."""
    from scipy.special import softmax

    return softmax(power * np.log(np.maximum(p, LEAST)), axis=1)


def sharpness(p: Floats, y: Array, wrong: Floats, most: float = 0.9) -> Sharpness:
    """The power under which labels are best explained, a share e <= `most` being wrong and then drawn with chance `wrong` (B,).

    Maximum likelihood of (1 - e) p_y + e wrong: wrong labels of sure rows make e, not the power, which they would spoil if every
    label had to be explained by doubt. Where sure and unsure rows cannot be told apart the error of the power is large.
    """
    from scipy.optimize import minimize

    logs, rows = np.log(np.maximum(p, LEAST)), np.arange(len(y))

    def slopes(power: float, share: float) -> tuple[Floats, Floats]:
        """The logarithm of each row's likelihood, and its slopes by the logarithm of the power and by e."""
        soft = sharpened(p, power)
        mixed = (1 - share) * soft[rows, y] + share * wrong
        along = (1 - share) * soft[rows, y] * (logs[rows, y] - np.sum(soft * logs, axis=1)) * power
        return np.log(mixed), np.stack([along / mixed, (wrong - soft[rows, y]) / mixed], axis=1)

    def loss(at: Floats) -> tuple[float, Floats]:
        found, slope = slopes(float(np.exp(at[0])), float(at[1]))
        return -float(found.mean()), -slope.mean(axis=0)

    found = minimize(loss, [0.0, min(0.05, most)], jac=True, bounds=[(-3.0, 3.0), (min(1e-6, most / 2), most)])
    best = found.x
    slope = slopes(float(np.exp(best[0])), float(best[1]))[1]
    influence = slope @ np.linalg.pinv(slope.T @ slope / len(y))[:, 0] * np.exp(best[0])
    influence = influence - influence.mean()
    return Sharpness(
        float(np.exp(best[0])), float(np.sqrt(np.mean(influence**2) / len(y))), influence, -len(y) * float(found.fun)
    )


def fitted(p: Floats, y: Array) -> list[Sharpness]:
    """The powers that go with what wrong labels may be: all kinds alike, the kinds seen, those surely seen, or none at all.

    The kinds are seen in p as it is, then again at the power found. A power counts unless it is worse by more than 2 than the
    best both in likelihood, and in likelihood less one for each kind that it was free to choose (Akaike's criterion). The best by
    that criterion comes first, that without wrong labels last. Nothing where kinds cannot be seen.
    """
    found: list[tuple[int, Sharpness]] = []
    for sure in (np.inf, 2.0, 0.0) if p.shape[1] > 2 else (np.inf,):  # of two classes there is one kind
        sharp, free = as_they_are(len(y)), 0
        for _ in range(2):
            soft = sharpened(p, sharp.power)
            suggested = confident(soft, y)
            joint = confident_joint(suggested, y, p.shape[1])
            matrix = transition(soft, suggested, joint)
            if matrix is None:
                return []
            kinds, free = wrong_kinds(matrix, mixing(soft, suggested), joint, sure)
            sharp = sharpness(p, y, (soft @ kinds)[np.arange(len(y)), y])
        found.append((1 + free, sharp))
    found.sort(key=lambda f: f[0] - f[1].likelihood)
    found.append((0, sharpness(p, y, np.ones(len(y)), most=1e-6)))
    likely = max(sharp.likelihood for _, sharp in found)
    simple = max(sharp.likelihood - free for free, sharp in found)
    return [f for free, f in found if f.likelihood >= likely - 2 or f.likelihood - free >= simple - 2]


def wrong_kinds(matrix: Floats, mixed: Floats, joint: Array, sure: float) -> tuple[Floats, int]:
    """What a wrong label of each class is (K, K), and how many kinds were chosen.

    The part of T beyond so many standard errors, and as if one more row of each class were wrong anyhow, by any kind.
    """
    counts = joint.sum(axis=0)
    shares = (joint / counts).T
    error = np.sqrt(np.linalg.inv(mixed) ** 2 @ (shares * (1 - shares) / counts[:, None]))
    seen = np.zeros_like(matrix) if np.isinf(sure) else np.maximum(matrix - sure * error, 0)
    np.fill_diagonal(seen, 0)
    found = seen + 1 / (counts[:, None] * len(counts))
    np.fill_diagonal(found, 0)
    return found / found.sum(axis=1, keepdims=True), int(np.sum(seen > 0)) if len(counts) > 2 else 0


def as_they_are(rows: int) -> Sharpness:
    """Probabilities taken as they are."""
    return Sharpness(1.0, 0.0, np.zeros(rows))


def confident(p: Floats, y: Array) -> Array:
    """The class (B,) each row surely is of, or -1: the likeliest of those k with p_k at least its mean over rows labelled k.

    Source: Northcutt, Jiang and Chuang 2021, doi:10.1613/jair.1.12125, section 3.1.
    """
    thresholds = np.array([p[y == k, k].mean() for k in range(p.shape[1])])
    sure = np.where(p >= thresholds * (1 - 1e-9), p, -1.0)  # a mean of equal numbers may be rounded above them
    return np.where(sure.max(axis=1) >= 0, sure.argmax(axis=1), -1)


def confident_joint(suggested: Array, y: Array, classes: int) -> Array:
    """How many rows (K, K) labelled i are surely of class j."""
    found = np.zeros((classes, classes), dtype=int)
    np.add.at(found, (y[suggested >= 0], suggested[suggested >= 0]), 1)
    return found


def mixing(p: Floats, suggested: Array) -> Floats:
    """M[j, z] (K, K), the mean of p_z over rows surely of class j."""
    return np.stack([p[suggested == j].mean(axis=0) for j in range(p.shape[1])])


def transition(p: Floats, suggested: Array, joint: Array) -> Floats | None:
    """T (K, K), how labels come from true classes: the labels of surely-j rows, less what p says of their doubt.

    With M[j, z] the mean of p_z over rows surely of class j, and N[j, i] the share of them labelled i, N = M T. Where p is never
    in doubt, M is the identity, and this is confident learning. None where some class has no sure row, or M no inverse.
    """
    counts = joint.sum(axis=0)
    if not counts.all():
        return None
    mixed = mixing(p, suggested)
    return None if np.linalg.cond(mixed) > 1e3 else np.linalg.solve(mixed, (joint / counts).T)


def share_of_errors(p: Floats, matrix: Floats) -> float:
    """sum_z P(z) (1 - T[z, z])."""
    return 1 - float(p.mean(axis=0) @ np.diag(matrix))


@dataclass(frozen=True)
class Noise:
    """What is known of wrong labels: their share, how they come about, and which rows are named."""

    share: float
    interval: Interval
    matrix: Floats
    suggested: Array
    joint: Array
    precision: float | None
    precision_interval: Interval | None
    p: Floats
    power: float

    @property
    def doubt(self) -> float:
        """The mean of 1 - max_k p_k, of the probabilities that fit."""
        return float(np.mean(1 - self.p.max(axis=1)))


def noise(p: Floats, y: Array, level: float, generator: np.random.Generator, calibrated: bool = False) -> Noise | None:
    """The share of wrong labels; None where it cannot be had (see `transition`). Intervals span every power that counts."""
    powers = [as_they_are(len(y))] if calibrated else fitted(p, y)
    found = [_noise(p, y, sharp, level, generator) for sharp in powers]
    kept = [n for n in found if n is not None]
    if not kept or found[0] is None:
        return None
    around = _hull([n.interval for n in kept])
    precise = [n.precision_interval for n in kept if n.precision_interval is not None]
    return replace(kept[0], interval=around, precision_interval=_hull(precise) if precise else None)


def _hull(found: Sequence[Interval]) -> Interval:
    return Interval(min(i.low for i in found), max(i.high for i in found), found[0].level, found[0].kind)


def _noise(p: Floats, y: Array, sharp: Sharpness, level: float, generator: np.random.Generator) -> Noise | None:
    """The share of wrong labels if the power is this one, give or take its error."""
    from scipy.stats import norm

    soft = sharpened(p, sharp.power)
    suggested = confident(soft, y)
    joint = confident_joint(suggested, y, p.shape[1])
    matrix = transition(soft, suggested, joint)
    if matrix is None:
        return None
    share = share_of_errors(soft, matrix)
    step = 1e-3 * sharp.power
    ends = [_at(sharpened(p, sharp.power + s), suggested, joint) for s in (-step, step)]
    slope, hard_slope = ((b - a) / (2 * step) for a, b in zip(*ends, strict=True))
    influence = _influence(soft, y, suggested, joint) + slope * sharp.influence
    interval = studentized(share + influence, generator, level)
    if sharp.error:  # the share is no line in the power: look at both of its ends
        far = np.exp(norm.ppf(0.5 + level / 2) * min(1.0, sharp.error / sharp.power))
        away = [s for f in (1 / far, far) if np.isfinite(s := _at(sharpened(p, sharp.power * f), suggested, joint)[0])]
        interval = Interval(min([interval.low, *away]), max([interval.high, *away]), level, interval.kind)
    hard, named = _hard(soft, suggested, matrix), int(joint.sum() - np.trace(joint))
    if named < FEW:  # the exact interval of so few disagreements, of which the hard ones are no errors
        exact = clopper_pearson(named, len(y), level)
        low, high = exact.low - hard / len(y), exact.high - hard / len(y)
        interval = Interval(min(interval.low, low), max(interval.high, high), level, exact.kind)
    stated = precision(named, hard, hard_slope * sharp.error, level)
    return Noise(share, interval, matrix, suggested, joint, *stated, soft, sharp.power)


def _at(soft: Floats, suggested: Array, joint: Array) -> tuple[float, float]:
    """The share of errors, and how many sure rows disagree for being hard, if these are the probabilities."""
    matrix = transition(soft, suggested, joint)
    return (np.nan, np.nan) if matrix is None else (share_of_errors(soft, matrix), _hard(soft, suggested, matrix))


def _influence(p: Floats, y: Array, suggested: Array, joint: Array) -> Floats:
    """How the share moves with each row's label (B,): it is linear in the shares of labels among sure rows."""
    counts, sure = joint.sum(axis=0), suggested >= 0
    weights = (np.linalg.inv(mixing(p, suggested)) * p.mean(axis=0)[:, None]).T  # (surely j, labelled i)
    centred = weights - np.sum(weights * (joint / counts).T, axis=1, keepdims=True)
    found = np.zeros(len(y))
    found[sure] = -centred[suggested[sure], y[sure]] * len(y) / counts[suggested[sure]]
    return found


def _hard(p: Floats, suggested: Array, matrix: Floats) -> float:
    """How many sure rows are rightly labelled another class than they look like: expected from p."""
    sure = np.flatnonzero(suggested >= 0)
    right = p[sure] * np.clip(np.diag(matrix), 0, 1)
    right[np.arange(len(sure)), suggested[sure]] = 0
    return float(right.sum())


def precision(named: int, hard: float, error: float, level: float) -> tuple[float | None, Interval | None]:
    """The share of named rows that are wrong: 1 - hard / named, where so many rows were expected to be named for being hard.

    As many hard rows were named as chance has it: their number is Poisson's, its mean being known to `error` (then negative
    binomial), and the interval of the share is that of this number.
    """
    from scipy.stats import nbinom, poisson

    if not named:
        return None, None
    size = (hard / error) ** 2 if error else np.inf
    many = nbinom(size, size / (size + hard)) if size < 1e6 else poisson(hard)
    low, high = (float(np.clip(1 - many.ppf(q) / named, 0, 1)) for q in (0.5 + level / 2, 0.5 - level / 2))
    return float(np.clip(1 - hard / named, 0, 1)), Interval(low, high, level, "hard rows by chance")
