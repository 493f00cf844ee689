"""What error rate is ruled out for a net whose weights are drawn around the trained ones, by all training rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from pellucid.core import options
from pellucid.core.copies import arrays_of, digests
from pellucid.core.dataset import Dataset
from pellucid.core.measurement import Measurement
from pellucid.core.model import Model
from pellucid.core.numbers import agreeing, count, counted, figure
from pellucid.core.progress import Progress
from pellucid.core.resampling import Interval
from pellucid.core.splitting import holdout
from pellucid.errors import InvalidOption, NotApplicable
from pellucid.measure.base import Context, Measure
from pellucid.measure.bounds import assumptions, largest_risk
from pellucid.measure.drawn_weights import copied, drawn_error, units_of, weights_kept
from pellucid.measure.kl_bounds import FEWEST, Paid, bound, chosen, divergences
from pellucid.measure.retrained import Build, answering, check_build
from pellucid.shapes import Array
from pellucid.training import fit, fresh

SCALES = (0.001, 0.003, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0)
"""Standard deviations of the noise, as parts of the root mean square of the prior's weights."""

PILOT = 20
"""Draws for each scale by which one is chosen; the bound is made of others."""


@dataclass(frozen=True, eq=False)
class PacBayesBound(Measure):
    """Which error rates are ruled out for nets drawn around the trained one, without any test rows?

    A net is trained on a share of the training rows, which gives weights w0, and from there on all rows, which gives w. The
    prior is N(w0, t^2), the posterior Q = N(w, s^2), independent for each weight. Of the n rows that w0 has not seen, the mean
    error r of m nets drawn from Q rules out error rates of Q on new rows by, with d = 1 - `level` and J scales to choose t from,

        kl(r || q) <= ln(2 / (d/2)) / m   and   kl(q || bound) <= (KL(Q, prior) + ln(2 sqrt(n) J / (d/2))) / n,

    kl being the relative entropy of two coins. Q may depend on all rows; s is chosen by other draws. Layers' state that is not
    trained, such as moving averages, is put back to what it was at w0. Verdicts: "bounded"; "vacuous" where the bound is no less
    than the share of errors of always answering the commonest class. Where the data show that rows are not independent, there
    is no bound, and the verdict is "not applicable": rows of one group, ids of both parts, or rows repeated more often than their
    columns would by chance.

    `detail`: `risk` (r), `kl`, `scale` and `prior_scale` (as parts of the root mean square of w0), `paid` (of the two
    inequalities' right sides: `draws`, and `divergence`, `scales` and `rows`), `prior_alone` (the test-set bound, at `level`,
    of the one net with the weights w0), `rows`, `weights`, `constant`, `assumptions`.

    Args:
        build: Function without arguments that gives a compiled Keras model; it must not know the training rows.
        fit: `epochs` (20), `batch_size` (32) and whatever else `keras.Model.fit` takes, for each of the two trainings.
        prior_share: The share of the rows that the prior is trained on, in (0, 1).
        noise: "isotropic", of one scale for all weights, or "layer", in proportion to the size of each array of weights.
        scales: Standard deviations to choose from, as parts of the root mean square of w0 (of each array of it).
        draws: Nets drawn for r.
        level: The probability, over rows and draws, with which the bound holds; in (0, 1).

    Raises:
        InvalidOption: No builder, or an option outside its range.
        InvalidInput: A builder or data that cannot be trained with.

    Example:
        >>> import keras, numpy as np, pellucid as pl
        >>> def build():
        ...     net = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, "sigmoid")])
        ...     net.compile(keras.optimizers.SGD(1.0), "binary_crossentropy")
        ...     return net
        >>> x = np.random.default_rng(0).normal(size=(1000, 2))
        >>> asked = pl.PacBayesBound(build, fit={"epochs": 5}, draws=200)
        >>> found, = pl.measure(None, asked, train=(x, (x[:, 0] > 0).astype(int)))
        >>> found.verdict, found.detail["risk"] < found.value < 0.2
        ('bounded', True)

    References:
        Maurer 2004, arXiv:cs/0411099. Langford and Caruana 2001, "(Not) bounding the true error", NeurIPS 2001. Dziugaite et al.
        2021, arXiv:2006.10929. Pérez-Ortiz et al. 2021, arXiv:2007.12911.

    Limits:
        It is about nets drawn anew for each answer: nothing is claimed of the trained net itself, though the two often err
        alike. Weights that are trained on go far, and each step is paid for: `prior_alone` is often smaller, and holds for one
        net. It is about rows drawn as these were. A builder that knows the rows (layers adapted to them, settings tuned on
        them) breaks it, and this cannot be seen.
    """

    build: Build
    fit: Mapping[str, Any] | None = None
    prior_share: float = 0.5
    noise: str = "isotropic"
    scales: Sequence[float] = SCALES
    draws: int = 1000
    level: float = 0.95

    quantity: ClassVar[str] = "pac_bayes_bound"
    better: ClassVar[str] = "lower"
    share: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_build(self)
        options.fraction(self, "prior_share", "level")
        options.one_of(self, "noise", ("isotropic", "layer"))
        options.whole(self, "draws")
        given = self.scales
        sizes = tuple(given) if isinstance(given, Sequence) and not isinstance(given, str) else ()
        if not sizes or not all(isinstance(s, int | float) and 0 < s < np.inf for s in sizes):
            raise InvalidOption(f"PacBayesBound.scales: expected finite numbers above 0, got {given!r}")
        object.__setattr__(self, "scales", tuple(map(float, sizes)))

    def compute(self, context: Context) -> Measurement:
        """See `Measure.compute`."""
        train = context.data("train")
        parts = self._parts(train, context.stream("rows"))
        seen = _independent(*(train.take(p) for p in parts))
        answers, before, wrong = self._trained(context, train, *(train.take(p) for p in parts))
        model, labels = answers.model, answers.labels("train")
        paid, scales = self._paid(context, answers, before)
        constant = 1 - float(np.bincount(labels).max()) / len(labels)
        detail = {
            "risk": paid[1], "kl": paid[0].divergence, "scale": scales[0], "prior_scale": scales[1],
            "paid": _prices(paid[0], len(labels), len(self.scales)), "rows": len(labels),
            "weights": sum(a.size for a in before), "constant": constant,
            "prior_alone": largest_risk(wrong, len(labels), 1 - self.level), "assumptions": seen,
        }  # fmt: skip
        verdict = "bounded" if paid[0].bound < constant else "vacuous"
        told = _told(paid, len(labels), model, self.level, verdict)
        interval = Interval(0.0, paid[0].bound, self.level, "pac-bayes-kl, one side")
        return Measurement(self.quantity, paid[0].bound, interval, verdict, {"explanation": told, **detail})

    def _parts(self, train: Dataset, generator: np.random.Generator) -> tuple[Array, Array]:
        """Row numbers for the prior, and for the bound: at random, for classes in proportion would tie the parts together."""
        if train.y is None or (train.groups is not None and len(np.unique(train.groups)) < 2):
            raise NotApplicable(
                "PacBayesBound needs training rows with labels, of more than one group if groups are given"
            )
        held = round((1 - self.prior_share) * len(train))
        if min(held, len(train) - held) < FEWEST:
            raise NotApplicable(
                f"PacBayesBound needs at least {FEWEST} rows of each part, got {len(train) - held} and {held}"
            )
        seed = int(generator.integers(2**31))
        return holdout(train.y, held / len(train), groups=train.groups, classes=False, seed=seed)

    def _trained(
        self, context: Context, train: Dataset, prior: Dataset, held: Dataset
    ) -> tuple[Context, list[Array], int]:
        """What the net trained on all rows says of those held; its weights after training on the others, and its errors then."""
        seed = int(context.stream("training").integers(2**31))
        net = fresh(self.build, seed)
        with Progress("training on a part and on all", 2) as bar:
            fit(net, prior, settings=self.fit, seed=seed, progress=False)
            bar.advance()
            answers = answering(context, net, held, None)
            answers.require_classes("counts errors")
            if answers.model.anatomy.multilabel:
                raise NotApplicable(f"PacBayesBound needs one label a row, but {net.name} gives several answers")
            first = int(np.sum(answers.probabilities("train").argmax(axis=1) != answers.labels("train")))
            state = list(net.non_trainable_variables)
            before, kept = (copied(v) for v in (answers.model.weights, state))
            fit(net, train, settings=self.fit, seed=seed + 1, progress=False)
            answers.model.backend.assign(state, kept)  # what the prior's rows made it: the bound is for weights alone
            bar.advance()
        return answers, before, first

    def _paid(
        self, context: Context, answers: Context, before: Sequence[Array]
    ) -> tuple[tuple[Paid, float], tuple[float, float]]:
        """The bound, with the error that was seen, and the scales of posterior and prior."""
        model, labels = answers.model, answers.labels("train")
        inputs, means = model.prepare(answers.data("train")), copied(model.weights)
        mean, start = (np.concatenate([a.ravel() for a in arrays]).astype(float) for arrays in (means, before))
        units = units_of(before, self.noise)
        miss, rows, sizes = 1 - self.level, len(labels), list(self.scales)
        apart = divergences(mean, start, [s * units for s in sizes])
        with Progress("drawing weights", PILOT * len(sizes) + self.draws) as bar:

            def risk(scale: float, draws: int, *purpose: str | int) -> float:
                generator, found = context.stream(*purpose), []
                with weights_kept(model):
                    for _ in range(draws):
                        found.append(drawn_error(model, inputs, labels, mean, scale * units, generator))
                        bar.advance()
                context.evaluations += draws * rows
                return float(np.mean(found))

            pilot = np.array([risk(s, PILOT, "pilot", i) for i, s in enumerate(sizes)])
            own, other = chosen(pilot, apart, self.draws, rows, miss)
            seen = risk(sizes[own], self.draws, "draws")
        paid = bound(seen, self.draws, float(apart[own, other]), rows, priors=len(sizes), miss=miss)
        return (paid, seen), (sizes[own], sizes[other])


