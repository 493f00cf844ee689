"""What methods promise, on random models: completeness, dummy, linearity, symmetry, implementation invariance, conservation."""

from functools import cache

import keras
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from keras import layers, ops

import pellucid as pl

ROWS = np.random.default_rng(11).normal(size=(6, 5)).astype(np.float32)

SIGNED = {
    "GradientInput": pl.GradientInput(),
    "IntegratedGradients": pl.IntegratedGradients(tolerance=1e-3, max_evaluations=2047),
    "background": pl.IntegratedGradients(pl.Background(ROWS), tolerance=2e-3, max_evaluations=511),
    "ExpectedGradients": pl.ExpectedGradients(ROWS, tolerance=0.02, max_evaluations=4096),
    "DeepLift": pl.DeepLift(),
    "reveal_cancel": pl.DeepLift("reveal_cancel"),
    "DeepShap": pl.DeepShap(ROWS),
    "Epsilon": pl.LayerRelevance(pl.Epsilon()),
    "GuidedIntegratedGradients": pl.GuidedIntegratedGradients(),
    "ImportantDirection": pl.ImportantDirection(),
    "FullGradient": pl.FullGradient(),
    "PermutationShapley": pl.PermutationShapley(),
    "Occlusion": pl.Occlusion(),
}
COMPLETE = (
    "IntegratedGradients",
    "background",
    "DeepLift",
    "reveal_cancel",
    "DeepShap",
    "PermutationShapley",
    "FullGradient",
)
LINEAR = ("GradientInput", "IntegratedGradients", "background", "DeepLift", "DeepShap", "Epsilon", "Occlusion")
random_models = given(st.integers(0, 2**31 - 1))
few = settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)


@cache
def wrapped(bias, width=8):
    """Compiled once: a model follows its weights."""
    sizes = ((width, "relu"), (6, "relu"), (3, None))
    return pl.wrap(keras.Sequential([keras.Input((5,)), *(layers.Dense(n, a, bias) for n, a in sizes)]))


def network(seed, *, bias=True, idle=False, twins=False):
    """A random network of rectifiers; `idle`: it ignores column 3; `twins`: it reads columns 1 and 2 in the same way."""
    draw = np.random.default_rng(seed)
    net = wrapped(bias).native
    net.set_weights([draw.normal(size=w.shape) / np.sqrt(w.shape[0]) for w in net.get_weights()])
    weights = net.get_weights()
    if idle:
        weights[0][3] = 0
    if twins:
        weights[0][2] = weights[0][1]
    net.set_weights(weights)
    return wrapped(bias), draw.normal(size=(4, 5)).astype(np.float32)


def size(e):
    return np.abs(e.values).sum(1) + 1e-3


@pytest.mark.parametrize("name", COMPLETE)
@random_models
@few
def test_completeness(name, seed):
    e = pl.explain(*network(seed), SIGNED[name], target=1)
    start = 0 if e.baseline_output is None else e.baseline_output
    missed = np.abs(e.values.sum(1) - (e.output - start))
    np.testing.assert_allclose(e.gap, missed, atol=1e-4 * size(e).max())
    allowed = 1e-4 if e.error is None else np.maximum(3 * e.error, 1e-4)
    assert np.all(missed <= allowed * size(e))


@pytest.mark.parametrize("name", SIGNED)
@random_models
@few
def test_dummy(name, seed):
    e = pl.explain(*network(seed, idle=True), SIGNED[name], target=0)
    spread_out = name == "FullGradient"  # of a table, the share of the biases is spread over all columns
    assert spread_out or np.all(np.abs(e.values[:, 3]) <= 1e-6 * size(e))


@pytest.mark.parametrize("name", LINEAR)
@random_models
@few
def test_linearity(name, seed):
    net, x = network(seed)
    ask = lambda target: pl.explain(net, x, SIGNED[name], target)  # noqa: E731
    first, second, both = ask(0), ask(1), ask(lambda s: s[:, 0] + 2 * s[:, 1])
    scale = size(first) + 2 * size(second)
    errors = [0 if e.error is None else e.error for e in (first, second, both)]
    allowed = 3 * np.max(np.broadcast_arrays(1e-4, *errors), axis=0)
    assert np.all(np.abs(first.values + 2 * second.values - both.values).max(1) <= allowed * scale)


@pytest.mark.parametrize("name", SIGNED)
@random_models
@few
def test_symmetry(name, seed):
    net, x = network(seed, twins=True)
    x[:, 2] = x[:, 1]
    rows = ROWS.copy()
    rows[:, 2] = rows[:, 1]
    method = SIGNED[name]
    for option in ("background", "baseline"):
        if isinstance(getattr(method, option, None), np.ndarray | pl.Background):
            method = type(method)(
                **{**method.settings(), option: rows if option == "background" else pl.Background(rows)}
            )
    e = pl.explain(net, x, method, target=2)
    sure = 1e-4 * size(e) if e.standard_error is None or e.baseline is None else 6 * e.standard_error.max(1) + 1e-4
    assert np.all(np.abs(e.values[:, 1] - e.values[:, 2]) <= sure)


@random_models
@few
def test_conservation_without_biases(seed):
    net, x = network(seed, bias=False)
    e = pl.explain(net, x, pl.LayerRelevance(pl.Epsilon(stabilizer=1e-9)), target=1)
    np.testing.assert_allclose(e.values.sum(1), e.output, atol=1e-4 * size(e).max())


SAME_FUNCTION = (
    lambda x: ops.relu(ops.relu(x[:, 0]) - 1 - ops.relu(x[:, 1])),
    lambda x: ops.relu(ops.relu(x[:, 0] - 1) - ops.relu(x[:, 1])),
)


@pytest.mark.parametrize("f", SAME_FUNCTION)
@pytest.mark.parametrize("baseline", [0.0, pl.Background(np.zeros((2, 2)))])
def test_two_implementations_of_one_function_get_the_same(f, baseline):
    method = pl.IntegratedGradients(baseline, tolerance=1e-3, max_evaluations=4095)
    e = pl.explain(f, np.array([[3.0, 1.0]]), method)
    np.testing.assert_allclose(e.values, [[1.5, -0.5]], atol=2e-3)


@random_models
@few
def test_splitting_a_layer_changes_no_path(seed):
    """A unit written as two halves of itself: another network, the same function."""
    net, x = network(seed)
    w, b, *rest = net.native.get_weights()
    wide = wrapped(True, 16)
    wide.native.set_weights([np.tile(w, 2), np.tile(b, 2), np.tile(rest[0], (2, 1)) / 2, *rest[1:]])
    for name in ("IntegratedGradients", "GradientInput", "Occlusion"):
        first, second = (pl.explain(n, x, SIGNED[name], target=0).values for n in (net, wide))
        np.testing.assert_allclose(first, second, atol=1e-4 * np.abs(first).max() + 1e-6)
