"""One seed in, independent streams out, global state untouched."""

import random

import keras
import numpy as np
import pytest

from pellucid.core.randomness import seeded, stream
from pellucid.errors import InvalidInput


def test_streams_depend_on_seed_and_purpose_alone():
    assert stream(1, "a", 2).random() == stream(1, "a", 2).random()
    draws = {stream(s, *p).random() for s in (1, 2) for p in (("a",), ("b",), ("a", 1), ("a", 2))}
    assert len(draws) == 8


def test_streams_are_uncorrelated():
    many = np.stack([stream(0, "x", i).normal(size=2000) for i in range(20)])
    off = np.corrcoef(many)[~np.eye(20, dtype=bool)]
    assert np.abs(off).max() < 4.5 / np.sqrt(2000)


@pytest.mark.parametrize("seed", [-1, 1.5, True, "1", None])
def test_what_is_no_seed(seed):
    with pytest.raises(InvalidInput, match="whole number of at least 0"):
        stream(seed, "a")


def test_a_seeded_block_repeats_itself_and_leaves_no_trace():
    def world():
        return [random.random(), float(np.random.random()), float(keras.random.uniform(()))]

    def inside():
        with seeded(5, "training"):
            return world()

    keras.utils.set_random_seed(3)
    expected = [world(), world()]
    keras.utils.set_random_seed(3)
    found = [world()]
    first, second = inside(), inside()
    found.append(world())
    assert found == expected
    assert first == second
    assert first not in expected


def test_state_is_given_back_after_an_error():
    keras.utils.set_random_seed(3)
    expected = float(np.random.random())
    keras.utils.set_random_seed(3)
    with pytest.raises(RuntimeError), seeded(5):
        np.random.random()
        raise RuntimeError
    assert float(np.random.random()) == expected
