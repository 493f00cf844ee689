"""Walks: what is gathered between stops, rounds that keep what they know, and blocks that change nothing."""

import numpy as np
import pytest
from keras import ops

import pellucid as pl
from pellucid.explain.gradients import walks
from pellucid.explain.gradients.direction import directed
from pellucid.explain.gradients.walks import Rounds, Stop, swept


def test_what_is_gathered_between_stops(generator):
    """Of a quadratic form, the trapezoid rule is exact on any broken line; the shares of the directed sum are of one."""
    a = generator.normal(size=(4, 4))
    places = np.cumsum(generator.normal(size=(6, 1, 4)), axis=0)
    score = lambda z: np.einsum("ei,ij,ej->e", z, a, z)  # noqa: E731
    stops = [Stop(z, score(z), z @ (a + a.T)) for z in places]
    change = score(places[-1]) - score(places[0])
    np.testing.assert_allclose(swept(stops).sum(1), change)
    np.testing.assert_allclose(directed(stops).sum(1), change)
    step = directed(stops[:2])
    expected = sum((s.slope**2 / (s.slope**2).sum()) for s in stops[:2]) / 2 * (stops[1].score - stops[0].score)
    np.testing.assert_allclose(step, expected)


def test_a_side_without_slope_leaves_its_half_to_the_other():
    flat, steep = (
        Stop(np.zeros((1, 2)), np.zeros(1), np.zeros((1, 2))),
        Stop(np.ones((1, 2)), np.ones(1), np.array([[3.0, 4.0]])),
    )
    np.testing.assert_allclose(directed([flat, steep]), [[9 / 25, 16 / 25]])
    np.testing.assert_array_equal(directed([flat, flat]), 0)


@pytest.mark.parametrize("keep, most, expected", [
    (False, 59, [(8, 9), (16, 17), (32, 33)]),
    (False, 200, [(8, 9), (16, 17), (32, 33), (64, 65)]),
    (True, 59, [(8, 9), (16, 8), (32, 16)]),
    (True, 65, [(8, 9), (16, 8), (32, 16), (64, 32)]),
])  # fmt: skip
def test_rounds_cost_what_they_say(keep, most, expected):
    assert list(Rounds("any", 0.1, most, keep).steps()) == expected


def test_no_place_is_looked_at_twice(monkeypatch, generator):
    seen = []
    look = walks.Span.stops
    monkeypatch.setattr(walks.Span, "stops", lambda span, at: (seen.append(at), look(span, at))[1])
    x = generator.normal(size=(1, 3))
    method = pl.ImportantDirection(tolerance=1e-9, max_evaluations=129)
    e = pl.explain(lambda x: ops.sum(ops.tanh(x), axis=1), x, method)
    places = np.concatenate(seen)
    assert len(places) == len(np.unique(places.round(9), axis=0)) == e.evaluations[0] == 129


def test_blocks_and_groups_change_nothing(monkeypatch, generator):
    f = lambda x: ops.sum(ops.tanh(x * x), axis=1)  # noqa: E731
    x = generator.normal(size=(7, 3)).astype(np.float32)
    whole = pl.explain(f, x, pl.ImportantDirection())
    monkeypatch.setattr(walks, "BLOCK", 8 * 3 * 64 * 2)
    monkeypatch.setattr(walks, "ROWS", 3)
    apart = pl.explain(f, x, pl.ImportantDirection())
    np.testing.assert_allclose(apart.values, whole.values, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(apart.evaluations, whole.evaluations)
