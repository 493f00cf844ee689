"""Does hiding what the explanation calls important change the score, more than hiding parts at random?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from pellucid.core import options
from pellucid.core.masks import Players, hidden_scores
from pellucid.core.measurement import Measurement
from pellucid.core.numbers import figure, ranged
from pellucid.core.randomness import stream
from pellucid.core.resampling import Interval, student
from pellucid.errors import NotApplicable
from pellucid.shapes import Array, Floats
from pellucid.verify.base import Case, Check
from pellucid.verify.trust import BETTER, LIKE, UNCLEAR, WORSE

NEGLIGIBLE = 0.1
"""An advantage over random rankings below this share of the score's whole change counts as none."""


@dataclass(frozen=True, eq=False)
class _Ranking(Check):
    """What deletion and insertion share; see there."""

    better: ClassVar[str] = "higher"

    steps: int = 20
    rankings: int = 20
    baseline: Any = None
    patch: Any = None
    order: str = "auto"

    def __post_init__(self) -> None:
        options.whole(self, "steps", least=2)
        options.whole(self, "rankings", least=2)
        options.one_of(self, "order", ("auto", "signed", "magnitude"))

    def _compared(self, case: Case, name: str, *, delete: bool) -> Measurement:
        players, fill = case.players(self.patch), case.fill(self.baseline)
        if players.count < 2:
            raise NotApplicable("the input is a single part: there is nothing to rank")
        values = players.gather(case.maps)
        if self.order == "magnitude" or (self.order == "auto" and not case.method.contributes):
            values = np.abs(values)
        hidden = Curves(case, players, fill, min(self.steps, players.count), delete)
        own = hidden.scores(descending(values, stream(case.question.seed, "ties")))
        chance = np.stack([
            hidden.scores(descending(_shuffled(values, case.question.seed, r), stream(case.question.seed, "ties", r)))
            for r in range(self.rankings)
        ])  # fmt: skip
        return _measured(name, own, chance, hidden.fractions, delete)


@dataclass(frozen=True, eq=False)
class Deletion(_Ranking):
    """Hide parts from the most to the least important: a faithful explanation makes the score fall early.

    The curve is the score after each share of parts is hidden; its area is taken by the trapezoid rule. `value` is the
    mean over examples of (area of random rankings - area of this ranking), in units of the mean |score(x) -
    score(all hidden)|: 0 is as good as random. Random rankings shuffle the same values over the parts, so they are as
    sparse.

    Args:
        steps: Points of the curve, at most one a part.
        rankings: Random rankings of each example.
        baseline: What hidden parts are replaced by; None for the explanation's own baseline, or 0.
        patch: Size of the parts of images and sequences, as in `PermutationShapley`.
        order: "signed" hides the largest values first, "magnitude" the largest absolute values; "auto" takes magnitudes
            for slopes (`Gradient`), which are no contributions.

    Example:
        >>> import numpy as np, pellucid as pl
        >>> x = np.random.default_rng(0).normal(size=(30, 8)) + 1
        >>> f = lambda x: x[:, 0] * 5 + x[:, 1] * 3 + x[:, 2:].sum(1) * 0.1
        >>> e = pl.explain(f, x, pl.Occlusion())
        >>> pl.verify(f, e, pl.Deletion())[0].verdict
        'better than random'

    References:
        Samek, Binder, Montavon, Lapuschkin and Müller 2017, arXiv:1509.06321; Petsiuk, Das and Saenko 2018, "RISE",
        arXiv:1806.07421.

    Limits:
        Inputs with hidden parts may be unlike anything seen in training. The test shares its baseline with the
        explanation unless another is given, and favours methods that hide in the same way.
    """

    def check(self, case: Case) -> Measurement:
        """See `Check.check`."""
        return self._compared(case, "deletion", delete=True)


