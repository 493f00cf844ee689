"""Proper scores of probabilities: what they are made of, how they compare with base rates, and what a few rows do to them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from pellucid.core import options
from pellucid.core.measurement import Measurement
from pellucid.core.numbers import counted, figure, stated
from pellucid.core.resampling import Interval, alike, bootstrap_counts
from pellucid.errors import NotApplicable
from pellucid.measure.base import Context, Measure
from pellucid.measure.decomposition import PARTS, decomposed
from pellucid.measure.estimates import Estimate, brier, log_loss
from pellucid.shapes import Array, Floats

WORST = 0.01
"""The share of the rows that are called the worst."""


@dataclass(frozen=True, eq=False)
class Brier(Measure):
    """How far are probabilities from what came true, and is that for want of calibration or of knowledge?

    With p_ik the probability of class k, the score is mean_i sum_k (p_ik - [y_i = k])^2 = reliability - resolution + uncertainty:
    from 0 to 2, less is better. Reliability is the squared calibration error of every class (0 for a calibrated model),
    resolution what the probabilities tell apart, uncertainty the score of always answering the base rates of the test rows. The
    parts are those of `bins` bins of equal numbers, noise removed; they add up to the score exactly. Skill
    = 1 - score / (score of the base rates).
    Verdicts: "better than the base rates", "worse than the base rates", "no better than the base rates".

    `detail`: `reliability`, `resolution`, `uncertainty` and `skill`, each with value and interval.

    Args:
        bins: How many; never so many that they hold fewer than 5 rows.
        level: Confidence level of every interval, in (0, 1).

    Raises:
        InvalidOption: An option outside its range.

    Example:
        >>> import numpy as np, pellucid as pl
        >>> rng = np.random.default_rng(0)
        >>> p = rng.uniform(0, 1, 2000)
        >>> model = pl.wrap(lambda x: np.hstack([1 - x, x]), output="probabilities")
        >>> found, = pl.measure(model, pl.Brier(), test=(p[:, None], (rng.random(2000) < p).astype(int)))
        >>> found.verdict, 1 / 3 in found.interval, 0 in found.detail["reliability"]["interval"]  # 2 E[p (1 - p)]
        ('better than the base rates', True, True)

    References:
        Brier 1950, doi:10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2. Murphy 1973,
        doi:10.1175/1520-0450(1973)012<0595:ANVPOT>2.0.CO;2. Ferro and Fricker 2012, doi:10.1002/qj.1924. Stephenson et al. 2008,
        doi:10.1175/2007WAF2006116.1.

    Limits:
        Reliability misses errors that cancel inside a bin. Its value can be below 0 by chance, where there is next to none.
        Chosen over isotonic regression (CORP), which has no bins but fits the noise too: of 1,000 rows of a calibrated model that
        found a reliability of 0.005, this 0.00004. Near 0 the interval of the reliability is wider than it need be.
    """

    bins: int = 15
    level: float = 0.95

    quantity: ClassVar[str] = "brier"
    better: ClassVar[str] = "lower"

    def __post_init__(self) -> None:
        options.whole(self, "bins")
        options.fraction(self, "level")

    def compute(self, context: Context) -> Measurement:
        """See `Measure.compute`."""
        labels, p = _asked(context)
        z = np.eye(p.shape[1])[labels]
        found = brier(labels, p, self.level, context.stream("score"))
        bins = max(1, min(self.bins, len(p) // 5))
        parts = decomposed(p, z, bins, context.stream("parts"), self.level)
        gained = skill(found, labels, spread_of_shares, context.stream("skill"), self.level)
        detail = {
            "explanation": "", "skill": gained,
            **{n: {"value": float(v), "interval": i} for n, v, i in zip(PARTS, parts.values, parts.intervals, strict=True)},
        }  # fmt: skip
        off, told = (stated(detail[name]["value"], detail[name]["interval"]) for name in PARTS[:2])
        detail["explanation"] = (
            f"On {counted(len(p), 'unseen row')} the Brier score is {stated(found.value, found.interval)}: "
            f"{figure(parts.values[2])} is what there was to tell, {told} of it told, and {off} lost for want of calibration."
        )
        return Measurement(self.quantity, found.value, found.interval, judged(gained["interval"]), detail)


@dataclass(frozen=True, eq=False)
class LogLoss(Measure):
    """How surprised is the model by what came true, and by how few rows?

    The score is mean_i -ln p_i[y_i] (nats; less is better). Skill = 1 - score / H, H = -sum_k b_k ln b_k being the score of
    always answering the base rates b of the test rows. A probability of 0 for what came true is an infinite loss: it is counted
    as 36.04, that of 2.2e-16, and its row is named. Verdicts: "infinite" where there is such a row, else
    "better than the base rates", "worse
    than the base rates", "no better than the base rates".

    `detail`: `skill` and `worst`, the share of the whole loss that the worst 1 % of the rows make up, each with value and
    interval; `worst_rows` (the row numbers, the worst first); `infinite_rows`.

    Args:
        level: Confidence level of every interval, in (0, 1).

    Raises:
        InvalidOption: An option outside its range.

    Example:
        >>> import numpy as np, pellucid as pl
        >>> p = np.array([[0.5, 0.5]] * 99 + [[1.0, 0.0]])
        >>> model = pl.wrap(lambda x: x, output="probabilities")
        >>> found, = pl.measure(model, pl.LogLoss(), test=(p, np.array([0, 1] * 50)))
        >>> found.verdict, found.detail["infinite_rows"]
        ('infinite', (99,))

    References:
        Good 1952, doi:10.1111/j.2517-6161.1952.tb00104.x. Gneiting and Raftery 2007, doi:10.1198/016214506000001437.

    Limits:
        A few rows can decide it: where the worst rows make up most of the loss, the interval is only as good as their number:
        of 1,000 rows, the worst 10, that of `worst` was seen to cover 92 % instead of 95.
        Labels that are wrong look like the worst surprises.
    """

    level: float = 0.95

    quantity: ClassVar[str] = "log_loss"
    better: ClassVar[str] = "lower"

    def __post_init__(self) -> None:
        options.fraction(self, "level")

    def compute(self, context: Context) -> Measurement:
        """See `Measure.compute`."""
        labels, p = _asked(context)
        found = log_loss(labels, p, self.level, context.stream("score"))
        losses = found.influence + found.value
        never = tuple(np.flatnonzero(p[np.arange(len(p)), labels] <= 0).tolist())
        gained = skill(found, labels, entropy_of_shares, context.stream("skill"), self.level)
        worst = share_of_worst(losses, context.stream("worst"), self.level)
        order = np.argsort(-losses, kind="stable")[: max(1, round(WORST * len(losses)))]
        many = f"{counted(len(order), 'row')} {'makes' if len(order) == 1 else 'make'} up"
        named = f"; {counted(len(never), 'row')} had a probability of 0, an infinite loss" if never else ""
        told = (
            f"On {counted(len(p), 'unseen row')} the log loss is {stated(found.value, found.interval)}, a skill of "
            f"{stated(gained['value'], gained['interval'], percent=True)} against the base rates; the worst "
            f"{many} {stated(worst['value'], worst['interval'], percent=True)} of it{named}."
        )
        verdict = "infinite" if never else judged(gained["interval"])
        detail = {
            "explanation": told, "skill": gained, "worst": worst, "worst_rows": tuple(order.tolist()), "infinite_rows": never,
        }  # fmt: skip
        return Measurement(self.quantity, found.value, found.interval, verdict, detail)


def _asked(context: Context) -> tuple[Array, Floats]:
    """Labels and probabilities, where there is something to tell apart."""
    context.require_classes("scores class probabilities")
    labels, p = context.labels("test"), context.probabilities("test").astype(float)
    if len(np.unique(labels)) < 2:
        raise NotApplicable(
            f"{context.asking} compares with the base rates, but all {len(labels)} labels are of class {labels[0]}"
        )
    return labels, p


Reference = Callable[[Floats], Floats]
"""Shares (R, K) of the classes to the score (R,) of always answering them."""


def spread_of_shares(shares: Floats) -> Floats:
    """The Brier score of the base rates, 1 - sum_k b_k^2."""
    return 1 - np.sum(shares**2, axis=1)


def entropy_of_shares(shares: Floats) -> Floats:
    """The log loss of the base rates, -sum_k b_k ln b_k."""
    from scipy.special import entr

    return np.sum(entr(shares), axis=1)


def skill(
    found: Estimate, labels: Array, reference: Reference, generator: np.random.Generator, level: float
) -> dict[str, Any]:
    """1 - score / reference, the base rates drawn anew with the rows; BCa."""
    z = np.eye(labels.max() + 1)[labels]
    losses, rows = found.influence + found.value, len(labels)

    def of(drawn: Array) -> Floats:
        shares = drawn @ z / rows
        with np.errstate(divide="ignore", invalid="ignore"):
            return 1 - drawn @ losses / rows / reference(shares)

    shares = z.mean(axis=0)
    base = float(reference(shares[None])[0])
    step = 1e-6  # how the reference moves with the weight of a row of each class
    moved = np.array(
        [(reference(((1 - step) * shares + step * one)[None])[0] - base) / step for one in np.eye(len(shares))]
    )
    influence = -found.influence / base + found.value / base**2 * (moved - moved @ shares)[labels]
    value = 1 - found.value / base
    if alike(losses):
        low, high = (1 - end / base for end in reversed(tuple(found.interval)))
        return {"value": value, "interval": Interval(low, high, level, found.interval.kind)}
    around = bootstrap_counts(of, value, influence, generator, level=level)
    return {"value": value, "interval": Interval(around.low, min(1.0, around.high), level, around.kind)}


def share_of_worst(losses: Floats, generator: np.random.Generator, level: float) -> dict[str, Any]:
    """The share of all loss that the worst hundredth of the rows make up; BCa, the worst rows those of each resample."""
    ordered = np.sort(losses)[::-1]
    most, total = max(1, round(WORST * len(ordered))), float(ordered.sum())
    if total <= 0:
        return {"value": 0.0, "interval": Interval(0.0, 1.0, level, "no loss")}

    def of(drawn: Array) -> Floats:
        taken = np.clip(most - (np.cumsum(drawn, axis=1) - drawn), 0, drawn)
        return taken @ ordered / (drawn @ ordered)

    value = float(ordered[:most].sum() / total)
    above = np.maximum(ordered - ordered[most - 1], 0)
    influence = (above - above.mean()) / ordered.mean() - value * (ordered / ordered.mean() - 1)
    around = bootstrap_counts(of, value, influence, generator, level=level)
    return {"value": value, "interval": Interval(max(0.0, around.low), min(1.0, around.high), level, around.kind)}


def judged(gained: Interval) -> str:
    """The verdict on the interval of the skill."""
    if gained.low > 0:
        return "better than the base rates"
    return "worse than the base rates" if gained.high < 0 else "no better than the base rates"
