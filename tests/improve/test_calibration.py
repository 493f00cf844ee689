"""Calibration against scikit-learn, closed forms and known factors."""

import keras
import numpy as np
import pytest
from scipy.special import expit, softmax

import pellucid as pl
from pellucid.core.model_files import load_model
from pellucid.errors import InvalidInput, NotApplicable
from pellucid.improve.scaling import log_loss, scales, temperature

DRAW = np.random.default_rng(0)
Z = DRAW.normal(0, 1.5, size=(3000, 3)).astype("float32")
Y = (Z + DRAW.gumbel(size=Z.shape)).argmax(axis=1)  # so softmax(Z) are the probabilities
ODDS = DRAW.normal(0, 2, size=(3000, 1)).astype("float32")
YES = (DRAW.random(3000) < expit(ODDS[:, 0])).astype(int)
ALL = (pl.TemperatureScaling(), pl.VectorScaling(), pl.MatrixScaling(), pl.IsotonicCalibration())
NAMES = [type(a).__name__ for a in ALL]


def net(width, end, factor=4.0):
    """A model that says `factor` times its inputs, through `end`."""
    x = keras.Input((width,))
    soft = "softmax" if width > 1 else "sigmoid"
    layer = keras.layers.Dense(width, activation=soft if end == "dense" else None, use_bias=False)
    out = layer(x)
    if end == "nested":
        out = keras.Sequential([keras.Input((width,)), keras.layers.Activation(soft)])(out)
    layer.set_weights([np.eye(width, dtype="float32") * factor])
    model = keras.Model(x, getattr(keras.ops, soft)(out) if end == "operation" else out)
    loss = keras.losses.SparseCategoricalCrossentropy if width > 1 else keras.losses.BinaryCrossentropy
    model.compile("sgd", loss(from_logits=end == "logits"))
    return model


class Own(keras.Model):
    """Its softmax is no layer, so it cannot be taken off."""

    def call(self, x):
        return keras.ops.softmax(4.0 * x)


def own():
    model = Own()
    model.compile("sgd", "sparse_categorical_crossentropy")
    model(Z[:4])
    return model


def error(p, y, bins=15):
    """Expected calibration error of the top label."""
    sure, right = p.max(axis=1), p.argmax(axis=1) == y
    place = np.minimum((sure * bins).astype(int), bins - 1)
    parts = [place == b for b in range(bins)]
    return sum(abs(sure[b].mean() - right[b].mean()) * b.mean() for b in parts if b.any())


@pytest.mark.parametrize("factor", [0.2, 1.0, 5.0])
def test_temperature_of_scaled_logits_is_scaled(factor):
    plain = temperature(Z.astype(float), Y)
    assert temperature(factor * Z.astype(float), Y) == pytest.approx(factor * plain, rel=1e-5)
    assert plain == pytest.approx(1.0, abs=0.1)


def test_temperature_is_where_the_slope_of_the_loss_is_zero():
    z = Z.astype(float)
    t = temperature(z, Y)
    p = softmax(z / t, axis=1)
    slope = np.mean((p * z).sum(axis=1) - z[np.arange(len(z)), Y])  # of the mean log loss, by 1 / T
    assert abs(slope) < 1e-5


def test_temperature_of_two_answers_is_in_closed_form():
    # all logits are 2 and 70 % of the labels are 1: expit(2 / T) = 0.7
    assert temperature(np.full((10, 1), 2.0), np.r_[np.ones(7, int), np.zeros(3, int)]) == pytest.approx(
        2 / np.log(0.7 / 0.3), rel=1e-6
    )


@pytest.mark.parametrize("end", ["dense", "nested", "operation", "logits"])
@pytest.mark.parametrize("width", [3, 1])
def test_temperature_lowers_the_error_and_keeps_every_class(width, end):
    x, y = (Z, Y) if width == 3 else (ODDS, YES)
    model = pl.wrap(net(width, end))
    found = pl.TemperatureScaling().fit(model, (x, y))
    before, after = model.probabilities(x), found.probabilities(x)
    if width == 3:
        assert np.array_equal(before.argmax(axis=1), after.argmax(axis=1))
    else:
        assert np.array_equal(before[:, 1] > 0.5, after[:, 1] > 0.5)
    assert error(after, y) < 0.03 < 0.1 < error(before, y)
    t = 1 / found.keras.get_layer("temperature_scaling").scale
    z = x.astype(float) * 4 / t
    exact = softmax(z, axis=1) if width == 3 else np.hstack([expit(-z), expit(z)])
    np.testing.assert_allclose(after, exact, atol=2e-6)


