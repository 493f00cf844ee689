"""Rows that two parts share are found, and as many copies as a set holds within itself are let pass."""

import numpy as np
import pytest

from pellucid.core.copies import refuse_overlap
from pellucid.core.dataset import Dataset
from pellucid.errors import InvalidInput

DRAW = np.random.default_rng(0)


def test_copies_are_named_by_their_parts():
    x = DRAW.normal(size=(100, 3))
    refuse_overlap(Dataset(x[:60]), Dataset(x[60:]))
    with pytest.raises(InvalidInput, match="test: 20 of its 40 examples are copies of validation examples"):
        refuse_overlap(Dataset(x[:60]), Dataset(x[40:80]), ("validation", "test"))
    with pytest.raises(InvalidInput, match="validation: 20 of its 40 examples are copies of training examples"):
        refuse_overlap(Dataset(x[:60]), Dataset(x[40:80]))


def test_tables_of_few_values_may_repeat_themselves():
    x = DRAW.integers(0, 3, size=(400, 2)).astype(float)
    refuse_overlap(Dataset(x[:300]), Dataset(x[300:]))


def test_ids_in_both_are_an_overlap():
    x = DRAW.normal(size=(10, 3))
    with pytest.raises(InvalidInput, match=r"test: the example 'b' \(ids\) is in train"):
        refuse_overlap(Dataset(x[:5], ids=list("abcde")), Dataset(x[5:], ids=list("bvwxy")), ("train", "test"))