@dataclass(frozen=True, eq=False)
class Insertion(_Ranking):
    """Show parts from the most to the least important: a faithful explanation makes the score rise early.

    As `Deletion`, starting from the baseline; `value` is the mean of (area of this ranking - area of random rankings),
    in the same units.

    Args:
        steps: Points of the curve, at most one a part.
        rankings: Random rankings of each example.
        baseline: What hidden parts are replaced by; None for the explanation's own baseline, or 0.
        patch: Size of the parts of images and sequences, as in `PermutationShapley`.
        order: As in `Deletion`.

    Example:
        >>> import numpy as np, pellucid as pl
        >>> x = np.random.default_rng(0).normal(size=(30, 8)) + 1
        >>> f = lambda x: x[:, 0] * 5 + x[:, 1] * 3 + x[:, 2:].sum(1) * 0.1
        >>> e = pl.explain(f, x, pl.Occlusion())
        >>> pl.verify(f, e, pl.Insertion())[0].verdict
        'better than random'

    References:
        Samek, Binder, Montavon, Lapuschkin and Müller 2017, arXiv:1509.06321; Petsiuk, Das and Saenko 2018, "RISE",
        arXiv:1806.07421.

    Limits:
        As for `Deletion`; few parts on an empty background are further from the data than few holes in a full one.
    """

    def check(self, case: Case) -> Measurement:
        """See `Check.check`."""
        return self._compared(case, "insertion", delete=False)


@dataclass(frozen=True)
class Curves:
    """Scores as more and more parts are hidden, or shown."""

    case: Case
    players: Players
    fill: tuple[Array, ...]
    steps: int
    delete: bool

    @property
    def fractions(self) -> Floats:
        """Share of parts hidden (or shown) at each point of the curve."""
        return np.round(np.linspace(0, self.players.count, self.steps + 1)) / self.players.count

    def scores(self, order: Array) -> Floats:
        """Scores (B, S + 1) along the curve, for the parts of each example in order (B, G)."""
        q, count = self.case.question, np.round(self.fractions * self.players.count)
        rank = np.argsort(order, axis=1)
        reached = rank[:, None, :] < count[None, :, None]
        hide = reached if self.delete else ~reached
        return hidden_scores(q.model, q.inputs, self.fill, q.target, self.players, hide).astype(np.float64)


def descending(values: Floats, generator: np.random.Generator) -> Array:
    """Parts from the largest value to the smallest, ties in random order."""
    return np.lexsort((generator.random(values.shape), -values), axis=1)


def _shuffled(values: Floats, seed: int, number: int) -> Floats:
    return stream(seed, "ranking", number).permuted(values, axis=1)


def _measured(name: str, own: Floats, chance: Floats, fractions: Floats, delete: bool) -> Measurement:
    """Turn curves, own (B, S + 1) and of random rankings (R, B, S + 1), into a measurement."""
    area, random_area = np.trapezoid(own, fractions, axis=1), np.trapezoid(chance, fractions, axis=2)
    scale = float(np.mean(np.abs(own[:, 0] - own[:, -1])))
    if scale == 0:
        raise NotApplicable("hiding everything does not change the score: there is nothing to be faithful to")
    advantage = np.asarray(random_area - area if delete else area - random_area) / scale
    gain = np.asarray(advantage.mean(axis=0))
    value, interval = float(gain.mean()), _interval(gain, advantage)
    verdict = (
        BETTER if interval.low > 0 else WORSE if interval.high < 0 else LIKE if interval.high < NEGLIGIBLE else UNCLEAR
    )
    wins = float(np.mean(advantage > 0))
    explanation = (
        f"Compared with random rankings of the same parts, {name} has an advantage of "
        f"{ranged(value, interval)} of the score's whole change; it beats {figure(wins, percent=True)} of them."
    )
    detail = {
        "fractions": fractions, "curve": own.mean(0), "random_curve": chance.mean((0, 1)),
        "random_low": np.quantile(chance.mean(1), 0.025, axis=0), "random_high": np.quantile(chance.mean(1), 0.975, axis=0),
        "areas": area, "random_areas": random_area.mean(0), "advantages": gain, "wins": wins, "scale": scale,
        "evaluations": own.size * (1 + len(chance)), "explanation": explanation,
    }  # fmt: skip
    return Measurement(name, value, interval, verdict, detail)


def _interval(gain: Floats, advantage: Floats) -> Interval:
    """Student's t over examples; for one or two examples, the spread over random rankings."""
    if len(gain) >= 3:
        return student(gain)
    low, high = np.quantile(advantage.mean(1), [0.025, 0.975])
    return Interval(float(low), float(high), 0.95, "random rankings")
