"""Integrated gradients: closed forms, the axioms, and whether the error it states is the error it makes."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers, ops
from sklearn.datasets import load_digits

import pellucid as pl
from pellucid.errors import InvalidInput, InvalidOption
from pellucid.explain.gradients import path


def relative_errors(found, truth):
    flat = lambda a: a.reshape(len(a), -1)  # noqa: E731
    return np.linalg.norm(flat(found - truth), axis=1) / np.linalg.norm(flat(truth), axis=1)


def midpoints(model, x, baseline, points=2048):
    """The integral by 2,048 midpoints, each an ordinary gradient."""
    total = np.zeros(x.shape)
    for a in (np.arange(points) + 0.5) / points:
        e = pl.explain(model, baseline + a * (x - baseline), pl.Gradient(), target=model.scores(x).argmax(1))
        total += e.values
    return total / points * (x - baseline)


def test_a_formula_integrated_by_hand():
    f = lambda x: 5 * x[:, 0] + x[:, 1] ** 2 + ops.sin(x[:, 2])  # noqa: E731
    method = pl.IntegratedGradients(baseline=np.array([0.5, 1.0, 1.0]), tolerance=1e-6)
    e = pl.explain(f, np.array([[1.0, 2.0, 3.0]]), method)
    np.testing.assert_allclose(e.values, [[2.5, 3.0, np.sin(3) - np.sin(1)]], rtol=1e-5)
    np.testing.assert_allclose(e.gap, 0, atol=1e-5)
    np.testing.assert_allclose(e.baseline_output, 2.5 + 1 + np.sin(1), rtol=1e-6)


@pytest.mark.parametrize("form", ["relu(relu(a)-1-relu(b))", "relu(relu(a-1)-relu(b))"])
def test_two_networks_of_one_function_get_one_answer(form):
    relu = ops.relu
    nets = {
        "relu(relu(a)-1-relu(b))": lambda x: relu(relu(x[:, 0]) - 1 - relu(x[:, 1])),
        "relu(relu(a-1)-relu(b))": lambda x: relu(relu(x[:, 0] - 1) - relu(x[:, 1])),
    }
    e = pl.explain(nets[form], np.array([[3.0, 1.0]]), pl.IntegratedGradients(tolerance=1e-3, max_evaluations=8191))
    np.testing.assert_allclose(e.values, [[1.5, -0.5]], atol=5e-3)


def test_the_rule_is_fejers_second():
    for n in (8, 16, 64):
        angles = path._nodes(n)
        weights, points = path._weights_at(angles, n), path._positions(angles)
        for power in range(n - 1):  # exact for polynomials of degree n - 2 and less
            assert weights @ points**power == pytest.approx(1 / (power + 1), abs=1e-12)
        assert (weights > 0).all()
        assert set(np.round(points, 12)) <= set(np.round(path._positions(path._nodes(2 * n)), 12))
    assert path._levels(7) == [8]
    assert path._levels(15) == [8, 16]
    assert path._levels(62) == [8, 16, 32]


@pytest.mark.parametrize("intervals", [8, 32])
def test_no_point_is_evaluated_twice(intervals, monkeypatch):
    seen = []
    step = path.along_path

    def spy(question, starts, points):
        seen.extend(points.positions.tolist())
        return step(question, starts, points)

    monkeypatch.setattr(path, "along_path", spy)
    f = lambda x: ops.relu(x[:, 0] - 0.3) * 2  # noqa: E731
    e = pl.explain(f, np.array([[1.0]]), pl.IntegratedGradients(tolerance=1e-9, max_evaluations=intervals - 1))
    assert len(seen) == len(set(np.round(seen, 7))) == intervals - 1 == e.evaluations[0]
    assert not e.converged[0]
    assert e.error[0] > 1e-9


@pytest.fixture(scope="module", params=["relu", "gelu"])
def digits(request):
    """A CNN trained on digits, 64 images and their integral by 2,048 midpoints."""
    x, y = load_digits(return_X_y=True)
    x = (x / 16).astype(np.float32).reshape(-1, 8, 8, 1)
    keras.utils.set_random_seed(0)
    act = request.param
    net = keras.Sequential([
        keras.Input((8, 8, 1)), layers.Conv2D(16, 3, padding="same", activation=act),
        layers.Conv2D(32, 3, padding="same", activation=act), layers.MaxPooling2D(), layers.Flatten(),
        layers.Dense(64, activation=act), layers.Dense(10),
    ])  # fmt: skip
    net.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    net.fit(x, y, epochs=5, batch_size=64, verbose=0)
    model, chosen = pl.wrap(net), x[:64]
    fine = pl.IntegratedGradients(tolerance=1e-9, max_evaluations=1023)
    return model, chosen, pl.explain(model, chosen, fine).values


def test_two_percent_for_a_third_of_fifty_gradients_and_an_honest_error(digits):
    model, x, truth = digits
    e = pl.explain(model, x, pl.IntegratedGradients(tolerance=0.02))
    true = relative_errors(e.values, truth)
    assert e.evaluations.mean() <= 50 / 3
    assert np.mean(true <= e.error) >= 0.95
    assert np.mean(true <= 0.02) >= 0.95
    assert e.converged.all()
    spent = e.evaluations
    assert set(spent) <= {7, 15, 31, 63}


@pytest.mark.slow
def test_the_reference_is_the_integral(digits):
    model, x, truth = digits
    assert relative_errors(truth[:8], midpoints(model, x[:8], np.zeros_like(x[:8]))).max() < 2e-3


def test_completeness_and_its_gap(random_cnn, generator):
    x = generator.normal(size=(6, 8, 8, 1)).astype(np.float32)
    model = pl.wrap(random_cnn)
    e = pl.explain(model, x, pl.IntegratedGradients(tolerance=0.005, max_evaluations=2047), target=1)
    change = model.scores(x)[:, 1] - model.scores(np.zeros_like(x))[:, 1]
    np.testing.assert_allclose(e.output - e.baseline_output, change, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(e.gap, np.abs(e.values.sum((1, 2, 3)) - change), atol=1e-4)
    assert (e.gap <= 0.02 * np.abs(e.values).sum((1, 2, 3))).all()


def test_tokens_start_at_the_baselines_embedding(generator):
    inputs = keras.Input((4,), dtype="int32")
    flat = layers.Flatten()(layers.Embedding(7, 3)(inputs))
    net = keras.Model(inputs, layers.Dense(2)(layers.Dense(5, activation="tanh")(flat)))
    tokens = generator.integers(1, 7, size=(3, 4))
    e = pl.explain(net, tokens, pl.IntegratedGradients(baseline=2, tolerance=1e-4), target=0)
    model = pl.wrap(net)
    change = model.scores(tokens)[:, 0] - model.scores(np.full_like(tokens, 2))[:, 0]
    np.testing.assert_allclose(e.values.sum(1), change, rtol=1e-3, atol=1e-5)
    np.testing.assert_array_equal(e.values[tokens == 2], 0)


def test_a_baseline_for_each_example_and_input(generator):
    a, b = keras.Input((2,), name="a"), keras.Input((3,), name="b")
    joined = layers.Dense(4, activation="tanh")(layers.Concatenate()([a, b]))
    net = keras.Model([a, b], layers.Dense(1)(joined))
    x = {"a": generator.normal(size=(3, 2)), "b": generator.normal(size=(3, 3))}
    start = {"a": generator.normal(size=(3, 2)), "b": np.ones(3)}
    e = pl.explain(net, x, pl.IntegratedGradients(baseline=start, tolerance=1e-4))
    model = pl.wrap(net)
    change = (model.scores(x) - model.scores({"a": start["a"], "b": np.ones((3, 3))}))[:, 0]
    np.testing.assert_allclose(e.values["a"].sum(1) + e.values["b"].sum(1), change, rtol=1e-3, atol=1e-4)


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 10**6))
def test_axioms_on_random_formulas(seed):
    """Dummy, linearity, symmetry and completeness, for random smooth functions of four columns."""
    draw = np.random.default_rng(seed)
    a, b = draw.normal(size=(2, 3)).astype(np.float32)
    x, method = draw.normal(size=(2, 4)), pl.IntegratedGradients(tolerance=1e-3)
    f = lambda t: ops.tanh(t[:, 0] * a[0] + t[:, 1] * a[0] + t[:, 2] * a[1]) + a[2]  # noqa: E731
    g = lambda t: ops.sigmoid(t[:, 0] * b[0]) * t[:, 2]  # noqa: E731
    x[:, 1] = x[:, 0]
    of = lambda h: pl.explain(h, x, method).values  # noqa: E731
    both = of(lambda t: 2 * f(t) - 3 * g(t))
    np.testing.assert_allclose(both, 2 * of(f) - 3 * of(g), atol=0.02 * (1 + np.abs(both).max()))
    np.testing.assert_allclose(of(f)[:, 0], of(f)[:, 1], rtol=1e-3, atol=1e-5)
    np.testing.assert_array_equal(both[:, 3], 0)


def test_nothing_changes_nothing_is_explained():
    e = pl.explain(lambda x: x[:, 0] * 0 + 1, np.ones((2, 3)), pl.IntegratedGradients())
    np.testing.assert_array_equal(e.values, 0)
    np.testing.assert_array_equal(e.error, 0)
    assert e.converged.all()


def test_many_examples_go_block_by_block(monkeypatch, generator):
    f = lambda x: ops.sum(ops.tanh(x), axis=1)  # noqa: E731
    x = generator.normal(size=(50, 3))
    whole = pl.explain(f, x, pl.IntegratedGradients()).values
    monkeypatch.setattr(path, "BLOCK", 1000)
    np.testing.assert_allclose(pl.explain(f, x, pl.IntegratedGradients()).values, whole, rtol=1e-6)


@pytest.mark.parametrize(
    "options", [{"tolerance": 0}, {"tolerance": "a"}, {"max_evaluations": 6}, {"max_evaluations": 9.5}]
)
def test_options_that_make_no_sense(options):
    with pytest.raises(InvalidOption, match=f"IntegratedGradients.{next(iter(options))}: expected"):
        pl.IntegratedGradients(**options)


def test_a_baseline_of_the_wrong_shape(random_mlp):
    with pytest.raises(InvalidInput, match=r"one example \(6,\) or one for each \(2, 6\), got \(5,\)"):
        pl.explain(random_mlp, np.zeros((2, 6)), pl.IntegratedGradients(baseline=np.zeros(5)))


def test_a_model_that_is_cut_before_the_score_does_not_converge():
    e = pl.explain(lambda x: ops.round(x[:, 0]) + 0.001 * x[:, 1], np.array([[3.0, 1.0]]), pl.IntegratedGradients())
    assert not e.converged[0]
    assert e.error[0] > 1
    assert e.gap[0] == pytest.approx(3.0)
