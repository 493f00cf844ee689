"""Does attention rank positions as gradients do, and as leaving them out does?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from pellucid.core import options
from pellucid.core.attention_ground import ground_of
from pellucid.core.attention_streams import wiring
from pellucid.core.masks import Players, hidden_scores, make_players
from pellucid.core.measurement import Measurement
from pellucid.core.model import Model
from pellucid.core.numbers import ranged
from pellucid.core.target import Resolved
from pellucid.errors import InvalidInput, NotApplicable
from pellucid.explain.base import Question
from pellucid.shapes import Array, Floats, Tensor
from pellucid.verify.attention.site import RESOLUTION, Attended, AttentionCheck, answer, over_examples, side, whom
from pellucid.verify.base import Case

AGREES = 1 / 3
"""Kendall's tau at which two pairs in three are in the same order."""


@dataclass(frozen=True, eq=False)
class AttentionAgreement(AttentionCheck):
    """Does attention rank positions as the gradient does, and as leaving each of them out does?

    Kendall's tau-b = (C - D) / sqrt((P - T_a)(P - T_b)), for the pairs P of positions that are not masked: C are in the
    same order in both rankings, D in opposite order, T tied in one of them. `value` is the mean over examples of the tau
    between attention (the mean over heads, and over the queries that the score depends on) and how far the output moves
    when a position is replaced by the baseline: by total variation distance; for a value, by its absolute difference.

    Positions that next to nothing hangs on are ranked by noise, and most pairs may be such. So a second, *settled* tau
    makes ties of what is too small to matter: weights below half of an equal share, 1 / 2n of n positions, and moves below
    `bound`. The verdict goes by it: "agrees" where its interval lies above 1/3 (two pairs in three in the same order),
    "does not agree" where below, else "unclear". Attention that is all ties agrees with nothing: 0. Where no position alone
    moves the output by `bound`, as where the model is as sure as can be, leaving out ranks nothing and so contradicts
    nothing: such examples have no settled tau (NaN), and are counted in `detail["idle"]`.

    Args:
        layer: Name of the attention; None for the last one, which pools or is read before pooling.
        examples: How many of the explained examples are looked at, at most.
        gradient: "input" for the magnitude of gradient times input (at tokens: times their embedding), "norm" for the
            norm of the gradient alone; both over all that belongs to a position.
        bound: Move of the output that counts as none; of values, as a share of the mean difference between examples.
        baseline: What a position that is left out is replaced by; None for the explanation's own baseline, or 0 (the
            padding, where a model masks zeros).
        patch: Size of a position in images and sequences, as in `PermutationShapley`; None to find the part of a
            spectrogram, image or video that each position has grown from, by gradients.

    Raises:
        InvalidOption: A gradient of another name, or a bound that is not between 0 and 1.
        UnknownName: There is no attention of that name.

    Example:
        >>> import keras, numpy as np, pellucid as pl
        >>> keras.utils.set_random_seed(0)
        >>> tokens = keras.Input((6, 4))
        >>> net = keras.Model(tokens, keras.layers.Dense(2)(pl.layers.AttentionPooling()(tokens)))
        >>> e = pl.explain(net, np.random.default_rng(0).normal(size=(20, 6, 4)), pl.Gradient())
        >>> found = pl.verify(net, e, pl.AttentionAgreement())[0]
        >>> found.name, found.detail["per_example"].shape
        ('attention_agreement', (20,))

    References:
        Jain and Wallace 2019, "Attention is not Explanation", arXiv:1902.10186; Kendall 1945, "The treatment of ties in
        ranking problems", doi:10.1093/biomet/33.3.239.

    Limits:
        It judges the model's attention, not the explanation at hand. Gradients and leaving out are no truth either: leaving
        out one of two positions that say the same moves nothing. A position that equals the baseline already cannot be
        left out. Where positions were mixed before, attention to one is not attention to the input there; after a
        convolution whose fields overlap they are counted off in order. Of texts and tables a class token is expected before
        the others.
    """

    better: ClassVar[str] = "higher"

    gradient: str = "input"
    bound: float = 0.01
    baseline: Any = None
    patch: Any = None

    def __post_init__(self) -> None:
        super().__post_init__()
        options.one_of(self, "gradient", ("input", "norm"))
        options.fraction(self, "bound")

    def examined(self, case: Case) -> Measurement:
        """See `AttentionCheck.examined`."""
        attended = self.attended(case)
        at = _positions(attended, self.patch)
        account, seen = attended.account[:, at.keys], attended.seen[:, at.keys]
        moves = _left_out(attended, at, [f[attended.index] for f in case.fill(self.baseline)])
        slopes = _slopes(attended.question, at, self.gradient)
        equal = 1 / np.maximum(seen.sum(1, keepdims=True), 1)
        settled = rank_agreement(_settled(account, equal / 2), _settled(moves, self.bound), seen)
        idle = ~np.any((moves >= self.bound) & seen, axis=1)
        taus = {
            "leave_one_out": rank_agreement(account, moves, seen),
            "gradient": rank_agreement(account, slopes, seen),
            "settled": np.where(idle, np.nan, settled),
        }
        return _measured(attended, taus, {"attention": account, "moves": moves, "slopes": slopes}, at.count)