def test_a_model_with_a_call_of_its_own_is_calibrated_too():
    found = pl.TemperatureScaling().fit(own(), (Z, Y))
    exact = softmax(Z.astype(float) * 4 / (4 * temperature(Z.astype(float), Y)), axis=1)
    np.testing.assert_allclose(found.probabilities(Z), exact, atol=1e-5)


def test_it_can_be_done_again():
    once = pl.VectorScaling().fit(net(3, "dense"), (Z, Y))
    twice = pl.VectorScaling().fit(once, (Z, Y))
    np.testing.assert_allclose(twice.probabilities(Z), once.probabilities(Z), atol=1e-4)


def test_the_given_model_stays_as_it_is():
    model = net(3, "dense")
    before = model.predict(Z[:50], verbose=0)
    pl.VectorScaling().fit(model, (Z, Y))
    assert np.array_equal(model.predict(Z[:50], verbose=0), before)
    assert len(model.layers) == 2


def test_platt_is_logistic_regression():
    from sklearn.linear_model import LogisticRegression

    w, b = scales(pl.VectorScaling(), ODDS.astype(float), YES)
    peer = LogisticRegression(C=np.inf, tol=1e-10).fit(ODDS.astype(float), YES)
    np.testing.assert_allclose([w[0], b[0]], [peer.coef_[0, 0], peer.intercept_[0]], rtol=1e-5)


def test_matrix_is_multinomial_logistic_regression():
    from sklearn.linear_model import LogisticRegression

    z = Z.astype(float)
    w, b = scales(pl.MatrixScaling(), z, Y, matrix=True)
    peer = LogisticRegression(C=np.inf, tol=1e-10, max_iter=10_000).fit(z, Y)
    np.testing.assert_allclose(softmax(z @ w + b, axis=1), peer.predict_proba(z), atol=1e-5)


def test_vector_scales_have_no_better_neighbour():
    z = Z.astype(float) * [1, 2, 3]
    w, b = scales(pl.VectorScaling(), z, Y)
    best = log_loss(z * w + b, Y)[0]
    for step in (1e-3, -1e-3):
        for k in range(3):
            assert log_loss(z * (w + step * np.eye(3)[k]) + b, Y)[0] > best
            assert log_loss(z * w + b + step * np.eye(3)[k], Y)[0] > best
    np.testing.assert_allclose(w * [1, 2, 3], w[0], rtol=0.15)  # the scales are put right


@pytest.mark.parametrize("width", [3, 1, 2])
def test_isotonic_is_that_of_scikit_learn(width):
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.frozen import FrozenEstimator

    x, y = {3: (Z, Y), 1: (ODDS, YES), 2: (np.hstack([0 * ODDS, ODDS]), YES)}[width]
    model = pl.wrap(net(width, "dense"))

    class Same(ClassifierMixin, BaseEstimator):
        def fit(self, x, y):
            self.classes_ = np.unique(y)
            return self

        def predict_proba(self, x):
            p = model.predict(x).astype(float)
            return np.hstack([1 - p, p]) if width == 1 else p

        def predict(self, x):
            return self.predict_proba(x).argmax(axis=1)

    fit, new = slice(0, 2000), slice(2000, None)
    peer = CalibratedClassifierCV(FrozenEstimator(Same().fit(x, y)), method="isotonic", ensemble=False, cv=2)
    peer.fit(x[fit], y[fit])
    found = pl.IsotonicCalibration().fit(model, (x[fit], y[fit]))
    exact = peer.predict_proba(x[new])
    off = np.abs(found.probabilities(x[new]) - exact)
    # where the function jumps between two rows, a last digit of p that another compiled piece rounds otherwise is seen
    assert np.mean(off < 2e-5) > 0.99
    assert np.mean(off) < 1e-5


@pytest.mark.parametrize("how", ALL, ids=NAMES)
def test_a_calibrated_model_comes_back_from_its_file(how, tmp_path):
    found = how.fit(net(3, "dense"), (Z, Y))
    found.keras.save(tmp_path / "model.keras")
    again = pl.wrap(load_model(tmp_path / "model.keras"))
    np.testing.assert_array_equal(again.predict(Z[:40]), found.predict(Z[:40]))