def _independent(prior: Dataset, held: Dataset) -> list[dict[str, Any]]:
    """What is assumed of the rows held, and what the data say of it.

    Raises:
        NotApplicable: The data say that it does not hold.
    """
    looked = ("independent of each other", "ids of its own", "groups of its own")
    seen = [a for a in assumptions(prior, held, 1) if a["assumption"] in looked]
    seen.append(_repeated(prior, held))
    if broken := [a for a in seen if a["holds"] is False]:
        raise NotApplicable(
            f"PacBayesBound: {'; '.join(a['found'] for a in broken)}: no bound for independent rows holds"
        )
    return seen


def _repeated(prior: Dataset, held: Dataset) -> dict[str, Any]:
    """Whether more of the rows held are repeated than would be by chance, were columns independent of each other."""
    from scipy.stats import poisson

    told = {"assumption": "repeated by chance only"}
    if any(a.dtype == object for a in arrays_of(prior.x)):
        return {**told, "holds": None, "found": "the inputs are objects, and were not compared"}
    known, own = digests(prior.x, held.x)
    counts = Counter([*known, *own])
    repeated = sum(counts[digest] > 1 for digest in own)
    every = zip(arrays_of(prior.x), arrays_of(held.x), strict=True)
    columns = [c for pair in every for c in np.concatenate(pair).reshape(len(known) + len(own), -1).T]
    alike = float(np.exp(sum(np.log(_coincidence(c)) for c in columns)))
    expected = alike * len(own) * (len(known) + len(own) - 1)
    told["found"] = f"of {counted(len(own), 'row')}, {agreeing(repeated, 'row')} among the training rows more than once"
    return {**told, "holds": None if repeated <= poisson.ppf(0.999, expected) else False}