@dataclass(frozen=True)
class _Positions:
    """Which part of which input each position is; what belongs to none has the last number of `players`.

    Attributes:
        players: The parts.
        input: The number of the input.
        keys: Which of the attention's keys each part is.
    """

    players: Players
    input: int
    keys: Array

    @property
    def count(self) -> int:
        return self.players.count - 1


def _positions(attended: Attended, patch: Any) -> _Positions:
    """Which parts of the input the keys are: those they have grown from, where parts of an input come together in a key; else,
    and where their size is given, as many parts as there are keys, or one fewer, for a class token before them."""
    model, inputs, keys = attended.model, attended.question.inputs, attended.site.keys
    if patch is None and any(a.ndim > 2 for a in inputs) and (grown := _grown(attended)) is not None:
        return grown
    embedded = [entry.input for entry in model.anatomy.entries if entry.layer is not None and not entry.hidden]
    order = sorted(range(len(inputs)), key=lambda i: (i not in embedded, i))
    for wanted in (keys, keys - 1):
        for i in order:
            for assignment, count in _divided(inputs[i], patch):
                if count == wanted:
                    return _at(inputs, i, assignment, np.arange(keys - count, keys))
    raise NotApplicable(
        f"{attended.site.name} attends to {keys} positions, which are no {keys} or {keys - 1} parts of an input of shape "
        f"{inputs[order[0]].shape[1:]}; give the size of such a part as patch="
    )


def _grown(attended: Attended) -> _Positions | None:
    """The parts of an input that the keys have grown from; None where that cannot be told, or where they overlap."""
    model, inputs = attended.model, attended.question.inputs
    try:
        wired = wiring(model, inputs, "AttentionAgreement")
        stream = wired.named(attended.site.name).looks
        ground = ground_of(model, inputs, stream, wired.first(stream))
    except (InvalidInput, NotApplicable):
        return None
    if not ground.apart:
        return None
    held = np.flatnonzero(ground.cover.any(0))  # not a class token
    part = np.searchsorted(held, ground.cover.argmax(1)).reshape(ground.shape)
    return _at(inputs, ground.input, np.broadcast_to(part, inputs[ground.input].shape[1:]), held)


def _at(inputs: Sequence[Array], which: int, parts: Array, keys: Array) -> _Positions:
    """One input divided into parts; whatever else there is belongs to none of them."""
    assigned = [np.full(a.shape[1:], len(keys)) for a in inputs]
    assigned[which] = np.array(parts)
    return _Positions(Players(tuple(assigned), len(keys) + 1), which, keys)


def _divided(array: Array, patch: Any) -> list[tuple[Array, int]]:
    """Ways to divide an input into positions: by time or column, else into patches of some size."""
    shape = array.shape[1:]
    if len(shape) == 0:
        return []
    sizes = [patch] if patch is not None else [1] if len(shape) < 3 else range(1, max(shape[:-1]) + 1)
    made = [make_players([array[:1]], "sequence", patch=size) for size in sizes]
    return [(players.assignment[0], players.count) for players in made]


@dataclass(frozen=True)
class _Moves(Resolved):
    """How far the answer moves from one that is given in the place of the selector."""

    model: Any = None
    asked: Resolved | None = None
    width: int = 0
    function: Any = field(default="moves")  # a name of its own among the compiled steps

    def score(self, scores: Tensor, selector: Tensor) -> Tensor:
        """Half of the summed absolute differences (B,)."""
        from keras import ops

        before, own = selector[:, : self.width], selector[:, self.width :]
        now = answer(self.model, self.asked, scores, own)  # type: ignore[arg-type]
        return ops.sum(ops.abs(now - before), axis=1) / 2


