"""Eigenvalues and traces from products alone, against dense matrices."""

import numpy as np
import pytest

from pellucid.measure.spectrum import lanczos, probed, signs, smoothed


def matrix(values, seed=0):
    q = np.linalg.qr(np.random.default_rng(seed).normal(size=(len(values), len(values))))[0]
    return q * values @ q.T


OUTLIERS = np.concatenate([[10.0, 7.0, 5.0, -3.0], np.random.default_rng(0).uniform(-0.1, 1.0, 196)])


@pytest.mark.parametrize("tolerance", [1e-2, 1e-6, 1e-12])
def test_the_largest_are_as_exact_as_asked(tolerance):
    h = matrix(OUTLIERS)
    found = lanczos(lambda v: h @ v, signs(200, np.random.default_rng(1)), 5, tolerance, 200)
    truth = np.linalg.eigvalsh(h)[::-1]
    np.testing.assert_allclose(found.values[:3], truth[:3], atol=10 * max(tolerance, 1e-13))
    nearest = np.abs(found.values[:, None] - truth).min(axis=1)
    assert np.all(nearest <= found.errors + 1e-12)
    assert found.values[-1] == pytest.approx(-3, abs=1e-3)
    assert len(found.values) < 200 or tolerance < 1e-6  # it stops early where the ends stand out


def test_the_vectors_are_eigenvectors():
    h = matrix(OUTLIERS)
    found = lanczos(lambda v: h @ v, np.ones(200), 3, 1e-10, 200)
    np.testing.assert_allclose(found.vectors @ found.vectors.T, np.eye(3), atol=1e-10)
    np.testing.assert_allclose(found.vectors @ h, found.values[:3, None] * found.vectors, atol=1e-4)


def test_what_was_tried_is_a_gauss_rule_for_the_spectrum():
    h, start = matrix(OUTLIERS), signs(200, np.random.default_rng(2))
    found = lanczos(lambda v: h @ v, start, 1, 1e-9, 12)
    for power in range(2 * len(found.values)):
        truth = start @ np.linalg.matrix_power(h, power) @ start / 200
        assert found.shares @ found.values**power == pytest.approx(truth, rel=1e-9)
    at, density = smoothed(found)
    assert np.sum(density) * (at[1] - at[0]) == pytest.approx(1, abs=1e-3)


def test_a_small_or_simple_matrix_is_known_whole():
    assert lanczos(lambda v: 3 * v, np.ones(4), 5, 1e-3, 100).values.tolist() == [pytest.approx(3)]
    found = lanczos(lambda v: np.array([1.0, 2.0]) * v, np.ones(2), 5, 1e-3, 100)
    np.testing.assert_allclose(found.values, [2, 1])
    assert not lanczos(np.zeros_like, np.ones(3), 2, 1e-3, 9).values.any()


@pytest.mark.slow
def test_the_interval_of_a_trace_covers_it():
    h, g, kept = matrix(OUTLIERS), np.random.default_rng(3), 0
    for _ in range(500):

        def draw():
            z = signs(200, g)
            return np.array([z @ h @ z])

        _, interval = probed(draw, 0.1, 64, 0.95)
        kept += np.trace(h) in interval
    assert kept >= 500 * 0.95 - 3 * np.sqrt(500 * 0.95 * 0.05)


def test_no_more_probes_are_drawn_when_the_error_is_small():
    g = np.random.default_rng(0)
    assert len(probed(lambda: g.normal(10, 0.01, size=1), 0.05, 64, 0.95)[0]) == 16
    assert len(probed(lambda: g.normal(0, 1, size=1), 0.05, 50, 0.95)[0]) == 50
