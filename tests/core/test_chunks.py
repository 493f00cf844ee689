"""Chunks: everything is computed once, in order, within the size."""

import numpy as np
import pytest

from pellucid.core.chunks import CEILING, COMFORTABLE, ChunkSizes, run


@pytest.mark.parametrize("pad", [False, True])
@pytest.mark.parametrize("count", [1, 7, 8, 9, 23])
def test_joined_chunks_are_the_whole(count, pad):
    seen = []

    def step(a, b):
        seen.append(len(a))
        return a * 2, b.sum(1)

    a, b = np.arange(count), np.arange(count * 3).reshape(count, 3)
    doubled, total = run(step, [a, b], each=2, rows=16, pad=pad)
    np.testing.assert_array_equal(doubled, a * 2)
    np.testing.assert_array_equal(total, b.sum(1))
    assert max(seen) <= 8
    if pad:
        assert all(size & (size - 1) == 0 for size in seen)


def test_one_example_with_more_rows_than_fit_still_runs():
    assert run(lambda a: a, [np.arange(3)], each=100, rows=10, pad=False).tolist() == [0, 1, 2]


def test_a_chunk_never_exceeds_the_memory_bound():
    sizes = ChunkSizes(row_bytes=CEILING // 3)
    largest = []

    def step(a):
        largest.append(len(a))
        return a

    rows = sizes.rows("kind", step, [np.zeros(1000)], each=1)
    assert rows <= 3
    assert max(largest) <= 3


def test_sizes_are_measured_once_and_only_for_long_work():
    sizes, calls = ChunkSizes(row_bytes=2**20), []

    def step(a):
        calls.append(len(a))
        return a

    assert sizes.rows("kind", step, [np.zeros(20)], each=1) == COMFORTABLE // 2**20
    assert not calls
    found = sizes.rows("kind", step, [np.zeros(4000)], each=1)
    measured = len(calls)
    assert measured > 0
    assert sizes.rows("kind", step, [np.zeros(4000)], each=1) == found
    assert len(calls) == measured