def _left_out(attended: Attended, at: _Positions, fill: list[Array]) -> Floats:
    """How far the answer moves (B, T) when each position alone is replaced."""
    q, raw = attended.question, attended.answers * np.float32(attended.unit)
    both = np.concatenate([raw, q.target.selector], axis=1).astype(np.float32)
    target = _Moves(both, q.target.classes, model=q.model, asked=q.target, width=raw.shape[1])
    one_each = np.eye(at.count, at.count + 1, dtype=bool)
    return hidden_scores(q.model, q.inputs, fill, target, at.players, one_each).astype(np.float64) / attended.unit


def _slopes(question: Question, at: _Positions, kind: str) -> Floats:
    """|gradient times input| or the gradient's norm (B, T), over all that belongs to a position."""
    key = ("attention slopes", at.input, kind)
    step = question.model.compiled(key, lambda: _slope_step(question.model, question.target, at.input, kind))
    found = question.model.in_chunks(key, step, (*question.inputs, question.target.selector))
    maps = [np.zeros(a.shape, np.float32) if i != at.input else found for i, a in enumerate(question.inputs)]
    total = at.players.gather(maps)[:, : at.count]
    return np.sqrt(total) if kind == "norm" else np.abs(total)


def _slope_step(model: Model, target: Resolved, which: int, kind: str) -> Callable[..., Any]:
    from keras import ops

    def step(*arrays: Tensor) -> Tensor:
        inputs, selector = arrays[:-1], arrays[-1]
        entries = model.embed(inputs)

        def run(*given: Tensor) -> tuple[Tensor, Tensor]:
            scores = model.forward_from(given, inputs)
            return ops.sum(target.score(scores, selector)), scores

        _, slopes = model.backend.gradient(run, entries)
        total: Any = 0.0
        for entry, place, slope in zip(model.anatomy.entries, entries, slopes, strict=True):
            if entry.input == which:
                part = slope**2 if kind == "norm" else slope * place
                total = total + (part if entry.layer is None else ops.sum(part, axis=-1))
        return total

    return step


def rank_agreement(a: Floats, b: Floats, seen: Array) -> Floats:
    """Kendall's tau-b of each row of a and b (B, T) over the positions seen (B, T); 0 where one of them is constant.

    What differs by no more than rounding is tied.
    """
    from scipy.stats import kendalltau

    rounded = [np.round(m / RESOLUTION) for m in (a, b)]
    found = np.zeros(len(a))
    for row, (x, y, shown) in enumerate(zip(*rounded, seen, strict=True)):
        x, y = x[shown], y[shown]
        if len(x) > 1 and np.ptp(x) > 0 and np.ptp(y) > 0:
            found[row] = kendalltau(x, y).statistic
    return found


def _settled(values: Floats, floor: Any) -> Floats:
    return np.where(values < floor, 0.0, values)


def _measured(
    attended: Attended, taus: Mapping[str, Floats], behind: Mapping[str, Floats], positions: int
) -> Measurement:
    done = {name: tau[np.isfinite(tau)] for name, tau in taus.items()}
    intervals = {name: over_examples(tau, -1, 1) if len(tau) else None for name, tau in done.items()}
    means = {name: float(tau.mean()) if len(tau) else None for name, tau in done.items()}
    told = {name: ranged(means[name], intervals[name]) for name in taus}
    decides, idle = intervals["settled"], len(attended) - len(done["settled"])
    verdict = "unclear" if decides is None else side(decides, AGREES, ("agrees", "unclear", "does not agree"))
    settled = f"{told['settled']} with ties for all that hardly matters (it agrees above {AGREES:.2f})"
    explanation = (
        f"Attention {whom(attended)} ranks positions as leaving them out does with Kendall's tau {told['leave_one_out']}"
        f"{f', {settled}' if decides is not None else ''}; with gradients {told['gradient']}."
    )
    if idle:
        explanation += f" In {idle} of these no position alone moves the output, which says nothing about their order."
    detail = {
        **attended.told, **behind, "per_example": taus["leave_one_out"], "gradient_per_example": taus["gradient"],
        "settled_per_example": taus["settled"], "gradient": means["gradient"], "gradient_interval": intervals["gradient"],
        "settled": means["settled"], "settled_interval": decides, "limit": AGREES, "idle": idle,
        "evaluations": len(attended) * (positions + 2), "explanation": explanation,
    }  # fmt: skip
    return Measurement("attention_agreement", means["leave_one_out"], intervals["leave_one_out"], verdict, detail)
