"""One verdict on a model's attention: is it, or is it not, a faithful account of what the output depends on?"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np

from pellucid.core import options
from pellucid.core.measurement import Measurement
from pellucid.errors import NotApplicable
from pellucid.shapes import Floats
from pellucid.verify.attention.adversary import AdversarialAttention
from pellucid.verify.attention.agreement import AttentionAgreement
from pellucid.verify.attention.permutation import AttentionPermutation
from pellucid.verify.attention.site import AttentionCheck, over_examples
from pellucid.verify.attention.uniform import UniformAttention
from pellucid.verify.base import Case
from pellucid.verify.trust import FAITHFUL, UNDECIDED, UNFAITHFUL


@dataclass(frozen=True, eq=False)
class AttentionFaithfulness(AttentionCheck):
    """In this model, is attention a faithful account of what the output depends on?

    An account is believed for two things: that it matters, and that it is right.

    1. It matters: with the weights permuted the output moves (`AttentionPermutation`).
    2. It is right: positions with more attention are those whose absence moves the output more (`AttentionAgreement`).

    "faithful" where both hold, each by the whole of its interval; "not faithful" where one of them fails by the whole of its
    interval; else "undecided". `value` is the mean over examples of the settled Kendall's tau between attention and leaving
    out, or 0 for an example whose output does not move under other weights: no ranking by them can be right where every other
    does as well. Examples whose output no single position moves are left out, as in `AttentionAgreement`.

    `AdversarialAttention` is run, told and kept in `detail["exclusive"]` (whether it is the *only* account), but has no veto.
    With more positions than outputs some mixture of other positions has the same output in nearly every model: one that
    puts out the token it attends to, faithful by construction, has such weights for most of its inputs. Neither has
    `UniformAttention`, which is about the task: a model may use attention that another does without.

    Args:
        layer: Name of the attention; None for the last one, which pools or is read before pooling.
        examples: How many of the explained examples are looked at, at most.
        agreement, permutation, adversary: How each is checked; layer and examples are taken from here, but for the adversary,
            which keeps its own, smaller number of examples. It is the dearest of them; None leaves it out.
        uniform: `UniformAttention` with a builder and data, to train without attention as well; None leaves it out.

    Raises:
        InvalidOption: Checks of other kinds.
        UnknownName: There is no attention of that name.

    Example:
        >>> import keras, numpy as np, pellucid as pl
        >>> tokens = keras.Input((6, 4))
        >>> net = keras.Model(tokens, keras.layers.Dense(2)(pl.layers.AttentionPooling()(tokens)))
        >>> same = np.ones((20, 6, 4)) * np.random.default_rng(0).normal(size=(20, 1, 1))
        >>> e = pl.explain(net, same, pl.Gradient())
        >>> pl.verify(net, e, pl.AttentionFaithfulness())[0].verdict
        'not faithful'

    References:
        Jain and Wallace 2019, "Attention is not Explanation", arXiv:1902.10186; Wiegreffe and Pinter 2019, "Attention is not
        not Explanation", arXiv:1908.04626; Jacovi and Goldberg 2020, "Towards faithfully interpretable NLP systems",
        arXiv:2004.03685.

    Limits:
        It judges one attention of the model, on these examples, and not the explanation at hand: an explanation made of
        gradients is neither helped nor harmed by it. "faithful" says that attention points at what the output depends on, not
        how the values there are used. After several layers attention is over mixtures of positions. Few examples leave it
        undecided, as does an output that no single position moves.
    """

    better: ClassVar[str] = "higher"

    agreement: AttentionAgreement = field(default_factory=AttentionAgreement)
    permutation: AttentionPermutation = field(default_factory=AttentionPermutation)
    adversary: AdversarialAttention | None = field(default_factory=AdversarialAttention)
    uniform: UniformAttention | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, kind in (
            ("agreement", AttentionAgreement),
            ("permutation", AttentionPermutation),
        ):
            options.instance(self, name, kind, f"pl.{kind.__name__}(...)")
        for name, kind in (("adversary", AdversarialAttention), ("uniform", UniformAttention)):
            if getattr(self, name) is not None:
                options.instance(self, name, kind, f"pl.{kind.__name__}(...) or None")

    def examined(self, case: Case) -> Measurement:
        """See `AttentionCheck.examined`."""
        same = {"layer": self.layer, "examples": self.examples}
        permutation = replace(self.permutation, **same).check(case)
        agreement, why = None, ""
        try:
            agreement = replace(self.agreement, **same).check(case)
        except NotApplicable as problem:
            why = str(problem)
        adversary = None
        if self.adversary is not None:
            few = min(self.examples, self.adversary.examples)
            adversary = replace(self.adversary, layer=self.layer, examples=few).check(case)
        uniform = None if self.uniform is None else self.uniform.check(case)
        return _judged(permutation, agreement, adversary, uniform, why)


def _judged(
    permutation: Measurement,
    agreement: Measurement | None,
    adversary: Measurement | None,
    uniform: Measurement | None,
    why: str,
) -> Measurement:
    """Add the findings up; `why` is told where there is no agreement."""
    moves, agrees = permutation.verdict, "" if agreement is None else agreement.verdict
    idle = moves == "does not move the output"
    if idle or agrees == "does not agree":
        verdict = UNFAITHFUL
    elif moves == "moves the output" and agrees == "agrees":
        verdict = FAITHFUL
    else:
        verdict = UNDECIDED
    done = [m for m in (permutation, agreement, adversary, uniform) if m is not None]
    said = [str(m.detail["explanation"]) for m in done] + ([f"No agreement: {why}."] if why else [])
    other = "" if adversary is None else adversary.verdict
    tau = _where_moved(permutation, agreement)
    known = tau[np.isfinite(tau)]
    value, interval = (float(known.mean()), over_examples(known, -1, 1)) if len(known) else (None, None)
    detail = {
        **{name: permutation.detail[name] for name in ("about", "layer", "examples", "left_out")}, "per_example": tau,
        "permutation": permutation, "agreement": agreement, "adversary": adversary,
        "uniform": uniform, "exclusive": None if adversary is None else other == "no other account does",
        "evaluations": sum(m.detail.get("evaluations", 0) for m in done),
        "explanation": f"{_sentence(verdict, idle, agrees, other)} {' '.join(said)}",
    }  # fmt: skip
    return Measurement("attention_faithfulness", value, interval, verdict, detail)


def _where_moved(permutation: Measurement, agreement: Measurement | None) -> Floats:
    """The settled tau of each example, 0 where permuting does not move the output; NaN where it is not known, unless permuting
    moves nothing at all."""
    moved = permutation.detail["per_example"] > permutation.detail["limit"]
    if not moved.any():
        return np.zeros(len(moved))
    settled = np.full(len(moved), np.nan) if agreement is None else agreement.detail["settled_per_example"]
    return np.where(moved | np.isnan(settled), settled, 0.0)


def _sentence(verdict: str, idle: bool, agrees: str, other: str) -> str:
    only = {
        "no other account does": ", and no other weights do as well",
        "another account does": ", but not the only one",
    }
    if verdict == FAITHFUL:
        return f"In this model attention is a faithful account{only.get(other, '')}."
    if verdict == UNDECIDED:
        return "Whether attention is a faithful account in this model is open."
    reason = "other weights give the same output" if idle else "it does not point at what the output depends on"
    return f"In this model attention is not a faithful account: {reason}."