@pytest.mark.parametrize("how", ALL, ids=NAMES)
def test_a_model_of_logits_stays_one(how):
    found = how.fit(net(3, "logits"), (Z, Y))
    loss = found.keras.evaluate(Z, Y, verbose=0)
    p = found.probabilities(Z)
    assert found.output == "logits"
    np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-5)
    assert loss == pytest.approx(-np.log(p[np.arange(len(Y)), Y]).mean(), rel=1e-4)


@pytest.mark.parametrize(
    "method", [pl.Gradient(), pl.GradientInput(), pl.LayerRelevance(), pl.DeepLift(), pl.Occlusion()]
)
def test_explanations_of_a_calibrated_model_are_those_of_its_logits_by_t(method):
    model = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(8, activation="relu"), keras.layers.Dense(3, activation="softmax")]
    )
    g, both = np.random.default_rng(3), np.hstack([np.eye(3), -np.eye(3)])
    first, last = np.hstack([both, g.normal(size=(3, 2))]), np.vstack([2 * both.T, g.normal(size=(2, 3)) / 5])
    model.set_weights([first, np.zeros(8), last, g.normal(size=3) / 5])
    found = pl.TemperatureScaling().fit(model, (Z, Y))
    t = 1 / found.keras.get_layer("temperature_scaling").scale
    one, two = (pl.explain(m, Z[:6], method, target=1, progress=False).values for m in (model, found))
    np.testing.assert_allclose(two, one / t, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("how", ALL[1:], ids=NAMES[1:])
@pytest.mark.parametrize(
    "method", [pl.Gradient(), pl.IntegratedGradients(), pl.LayerRelevance(), pl.DeepLift(), pl.Occlusion()]
)
def test_every_calibration_can_be_explained(how, method):
    found = how.fit(net(3, "dense", 1.0), (Z, Y))
    e = pl.explain(found, Z[:4], method, target=2, progress=False)
    assert np.isfinite(e.values).all()
    if isinstance(method, pl.DeepLift):  # the difference in score is shared out in full
        assert (e.gap < 1e-4).all()


def test_in_a_recipe_it_comes_after_training():
    def build():
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3, activation="softmax")])
        model.compile(
            keras.optimizers.Adam(0.1), "sparse_categorical_crossentropy", jit_compile=keras.backend.backend() == "jax"
        )
        return model

    options = {"train": (Z[:64], Y[:64]), "validation": (Z[64:400], Y[64:400]), "fit": {"epochs": 5}, "progress": False}
    plain, run = (pl.improve(build, r, **options) for r in (pl.Recipe(), pl.TemperatureScaling()))
    direct = pl.TemperatureScaling().fit(plain.model, (Z[64:400], Y[64:400]))
    np.testing.assert_allclose(run.model.predict(Z[:20]), direct.predict(Z[:20]), atol=1e-6)
    with pytest.raises(InvalidInput, match="validation"):
        pl.improve(build, pl.TemperatureScaling(), **options | {"validation": None})


def test_bad_input_is_told():
    model = net(3, "dense")
    for data, told in (
        ((Z[:5], Y[:5]), "at least 10 rows"),
        ((Z[:50], np.zeros(50, int)), "all 50 labels are 0"),
        ((Z[:50], Y[:50] + 1), "no class of the model"),
        (Z[:50], "needs labels"),
    ):
        with pytest.raises(InvalidInput, match=told):
            pl.TemperatureScaling().fit(model, data)
    values = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    values.compile("sgd", "mse")
    with pytest.raises(NotApplicable, match="gives values"):
        pl.TemperatureScaling().fit(values, (Z, Z[:, 0]))
    wrong = pl.wrap(net(3, "logits"), output="probabilities")
    with pytest.raises(InvalidInput, match="no class probabilities"):
        pl.IsotonicCalibration().fit(wrong, (Z, Y))
    broken = net(3, "dense", np.nan)
    with pytest.raises(InvalidInput, match="NaN"):
        pl.TemperatureScaling().fit(pl.wrap(broken, output="logits"), (Z, Y))


def test_what_has_no_best_is_told():
    y = Z.argmax(axis=1)
    with pytest.warns(UserWarning, match="no temperature is the best"):
        assert temperature(Z.astype(float), y) == pytest.approx(0.01, rel=0.01)
    with pytest.raises(NotApplicable, match="apart without error"):
        scales(pl.VectorScaling(), Z.astype(float), y)


def test_matrix_scaling_warns_that_it_overfits():
    with pytest.warns(UserWarning, match="12 numbers to 100 rows"):
        pl.MatrixScaling().fit(net(3, "dense"), (Z[:100], Y[:100]))
