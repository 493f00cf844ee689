"""Does the output move when attention is given to other positions?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations
from math import factorial

import numpy as np

from pellucid.core import options
from pellucid.core.measurement import Measurement
from pellucid.core.numbers import figure, ranged
from pellucid.core.randomness import stream
from pellucid.shapes import Array, Floats
from pellucid.verify.attention.site import Attended, AttentionCheck, over_examples, side, whom
from pellucid.verify.base import Case

SHARE = 0.1
"""A move below this share of what another example would do counts as none."""


@dataclass(frozen=True, eq=False)
class AttentionPermutation(AttentionCheck):
    """Permute the weights over positions: where attention matters, the output moves.

    In every row of every head the weights are permuted among the positions that are not masked, by one order of positions
    for all rows. The move is the total variation distance of the output, half of sum_k |p_k - p'_k|; for a value, its
    absolute difference in units of the mean difference between two examples. `value` is the mean over examples of the
    median over permutations. With few positions (n! no more than `permutations`) all of them are taken, each once.

    What is expected of weights that do not matter is 0; of weights that decide everything, about what another example
    would do. "moves the output" where the interval lies above `bound` and above a tenth of the mean distance between the
    outputs for two of the examples; "does not move the output" where it lies below one of them; else "unclear".

    Args:
        layer: Name of the attention; None for the last one.
        examples: How many of the explained examples are looked at, at most.
        permutations: Permutations of each example.
        bound: Move that counts as none.

    Raises:
        InvalidOption: No permutations, or a bound that is not between 0 and 1.
        UnknownName: There is no attention of that name.

    Example:
        >>> import keras, numpy as np, pellucid as pl
        >>> tokens = keras.Input((6, 4))
        >>> net = keras.Model(tokens, keras.layers.Dense(2)(pl.layers.AttentionPooling()(tokens)))
        >>> same = np.ones((20, 6, 4)) * np.random.default_rng(0).normal(size=(20, 1, 1))
        >>> e = pl.explain(net, same, pl.Gradient())
        >>> pl.verify(net, e, pl.AttentionPermutation())[0].verdict
        'does not move the output'

    References:
        Jain and Wallace 2019, "Attention is not Explanation", arXiv:1902.10186.

    Limits:
        It judges the model's attention, not the explanation at hand. Attention that is spread evenly stays the same under
        every permutation. Permuted weights are weights that the model never gives. Where the output can hardly change (a
        saturated softmax) nothing moves it.
    """

    permutations: int = 100
    bound: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        options.whole(self, "permutations")
        options.fraction(self, "bound")

    def examined(self, case: Case) -> Measurement:
        """See `AttentionCheck.examined`."""
        attended = self.attended(case)
        moves = np.stack([attended.moved(permuted(attended, order)) for order in self._orders(attended)])
        return _measured(attended, moves, self.bound)

    def _orders(self, attended: Attended) -> Iterator[Array]:
        """Numbers (B, K) by whose order the positions are permuted."""
        keys, count = attended.site.keys, len(attended)
        if np.all(attended.seen) and factorial(min(keys, 20)) <= self.permutations:
            yield from (np.broadcast_to(np.argsort(order), (count, keys)) for order in permutations(range(keys)))
            return
        for number in range(self.permutations):
            yield stream(attended.question.seed, "permutation", number).random((count, keys))


def permuted(attended: Attended, order: Floats) -> Floats:
    """Weights (B, H, Q, K): in each row the visible positions get, in turn, the weights in the given order (B, K)."""
    visible = attended.visible
    ranked = np.where(visible, order[:, None, None, :], np.inf)
    source = np.argsort(ranked, axis=-1)  # visible positions first, in the order drawn
    place = np.argsort(~visible, axis=-1, kind="stable")  # visible positions first, in their own order
    found = np.zeros_like(attended.weights)
    np.put_along_axis(found, place, np.take_along_axis(attended.weights, source, -1), -1)
    return np.where(attended.rows[..., None], found, attended.weights)


def _measured(attended: Attended, moves: Floats, bound: float) -> Measurement:
    """Turn moves (R, B) into a measurement."""
    medians = np.median(moves, axis=0)
    value, interval = float(medians.mean()), over_examples(medians, 0, np.inf if attended.unit != 1 else 1)
    limit = max(bound, SHARE * attended.exchanged)
    verdict = side(interval, limit, ("moves the output", "unclear", "does not move the output"))
    explanation = (
        f"Permuted attention {whom(attended)} moves the output by {ranged(value, interval)}; another example moves it by "
        f"{figure(attended.exchanged)}, and less than {figure(limit)} counts as nothing."
    )
    detail = {
        **attended.told, "per_example": medians, "moves": moves, "exchanged": attended.exchanged, "limit": limit,
        "unit": attended.unit, "evaluations": moves.size, "explanation": explanation,
    }  # fmt: skip
    return Measurement("attention_permutation", value, interval, verdict, detail)
