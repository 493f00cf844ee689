"""Answers as sets of classes, or as intervals, that keep a promise of holding the truth."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pellucid.core import options
from pellucid.core.conformal import SCORES, least_rows, prediction_intervals, prediction_sets, rank
from pellucid.core.contents import of_array
from pellucid.core.dataset import Dataset
from pellucid.core.model import Model, wrap
from pellucid.core.numbers import counted
from pellucid.core.randomness import stream
from pellucid.core.record import Provenance, versions
from pellucid.core.resampling import Interval
from pellucid.errors import NotApplicable
from pellucid.improve.base import Remedy
from pellucid.improve.fitted import WithModel
from pellucid.improve.held_out import held_out
from pellucid.shapes import Array, Floats, Inputs


@dataclass(frozen=True, eq=False)
class Conformal(WithModel):
    """A model that answers by sets of classes, or by intervals.

    Attributes:
        model: The model.
        coverage: The share of new rows whose truth the sets, or intervals, are promised to hold.
        score: What MAPIE compares: "lac", "aps" or "absolute residual".
        answers: Class probabilities (n, K), or predictions (n,), of the rows that calibrate.
        labels: Their labels (n,).
        provenance: What was fitted, to which model.
    """

    coverage: float
    score: str
    answers: Floats
    labels: Array
    provenance: Provenance = field(default_factory=Provenance)

    def sets(self, x: Inputs | Dataset) -> Array:
        """Which classes (B, K) each example's set holds, as true and false.

        Raises:
            NotApplicable: A model of values; it has `intervals`.
        """
        if self.answers.ndim == 1:
            raise NotApplicable(f"{self.model.name} gives values, which have intervals and no sets: use intervals(x)")
        p = self.model.probabilities(x)
        every = np.concatenate([self.answers, p / p.sum(axis=1, keepdims=True)])
        return prediction_sets(every, self.labels, self._rows, self.score, self.coverage, self._seed)[
            len(self.labels) :
        ]

    def intervals(self, x: Inputs | Dataset) -> Floats:
        """Low and high ends (B, 2) of each example's interval.

        Raises:
            NotApplicable: A classifier; it has `sets`.
        """
        if self.answers.ndim > 1:
            raise NotApplicable(f"{self.model.name} gives classes, which have sets and no intervals: use sets(x)")
        every = np.concatenate([self.answers, self.model.scores(x)[:, 0].astype(float)])
        return prediction_intervals(every, self.labels, self._rows, self.coverage)[len(self.labels) :]

    @property
    def long_run(self) -> Interval:
        """Where the coverage of endless new rows lies, for rows drawn alike: 95 % of Beta(k, n + 1 - k)."""
        from scipy.stats import beta

        n, k = len(self.labels), rank(len(self.labels), self.coverage)
        low, high = map(float, beta.ppf((0.025, 0.975), k, n + 1 - k))
        return Interval(low, high, 0.95, "beta")

    @property
    def _seed(self) -> int:
        """Of the random part of "aps": one for these rows, as on average over calibrations draws must differ."""
        return int(stream(0, "sets", *of_array(self.answers)).integers(2**31))

    @property
    def _rows(self) -> Array:
        return np.arange(len(self.labels))

    def __str__(self) -> str:
        what = "intervals" if self.answers.ndim == 1 else "sets"
        return f"{what} of {self.model.name} that hold the truth {self.coverage:.0%} of the time, by {len(self.labels)} rows"


@dataclass(frozen=True, eq=False)
class ConformalSets(Remedy):
    """Lets the model answer by sets of classes, or by intervals, that hold the truth as often as promised.

    What can be said of a new row that is right nine times in ten, whatever the model?

        set of x = all y with score(x, y) <= the ceil((n + 1) c)-th smallest score of the n validation labels

    Scores, by MAPIE: 1 - p_y ("lac", the smallest sets), the probability of all likelier classes and a random part of its own
    ("aps"), |y - f(x)| ("absolute residual", intervals of one width). The model stays as it is; what answers by sets is
    `run.after["conformal"]`, and `fit` gives the same for a model that is already trained: a `Conformal` with `sets(x)` or
    `intervals(x)`.

    Args:
        coverage: The promised share c of new rows, in (0, 1).
        score: "lac", "aps" or "absolute residual"; None for "lac", and for "absolute residual" of values.

    Raises:
        InvalidOption: A coverage outside (0, 1), or another score.
        InvalidInput: While training or fitting, without validation data, or with too few: 1 / (1 - c) rows at least.
        NotApplicable: A score for classes with a model of values, or the other way round.

    Example:
        >>> import numpy as np, pellucid as pl
        >>> x = np.random.default_rng(0).normal(size=(99, 1))
        >>> fitted = pl.ConformalSets(coverage=0.9).fit(pl.wrap(lambda x: 0 * x[:, :1], output="value"), (x, x[:, 0]))
        >>> low, high = fitted.intervals(np.zeros((1, 1)))[0]  # half as wide as the 90th smallest residual of 99
        >>> bool(abs(high - np.sort(np.abs(x[:, 0]))[89]) < 1e-6)
        True

    References:
        Vovk, Gammerman and Shafer 2005, doi:10.1007/b106715. Sadinle et al. 2019, doi:10.1080/01621459.2017.1395341 (LAC). Romano
        et al. 2020, arXiv:2006.02544 (APS). Cordier et al. 2023, "Flexible and systematic uncertainty estimation with conformal
        prediction via the MAPIE library", PMLR 204:549-581.

    Limits:
        The promise is on average over rows drawn as the validation rows are: not after a shift, not for each class or group
        (`ConformalCoverage` looks at those). Validation data that decided when to stop, or that calibrated the model, look too
        good, and the sets come out a little small: strictly, hold out rows of their own and use `fit`. An "aps" set draws: in
        another batch the same row may get another set.
    """

    slot = "conformal"
    rank = 40
    coverage: float = 0.9
    score: str | None = None

    def __post_init__(self) -> None:
        options.fraction(self, "coverage")
        options.one_of(self, "score", (None, *SCORES))

    def fit(self, model: Any, data: Any) -> Conformal:
        """The same for a model that is already trained; `data` are rows it was not trained on."""
        model = wrap(model)
        least = least_rows(self.coverage)
        found = held_out(self, model, data, least=least)
        score = self.score or ("lac" if found.p.size else "absolute residual")
        if SCORES[score] != model.task:
            fit = ", ".join(f'"{name}"' for name, task in SCORES.items() if task == model.task)
            raise NotApplicable(
                f'ConformalSets: the score "{score}" is for {SCORES[score]}; for {model.task} take {fit}'
            )
        if score == "aps" and min(found.p.shape[1], len(np.unique(found.y))) < 3:
            raise NotApplicable('ConformalSets: MAPIE has the score "aps" for three classes and more; take "lac"')
        answers = found.p / found.p.sum(axis=1, keepdims=True) if found.p.size else found.scores
        notes = (f"calibrated on {counted(len(found.y), 'row')}; {least} would be the fewest",)
        about = Provenance(self, None, len(found.y), model=model.fingerprint(), versions=versions(), notes=notes)
        return Conformal(model, self.coverage, score, answers, found.y, about)

    def after(self, model: Model, validation: Dataset | None) -> Conformal:
        """See `Remedy.after`."""
        return self.fit(model, validation)
