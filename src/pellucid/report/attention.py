"""What the report shows of a model's attention: one reading of a few examples, and whether it is a faithful account."""

from __future__ import annotations

from collections.abc import Sequence

from pellucid.core.attention import sites
from pellucid.core.dataset import Dataset
from pellucid.core.model import Model
from pellucid.errors import InvalidInput, NoAttention, NotApplicable
from pellucid.explain.attention.reading import AttentionReading, attention
from pellucid.explain.attention.weights import AttentionWeights
from pellucid.explain.base import Explanation, explain
from pellucid.plot.attended import attention_map
from pellucid.plot.positions import one_looks
from pellucid.report.selection import CHECKED, Example
from pellucid.verify.attention.faithfulness import AttentionFaithfulness

EXAMPLES, WEIGHTS = 3, 20_000_000
"""Most examples that are read, and most weights that are kept of them."""

RUNS, FEWEST = 6000, 16
"""Runs of the model, one for each part of each example, that leaving out may cost; examples that are checked at least."""


def shown(examples: Sequence[Example]) -> list[Example]:
    """The first example of each role, at most three."""
    first = {example.role: example for example in reversed(examples)}
    return [example for example in examples if first[example.role] is example][:EXAMPLES]


def read(model: Model, test: Dataset, examples: Sequence[Example]) -> AttentionReading | None:
    """Where a model looks in the examples shown; None where there is no attention in it.

    Raises:
        NotApplicable: No example is shown, the attention cannot be read, or even one example has too many weights to keep.
    """
    rows = [example.row for example in shown(examples)]
    try:
        found = sites(model, model.prepare(test.take(rows[:1] or slice(0, 1))))
    except NoAttention:
        return None
    except InvalidInput as reason:
        raise NotApplicable(str(reason)) from reason
    size = sum(site.heads * site.queries * site.keys for site in found)
    if not rows or size > WEIGHTS:
        raise NotApplicable(f"one example has {size:,} weights, too many to keep" if rows else "no example is shown")
    return attention(model, test.take(rows[: max(1, WEIGHTS // size)]))


def laid(model: Model, test: Dataset, examples: Sequence[Example], reading: AttentionReading) -> Explanation | None:
    """Where the last attention looks, on the examples themselves: for positions that cannot be placed from the reading alone,
    such as the tubelets of a video. None where they can be, or where no position stands for the whole."""
    if not one_looks(reading, 0):
        return None
    try:
        attention_map(reading)
        return None
    except InvalidInput:
        rows = [example.row for example in shown(examples)][: len(reading)]
    try:
        return explain(model, test.take(rows), AttentionWeights(), progress=False)
    except (InvalidInput, NotApplicable):
        return None


def check(reading: AttentionReading) -> AttentionFaithfulness:
    """The check of the last attention, on as many examples as an audit can afford; without the search for other weights that
    would do as well, which has no say in the verdict and takes longer than all the rest."""
    keys = reading[-1].shape[-1]
    return AttentionFaithfulness(examples=max(FEWEST, min(CHECKED, RUNS // keys)), adversary=None)
