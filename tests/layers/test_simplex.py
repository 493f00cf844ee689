"""Weights against a bisection in float64, and gradients against the closed Jacobians."""

import numpy as np
import pytest

import pellucid as pl

SPARSE = ["sparsemax", "entmax15"]


def bisection(z, alpha):
    """The alpha-entmax of each row: the threshold at which the weights add up to one, by halving an interval."""
    z = np.asarray(z, "float64") * (alpha - 1)
    low, high = z.max(-1, keepdims=True) - 1, z.max(-1, keepdims=True)
    weigh = lambda t: np.maximum(z - t, 0) ** (1 / (alpha - 1))  # noqa: E731
    for _ in range(80):
        middle = (low + high) / 2
        above = weigh(middle).sum(-1, keepdims=True) >= 1
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    return weigh(low)


def reference(name, z, mask=None):
    """A row at a time over the positions that count."""
    z = np.asarray(z, "float64")
    mask = np.ones(z.shape, bool) if mask is None else np.broadcast_to(mask, z.shape)
    out = np.zeros(z.shape)
    for i in np.ndindex(z.shape[:-1]):
        kept = z[i][mask[i]]
        if kept.size:
            e = np.exp(kept - kept.max())
            out[i][mask[i]] = e / e.sum() if name == "softmax" else bisection(kept, 2 if name == "sparsemax" else 1.5)
    return out


def closed_jacobian(name, p):
    """The Jacobian at weights p, from the papers: diag(s) - s s' / sum(s)."""
    s = {"softmax": p, "sparsemax": (p > 0).astype(float), "entmax15": np.sqrt(p)}[name]
    return np.diag(s) - np.outer(s, s) / s.sum()


@pytest.mark.parametrize("name", ["softmax", *SPARSE])
@pytest.mark.parametrize("width", [1, 7, 300])
def test_weights_equal_a_bisection(name, width, as_array, generator):
    scales = np.array([0.0, 0.1, 1.0, 5.0, 1000.0])[:, None, None]
    z = (scales * generator.normal(size=(5, 4, width)) + 3).astype("float32")
    found = as_array(getattr(pl.layers, name)(z))
    np.testing.assert_allclose(found, reference(name, z), atol=1e-6)
    np.testing.assert_allclose(found.sum(-1), 1, atol=1e-5)


@pytest.mark.parametrize("name", ["softmax", *SPARSE])
def test_a_masked_position_is_as_if_it_were_not_there(name, as_array, generator):
    z = generator.normal(size=(4, 3, 9)).astype("float32")
    mask = generator.random((4, 1, 9)) < 0.6
    mask[0] = False
    z[..., 2] = np.where(mask[:, :, 2], z[..., 2], 1e20)
    found = as_array(getattr(pl.layers, name)(z, mask))
    np.testing.assert_allclose(found, reference(name, z, mask), atol=1e-6)
    assert not found[~np.broadcast_to(mask, z.shape)].any()
    assert not found[0].any(), "nothing to weigh: no weight"


@pytest.mark.parametrize("name", SPARSE)
def test_scores_of_minus_infinity_have_no_weight(name, as_array):
    found = as_array(getattr(pl.layers, name)(np.array([[0.3, -np.inf, 0.1]], "float32")))
    np.testing.assert_allclose(found[:, [0, 2]], reference(name, [[0.3, 0.1]]), atol=1e-6)


@pytest.mark.parametrize("name", SPARSE)
def test_ties_share_alike(name, as_array):
    found = as_array(getattr(pl.layers, name)(np.array([[1.0, 1.0, 1.0, -9.0]], "float32")))
    np.testing.assert_allclose(found, [[1 / 3, 1 / 3, 1 / 3, 0]], atol=1e-6)


@pytest.mark.parametrize("name", ["softmax", *SPARSE])
def test_gradients_equal_the_closed_jacobian(name, jacobian, generator):
    z, upstream = generator.normal(size=(2, 20, 6)) * np.array([[[1.0]], [[0.1]]]), generator.normal(size=(2, 20, 6))
    z = z.astype("float32")
    found = jacobian(getattr(pl.layers, name), z, upstream)
    p = reference(name, z)
    wanted = np.stack([[closed_jacobian(name, r) @ u for r, u in zip(*rows)] for rows in zip(p, upstream)])
    if name != "softmax":
        assert (p == 0).any()
        assert (p > 0).all(-1).any()
    np.testing.assert_allclose(found, wanted, atol=2e-5)


@pytest.mark.parametrize("name", ["softmax", *SPARSE])
def test_gradients_are_numbers_where_everything_is_masked(name, jacobian):
    z, mask = np.array([[5.0, 1.0], [2.0, 1.0]], "float32"), np.array([[False, False], [True, False]])
    found = jacobian(lambda v: getattr(pl.layers, name)(v, mask), z, np.array([[1.0, 2.0], [1.0, 2.0]]))
    np.testing.assert_array_equal(found, 0)


@pytest.mark.parametrize("name", ["softmax", *SPARSE])
@pytest.mark.parametrize("half", ["float16", "bfloat16"])
def test_half_precision_is_worked_in_single(name, half, as_array, generator):
    from keras import ops

    z = ops.cast(generator.normal(size=(3, 200)), half)
    found = getattr(pl.layers, name)(z)
    assert half in str(found.dtype)
    wanted = reference(name, as_array(z))
    np.testing.assert_allclose(as_array(found), wanted, atol=1e-3 if half == "float16" else 4e-3 * wanted.max())
