"""How the model holds up against somebody who looks for its weakest point."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from pellucid.core import options
from pellucid.core.measurement import Measurement
from pellucid.core.numbers import counted, figure, given, stated
from pellucid.core.progress import Progress
from pellucid.core.randomness import some
from pellucid.core.resampling import wilson
from pellucid.errors import InvalidOption, NotApplicable
from pellucid.measure.attacks.ball import NORMS, Ball
from pellucid.measure.attacks.siege import ATTACKS, BLIND, SPARSE, Attack, Fallen, besiege, masking, nearest, union
from pellucid.measure.attacks.space import as_inputs, space_of
from pellucid.measure.attacks.victim import Victim
from pellucid.measure.base import Context, Measure
from pellucid.measure.estimates import mean_interval
from pellucid.shapes import Array, Floats

SHOWN = 5
"""Examples of the smallest changes."""


@dataclass(frozen=True, eq=False)
class AdversarialRobustness(Measure):
    """How many answers stay right when each input may be moved a little, to where it hurts most?

    Inputs x are moved to x + s d with ||d|| <= epsilon, in the norm "inf" (every number by so much), "2" (all together) or "0"
    (so many columns, pixels or steps, each as far as it may), within the range of the training data. s is 1; in a table, the
    training standard deviation of each column. In a table, categories and marks of missing values stay as they are, or in the
    norm "0" become, as a whole, another category that was seen in training. Whole numbers move by whole numbers.

    The value is the accuracy against all attacks tried together, at the largest epsilon: a row counts only if none of them
    turned it. It is an UPPER bound of robust accuracy: what attacks do not find may still be there. Verdicts, with t the
    tolerance and the paired interval of the accuracy lost:

    - "gradients are masked": attacks that take no gradient turn surely more rows than those that do, or one step surely more
      than many, or surely more than 5 % of the rows have a gradient of exactly zero. What gradients did not find proves
      nothing then.
    - "not robust": low > t.
    - "withstands these attacks": high <= t.
    - "undecided".

    `detail`: `epsilons` (0 first) with the curve `accuracy`, `low`, `high`; `attacks`, the same of each attack, and the share of
    right answers it turned, `success`; `strongest`; `masking`, the signs looked at; `distance` (B,) by which each of the `rows`
    had to be moved at most, infinite where it stands; `examples` of the smallest changes.

    Args:
        epsilon: How far an input may be moved, at least 0; or several such numbers, for a curve.
        norm: "inf", "2" or "0".
        attacks: Names, or None for all: "fgsm", "pgd", "apgd-ce", "apgd-dlr", "square" and "noise"; in the norm "0" "greedy" and
            "scatter". "square", "noise" and "scatter" take no gradient.
        steps: Steps of an attack; the square attack looks four times as often.
        restarts: Starts of an attack: from the input itself, then from random places.
        rows: At most so many test rows are attacked, drawn by chance; None for every one.
        limits: (low, high) of inputs, numbers or arrays of an example's shape; None for the range of the training data, of each
            column in a table.
        frozen: Columns of a table that cannot change, by name or number; else truth values of an example's shape.
        tolerance: A loss of accuracy that is acceptable, at least 0.
        level: Confidence level, in (0, 1).

    Raises:
        InvalidOption: An option outside its range, or an attack that does not exist in this norm.
        UnknownName: A frozen column that does not exist.

    Example:
        >>> import numpy as np, pellucid as pl
        >>> from keras import ops
        >>> x = np.random.default_rng(0).normal(size=(400, 2)).astype("float32")
        >>> model = pl.wrap(lambda x: ops.concatenate([-x[:, :1], x[:, :1]], axis=1), output="logits")
        >>> attacked = pl.AdversarialRobustness([0.1, 0.5], steps=10)
        >>> found, = pl.measure(model, attacked, test=(x, (x[:, 0] > 0).astype(int)))
        >>> found.verdict, found.detail["accuracy"].tolist()  # of no distance first
        ('not robust', [1.0, 0.9375, 0.645])

    References:
        Goodfellow, Shlens and Szegedy 2015, arXiv:1412.6572 (FGSM). Madry et al. 2018, arXiv:1706.06083 (PGD). Croce and Hein
        2020, arXiv:2003.01690 (APGD, the DLR loss). Andriushchenko et al. 2020, arXiv:1912.00049 (the square attack).
        Athalye, Carlini and Wagner 2018, arXiv:1802.00420 (masked gradients).

    Limits:
        An upper bound, never a proof: more steps, more restarts and other attacks can only lower it; its interval is about which
        rows were drawn, not about what the attacks missed. A norm is not what an enemy is bound by, nor what people see. An
        attack fitted to a defence (randomness, detection) is not among these. Columns of a table are moved one by one, whether
        or not such a row could exist. Several inputs, and texts, are not attacked.
    """

    epsilon: Any
    norm: str = "inf"
    attacks: Any = None
    steps: int = 40
    restarts: int = 2
    rows: int | None = 500
    limits: Any = None
    frozen: Any = ()
    tolerance: float = 0.05
    level: float = 0.95

    quantity: ClassVar[str] = "adversarial_robustness"
    better: ClassVar[str] = "higher"
    share: ClassVar[bool] = True

    def __post_init__(self) -> None:
        options.one_of(self, "norm", NORMS)
        options.fraction(self, "level")
        options.not_negative(self, "tolerance")
        for name in ("steps", "restarts", *(("rows",) if self.rows is not None else ())):
            options.whole(self, name)
        object.__setattr__(self, "epsilon", _epsilons(self.epsilon, self.norm))
        known, asked = self._known(), self.attacks
        asked = tuple(known) if asked is None else (asked,) if isinstance(asked, str) else tuple(asked)
        for name in asked:
            if name not in known:
                raise InvalidOption(
                    f"AdversarialRobustness.attacks: the norm {self.norm!r} has {', '.join(known)}, got {name!r}"
                )
        if not asked:
            raise InvalidOption("AdversarialRobustness.attacks: expected at least one attack, got none")
        object.__setattr__(self, "attacks", asked)

    def _known(self) -> dict[str, Attack]:
        return SPARSE if self.norm == "0" else ATTACKS

    def passes(self, train: int, test: int) -> int:
        """See `Measure.passes`; rows that fall are left out of what follows."""
        del train
        return 3 * min(test, self.rows or test) * self.steps * self.restarts * len(self.attacks) * len(self.epsilon)

    def compute(self, context: Context) -> Measurement:
        """See `Measure.compute`."""
        context.require_classes("looks for other answers")
        labels = context.labels("test")
        rows = some(len(labels), self.rows, context.stream("rows"))
        ball, clean = self._prepared(context, rows, labels[rows])
        found: dict[str, Fallen] = {}
        with Progress("attacking", len(self.attacks), False if len(self.attacks) < 2 else None) as bar:
            for name in self.attacks:
                effort, draws = (self.steps, self.restarts), context.stream(name)
                found[name] = besiege(self._known()[name], ball, clean, self.epsilon, effort, draws)
                bar.advance()
        together = union(list(found.values()))
        signs = masking(found, _flat(ball, clean, self.attacks), self.epsilon, self.level)
        detail = {
            **self._curves(found, together),
            **_smallest(context, ball, together, rows),
            "masking": signs,
            "rows": rows,
        }
        return self._judged(context, clean <= 0, together.standing(self.epsilon[-1]), detail)

    def _prepared(self, context: Context, rows: Array, labels: Array) -> tuple[Ball, Floats]:
        """The rows with what may happen to them, and their margins (B,) as they are."""
        model, scores = context.model, context.scores("test")
        if any(entry.layer is not None for entry in model.anatomy.entries):
            raise NotApplicable(f"the inputs of {model.name} are token numbers, which cannot be moved a little")
        if isinstance(context.data("test").x, dict):
            raise NotApplicable(f"{model.name} has several inputs, and attacks move one")
        taking = [name for name in self.attacks if name not in BLIND]
        if taking and not model.differentiable:
            raise NotApplicable(
                f"{', '.join(taking)} take gradients, and {model.name} gives none; ask for attacks without: {', '.join(BLIND)}"
            )
        if taking:
            model.require_gradient("AdversarialRobustness")
        victim = Victim(context)
        space = space_of(context.data("train" if context.has("train") else "test"), self.limits, self.frozen)
        x = as_inputs(context.data("test").x[rows])
        return Ball(victim, space, x, labels, 0.0, self.norm), victim.margins_of(scores[rows], labels)

    def _curves(self, found: dict[str, Fallen], together: Fallen) -> dict[str, Any]:
        """Accuracy by epsilon with its interval, of all attacks together and of each."""
        epsilons = (0.0, *(e for e in self.epsilon if e > 0))

        def curve(fallen: Fallen) -> dict[str, Any]:
            standing = [fallen.standing(epsilon) for epsilon in epsilons]
            ends = [wilson(int(s.sum()), len(s), self.level) for s in standing]
            return {
                "accuracy": np.array([s.mean() for s in standing]),
                "low": np.array([e.low for e in ends]), "high": np.array([e.high for e in ends]),
                "success": 1 - float(standing[-1].sum() / max(1, standing[0].sum())),
            }  # fmt: skip

        each = {name: curve(fallen) for name, fallen in found.items()}
        strongest = min(each, key=lambda name: each[name]["accuracy"].sum())
        return {"epsilons": np.array(epsilons), **curve(together), "attacks": each, "strongest": strongest}

    def _judged(self, context: Context, right: Array, stands: Array, detail: dict[str, Any]) -> Measurement:
        interval = wilson(int(stands.sum()), len(stands), self.level)
        lost = mean_interval(right.astype(float) - stands, self.level, context.stream("lost"))
        verdict = (
            "gradients are masked" if detail["masking"]["masked"] else "not robust" if lost.low > self.tolerance
            else "withstands these attacks" if lost.high <= self.tolerance else "undecided"
        )  # fmt: skip
        value, test = float(stands.mean()), context.data("test")
        unit = " training standard deviations" if test.kind == "tabular" and self.norm != "0" else ""
        seen = (counted(len(stands), "unseen row"), figure(float(right.mean()), interval, percent=True))
        told = _told(self, seen, stated(value, interval, percent=True), detail["strongest"], unit)
        if verdict == "gradients are masked":
            told += " Gradients are masked, so that what attacks by gradient did not find proves nothing."
        detail = {"explanation": told, "clean": float(right.mean()), "lost": float(right.mean()) - value, **detail}
        return Measurement(self.quantity, value, interval, verdict, {**detail, "lost_interval": lost})


def _epsilons(asked: Any, norm: str) -> tuple[float, ...]:
    """Distances in rising order."""
    several = (asked,) if np.ndim(asked) == 0 else asked
    try:
        found = tuple(sorted({float(e) for e in several}))
    except (TypeError, ValueError):
        found = ()
    if not found or not all(0 <= e < np.inf for e in found) or (norm == "0" and any(e % 1 for e in found)):
        what = "whole numbers of changes" if norm == "0" else "finite numbers"
        raise InvalidOption(f"AdversarialRobustness.epsilon: expected one or more {what} of at least 0, got {asked!r}")
    return found


def _flat(ball: Ball, clean: Floats, attacks: Sequence[str]) -> Array:
    """Whether the gradient is zero, for each row that is right and has something to move; none where none is taken."""
    rows = np.flatnonzero((clean <= 0) & ball.movable.reshape(len(ball), -1).any(axis=1))
    if not len(rows) or all(name in BLIND for name in attacks):
        return np.zeros(0, bool)
    part = ball.take(rows)
    slopes = part.slopes(part.start(None), "ce")[0] * part.movable
    return np.all(slopes.reshape(len(rows), -1) == 0, axis=1)


def _smallest(context: Context, ball: Ball, together: Fallen, rows: Array) -> dict[str, Any]:
    """How far every row had to be moved, and the few that had to be moved least."""
    far, points = nearest(ball, together)
    turned = np.flatnonzero((far > 0) & np.isfinite(far))
    few = turned[np.argsort(far[turned], kind="stable")][:SHOWN]
    found: dict[str, Any] = {
        "row": rows[few],
        "label": ball.y[few],
        "distance": far[few],
        "x": ball.x[few],
        "to": points[few],
    }
    if len(few):
        answers = context.as_probabilities(context.run(points[few], "attacked inputs"), "attacked inputs")
        found["answer"] = answers.argmax(axis=1)
    return {"distance": far, "examples": found}


def _told(measure: AdversarialRobustness, seen: tuple[str, str], left: str, strongest: str, unit: str) -> str:
    rows, clean = seen
    most = measure.epsilon[-1]
    move = f"a move of at most {given(most)}{unit} in the norm {measure.norm}"
    how = counted(int(most), "change") if measure.norm == "0" else move
    return (
        f"Of an accuracy of {clean} on {rows}, at most {left} is left under {how}; of "
        f"{counted(len(measure.attacks), 'attack')}, {strongest} turned most. That is an upper bound: a stronger attack may turn "
        "more."
    )
