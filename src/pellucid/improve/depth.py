"""Branches of a residual network that are left out at random while training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pellucid.core import options
from pellucid.errors import NotApplicable
from pellucid.improve.base import Remedy
from pellucid.improve.places import Sources, anew, is_weighted, looked_at


@dataclass(frozen=True, eq=False)
class StochasticDepth(Remedy):
    """Leaves whole branches of a residual network out at random while training: the network learns to do without each.

    Does a deep network do better on new data when it is trained as many shallower ones?

        while training:  y = x + b_l * f_l(x),  b_l = 1 with probability p_l, else 0;   afterwards:  y = x + p_l * f_l(x)
        p_l = 1 - l / L * (1 - survival)        for the branches l = 1, ..., L from input to output

    A branch is an operand of an addition (`keras.layers.Add`, `+`) whose other operand comes from the same place around it:
    through no dense or convolution layer, or through one (a projection) where the branch has two or more. A
    `keras.layers.Dropout` with one draw for all its numbers and a `keras.layers.Rescaling` by p_l are put at its end.

    Args:
        survival: The probability that the last branch is kept, between 0 and 1.
        per: "batch": one draw for a branch and a step, as published; "example": one for each example, the usual choice
            where batches are large.

    Raises:
        InvalidOption: Another `survival` or `per`.
        NotApplicable: While training, on a model whose layers cannot be seen (a subclassed one), or that has no
            branch around which something flows.

    Example:
        >>> import pellucid as pl
        >>> pl.StochasticDepth(0.8)
        StochasticDepth(survival=0.8, per='batch')

    References:
        Huang, Sun, Liu, Sedra and Weinberger 2016, "Deep networks with stochastic depth", arXiv:1603.09382.

    Limits:
        Made for networks of tens of branches; with two or three each is missed much. Additions inside a layer of its own, such as
        a transformer block, are not seen. Nothing is skipped in computing, so training is no faster. Of batch normalization in
        a branch the statistics are those of training with the branch's input as it was.
    """

    slot = "stochastic_depth"
    survival: float = 0.5
    per: str = "batch"

    def __post_init__(self) -> None:
        options.fraction(self, "survival")
        options.one_of(self, "per", ("batch", "example"))

    def rebuild(self, model: Any) -> Any:
        """The model whose branches may be left out."""
        instead = "StochasticDepth cannot be put in: leave branches out there"
        branches: list[int] = []

        def note(layer: Any, tensors: Sequence[Any]) -> None:
            branches.extend(found for found in [branch_of(layer, tensors)] if found is not None)

        looked_at(model, note, instead)
        if not branches:
            raise NotApplicable(
                f"StochasticDepth: {model.name} has no residual branch: no addition of something and of what is computed from it"
            )
        ends = enumerate(self.survivals(len(branches)), 1)

        def leave_out(layer: Any, sources: Sources, tensors: Sequence[Any]) -> tuple[Any, Mapping[int, Sequence[Any]]]:
            branch = branch_of(layer, tensors)
            return layer, {} if branch is None else {branch: self._end(*next(ends), len(tensors[branch].shape))}

        return anew(model, leave_out, instead)

    def survivals(self, count: int) -> list[float]:
        """The probability that each of so many branches is kept."""
        return [1 - (i + 1) / count * (1 - self.survival) for i in range(count)]

    def _end(self, number: int, kept: float, axes: int) -> list[Any]:
        """Dropout divides what it keeps by p_l, in training alone; times p_l that is b_l while training and p_l afterwards."""
        from keras import layers

        draws = (1 if self.per == "batch" else None, *[1] * (axes - 1))
        drop = layers.Dropout(1 - kept, noise_shape=draws, name=f"recipe_{self.slot}_{number}")
        return [drop, layers.Rescaling(kept, name=f"recipe_{self.slot}_share_{number}")]


def branch_of(layer: Any, tensors: Sequence[Any]) -> int | None:
    """Which of the two tensors of an addition is a branch around which the other flows; None if neither is."""
    if type(layer).__name__ != "Add" or len(tensors) != 2 or not all(hasattr(t, "_keras_history") for t in tensors):
        return None
    paths = [_before(t) for t in tensors]
    if not paths[0].keys() & paths[1].keys():
        return None
    alone = [
        sum(n for key, n in one.items() if key not in other) for one, other in (paths, paths[::-1])
    ]  # weighted layers of each that are not before the other
    around = int(alone[0] > alone[1])
    return 1 - around if alone[around] < min(2, alone[1 - around]) else None


def _before(tensor: Any) -> dict[tuple[int, int], int]:
    """The calls that a tensor comes from, by layer and number of the call: how many weighted layers are in each."""
    found: dict[tuple[int, int], int] = {}
    waiting = [tensor]
    while waiting:
        operation, number, _ = waiting.pop()._keras_history
        if (id(operation), number) not in found:
            found[id(operation), number] = _weighted_inside(operation)
            waiting += operation._inbound_nodes[number].input_tensors
    return found


def _weighted_inside(operation: Any) -> int:
    layers = operation._flatten_layers() if hasattr(operation, "_flatten_layers") else [operation]
    return sum(map(is_weighted, layers))
