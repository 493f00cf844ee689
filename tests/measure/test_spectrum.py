"""Eigenvalues and traces from products alone, against dense matrices."""

import numpy as np
import pytest

from pellucid.measure.spectrum import lanczos, largest, probed, signs, smoothed


def matrix(values, seed=0):
    q = np.linalg.qr(np.random.default_rng(seed).normal(size=(len(values), len(values))))[0]
    return q * values @ q.T


OUTLIERS = np.concatenate([[10.0, 7.0, 5.0, -3.0], np.random.default_rng(0).uniform(-0.1, 1.0, 196)])


def of(h, top=5, tolerance=1e-6, most=200, seed=1):
    return largest(lambda v: h @ v, len(h), top, tolerance, most, np.random.default_rng(seed))


@pytest.mark.parametrize("tolerance", [1e-2, 1e-6])
def test_the_largest_are_as_exact_as_asked(tolerance):
    h = matrix(OUTLIERS)
    found = of(h, 3, tolerance)
    truth = np.linalg.eigvalsh(h)[::-1]
    np.testing.assert_allclose(found.values, truth[:3], atol=10 * tolerance)
    assert np.all(np.abs(found.values - truth[:3]) <= found.errors)
    assert found.least == pytest.approx(-3, abs=1e-3)


TAIL = np.random.default_rng(1).exponential(0.05, 400) * np.random.default_rng(2).choice([1, -0.5], 400)
SPECTRA = {
    "of a network": [20.1, 16.8, 14.4, 12.7, 9.7, 8.5, 7.3, 5.5, 4.6, 3.1, 2.1, -1.5, *TAIL],
    "one of them twice": [20.1, 16.8, 14.4, 12.7, 12.7, 8.5, 7.3, 5.5, 4.6, *TAIL],
    "three that are equal": [5.0, 5.0, 5.0, 3.0, 2.0, *TAIL],
    "crowded at the edge": [20.1, 16.8, 14.4, 12.7, 9.72, 9.71, 9.7, 9.69, 4.6, *TAIL],
    "without a gap": np.linspace(0, 1, 400),
    "downwards": -np.arange(400.0),
}


@pytest.mark.parametrize("name", SPECTRA)
@pytest.mark.parametrize("tolerance", [0.05, 0.003])
def test_each_is_within_its_stated_error_of_the_eigenvalue_of_its_place(name, tolerance):
    truth = np.sort(SPECTRA[name])[::-1]
    starts, kept, said = 60, 0, 0
    for seed in range(starts):
        found = largest(lambda v: truth * v, len(truth), 5, tolerance, 100, np.random.default_rng(seed))
        off = np.abs(found.values - truth[:5])
        most = tolerance * np.abs(truth).max()
        kept += np.all(off <= most) or found.errors.max() > most  # which is to own up to it
        said += np.all(off <= found.errors)
    assert said >= 0.98 * starts
    assert kept >= 0.95 * starts


def test_it_costs_fewer_products_than_the_power_method_takes_for_one():
    truth, made = np.sort(SPECTRA["of a network"])[::-1], []

    def product(v):
        made.append(v)
        return truth * v

    found = largest(product, len(truth), 5, 0.003, 100, np.random.default_rng(0))
    np.testing.assert_allclose(found.values, truth[:5], atol=0.003 * truth[0])
    assert len(made) < 30


def test_too_few_products_are_owned_up_to():
    truth = np.linspace(0, 1, 400)[::-1]
    for most in (1, 2, 7):
        found = largest(lambda v: truth * v, 400, 5, 0.01, most, np.random.default_rng(0))
        assert np.all(np.abs(found.values - truth[: len(found.values)]) <= found.errors)


def test_the_vectors_are_eigenvectors():
    h = matrix(OUTLIERS)
    found = of(h, 3, 1e-9)
    np.testing.assert_allclose(found.vectors @ found.vectors.T, np.eye(3), atol=1e-10)
    np.testing.assert_allclose(found.vectors @ h, found.values[:, None] * found.vectors, atol=1e-4)
    np.testing.assert_allclose(found.images, found.vectors @ h, atol=1e-10)


def test_what_was_tried_is_a_gauss_rule_for_the_spectrum():
    h, start = matrix(OUTLIERS), signs(200, np.random.default_rng(2))
    found = lanczos(lambda v: h @ v, start, 12, lambda _: False)
    for power in range(2 * len(found.values)):
        truth = start @ np.linalg.matrix_power(h, power) @ start / 200
        assert found.shares @ found.values**power == pytest.approx(truth, rel=1e-9)
    at, density = smoothed(found)
    assert np.sum(density) * (at[1] - at[0]) == pytest.approx(1, abs=1e-3)


def test_products_and_the_diagonal_of_what_was_tried_need_no_more_of_them():
    h, g = matrix(OUTLIERS), np.random.default_rng(4)
    found = lanczos(lambda v: h @ v, g.normal(size=200), 9, lambda _: False)
    inside = g.normal(size=9)
    np.testing.assert_allclose(found.images(inside), h @ (inside @ found.basis), atol=1e-12)
    np.testing.assert_allclose(found.diagonal(), np.diag(h @ found.basis.T @ found.basis), atol=1e-12)


@pytest.mark.slow
def test_few_starts_have_an_eigenvalue_above_the_ceiling():
    truth, above = np.linspace(0, 1, 300)[::-1], 0
    for seed in range(2000):
        start = np.random.default_rng(seed).standard_normal(300)
        above += lanczos(lambda v: truth * v, start, 6, lambda _: False).ceiling < 1
    assert above <= 2000 * 0.01 + 3 * np.sqrt(2000 * 0.01)


def test_a_small_or_simple_matrix_is_known_whole():
    np.testing.assert_allclose(of(3 * np.eye(4)).values, [3, 3, 3, 3])
    np.testing.assert_allclose(of(np.diag([1.0, 2.0])).values, [2, 1])
    np.testing.assert_allclose(of(np.diag([2.0])).values, [2])
    assert not of(np.zeros((3, 3)), 2).values.any()


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