def _coincidence(column: Array) -> float:
    """The chance that two rows have the same value; at least that of one pair, for none may have been seen yet."""
    counts, rows = np.unique(column, return_counts=True)[1], len(column)
    return max(float(np.sum(counts * (counts - 1.0))), 2.0) / (rows * (rows - 1))


def _prices(paid: Paid, rows: int, scales: int) -> dict[str, float]:
    """What each inequality allows for, in nats a draw or a row."""
    divergence, grid = paid.divergence / rows, float(np.log(scales)) / rows
    return {
        "draws": paid.for_draws,
        "divergence": divergence,
        "scales": grid,
        "rows": paid.for_rows - divergence - grid,
    }


def _told(paid: tuple[Paid, float], rows: int, model: Model, level: float, verdict: str) -> str:
    most, seen = (figure(v, percent=True) for v in (paid[0].bound, paid[1]))
    what = (
        f"Nets drawn around the trained {model.name} err on {seen} of {counted(rows, 'row')} that their prior has not seen, and "
        f"on at most {most} of rows drawn likewise, at a confidence of {100 * level:g}\u202f% (a divergence of "
        f"{count(paid[0].divergence)} nats)"
    )
    worth = "; always answering the commonest class may do as well" if verdict == "vacuous" else ""
    return f"{what}{worth}. Of the trained net itself, without the noise, nothing is claimed."
