"""Norms by closed forms, margins that no scale of a layer changes, paths counted one by one, tails that are drawn."""

import keras
import numpy as np
import pytest
from scipy.stats import lognorm, truncnorm

import pellucid as pl
from pellucid.measure.capacity import judged, kernels, margins, quantile
from pellucid.measure.heavy_tail import against_lognormal, lognormal, nearest, tail
from pellucid.measure.path_norm import unfit


def dense(*widths, bias=True, seed=0, inputs=3, activation="relu"):
    hidden = [keras.layers.Dense(w, activation, use_bias=bias) for w in widths[:-1]]
    net = keras.Sequential([keras.Input((inputs,)), *hidden, keras.layers.Dense(widths[-1], "softmax", use_bias=bias)])
    g = np.random.default_rng(seed)
    net.set_weights([g.normal(size=w.shape) for w in net.get_weights()])
    return net


def rows(n=300, f=3, classes=3, seed=1):
    g = np.random.default_rng(seed)
    return g.normal(size=(n, f)).astype(np.float32), g.integers(0, classes, n)


def measured(net, data, **options):
    return pl.measure(pl.wrap(net), pl.Capacity(**options), train=data)[0]


# -- margins -----------------------------------------------------------------------------------------------------


def test_margins_by_hand():
    z, y = np.array([[1.0, 4.0, 2.0], [3.0, 0.0, 5.0]]), np.array([1, 0])
    assert margins(z, y, "logits").tolist() == [2.0, -2.0]
    assert margins(np.array([[3.0], [3.0]]), y, "logits").tolist() == [3.0, -3.0]
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(margins(p, y, "probabilities"), [2.0, -2.0])


@pytest.mark.parametrize("count", [30, 200])
def test_the_interval_of_a_quantile_covers_it(count):
    g, true = np.random.default_rng(0), -np.log(0.9)  # the 10th percentile of an exponential
    kept = np.mean([true in quantile(g.exponential(size=count), 0.1, 0.95)[1] for _ in range(2000)])
    assert kept >= 0.95 - 3 * np.sqrt(0.05 * 0.95 / 2000)


def test_the_value_is_the_margin_over_the_product_of_norms():
    net, (x, y) = dense(5, 3), rows()
    found = measured(net, (x, y))
    w1, b1, w2, b2 = (w.astype(float) for w in net.get_weights())
    z = np.maximum(x @ w1 + b1, 0) @ w2 + b2
    gaps = np.sort([row[k] - max(np.delete(row, k)) for row, k in zip(z, y)])
    product = np.linalg.norm(w1, 2) * np.linalg.norm(w2, 2)
    assert found.value == pytest.approx(gaps[29] / product, rel=1e-4)  # of 300 the 30th
    assert found.detail["log10_spectral_product"] == pytest.approx(np.log10(product))
    assert found.value in found.interval
    assert found.verdict == "margins fail"
    assert "of 300 training rows" in found.detail["explanation"].lower()
    assert found.detail["parameters"] == 38
    assert found.detail["parameters_per_row"] == pytest.approx(38 / 300)


def test_scaling_a_layer_up_and_the_next_down_changes_nothing():
    net, data = dense(6, 5, 3), rows()
    before = measured(net, data)
    a, b, c, d, e, f = net.get_weights()
    net.set_weights([a * 8, b * 8, c / 2, d * 4, e / 4, f])
    after = measured(net, data)
    assert after.value == pytest.approx(before.value, rel=1e-4)
    assert after.detail["log10_spectral_product"] == pytest.approx(before.detail["log10_spectral_product"], abs=1e-6)
    assert after.detail["layers"][0]["frobenius"] == pytest.approx(
        8 * before.detail["layers"][0]["frobenius"], rel=1e-6
    )
    assert after.detail["layers"][0]["stable_rank"] == pytest.approx(
        before.detail["layers"][0]["stable_rank"], rel=1e-6
    )


def test_verdicts():
    from pellucid.core.resampling import Interval

    said = [judged(Interval(*ends)) for ends in ((0.1, 2), (-2, -1), (-1, 1))]
    assert said == ["margins hold", "margins fail", "not settled"]


# -- kernels -----------------------------------------------------------------------------------------------------


def test_a_kernel_of_known_singular_values():
    g = np.random.default_rng(0)
    u, v = (np.linalg.qr(g.normal(size=(n, 4)))[0] for n in (6, 4))
    net = dense(4, 2, bias=False, inputs=6)
    net.set_weights([(u * [5.0, 3.0, 2.0, 1.0]) @ v.T, np.ones((4, 2))])
    layer = measured(net, rows(f=6, classes=2)).detail["layers"][0]
    expected = {"inputs": 6, "units": 4, "frobenius": np.sqrt(39), "spectral": 5, "stable_rank": 39 / 25}
    assert {k: layer[k] for k in expected} == pytest.approx(expected, rel=1e-5)
    assert layer["tail"] is None


def test_a_wide_kernel_has_its_largest_singular_value_alone():
    net = dense(80, 3, inputs=90)
    asked = rows(f=90)
    whole, part = (measured(net, asked, widest=w).detail["layers"][0] for w in (1024, 60))
    assert part["spectral"] == pytest.approx(whole["spectral"], rel=1e-5)
    assert part["tail"] is None
    assert whole["tail"]["beyond"] >= 10


def test_convolutions_and_recurrent_kernels_are_matrices():
    layers = keras.layers
    net = keras.Sequential(
        [keras.Input((6, 3)), layers.Conv1D(4, 2, name="c"), layers.LSTM(5, name="r"), layers.Dense(2)]
    )
    model = pl.wrap(net, output="logits")
    model.prepare(np.zeros((1, 6, 3)))
    assert [m.shape for m in kernels(model).values()] == [(6, 4), (4, 20), (5, 20), (5, 2)]
    np.testing.assert_array_equal(kernels(model)["c"], np.array(net.get_layer("c").kernel).reshape(6, 4))


# -- paths -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bias", [False, True])
def test_the_path_norm_is_that_of_all_paths_one_by_one(bias):
    net = dense(3, 4, 2, bias=bias, inputs=2)
    weights = [w.astype(float) for w in net.get_weights()]
    first, second, third = weights[::2] if bias else weights
    paths = [
        first[i, j] * second[j, k] * third[k, m] for i in range(2) for j in range(3) for k in range(4) for m in range(2)
    ]
    if bias:
        one, two, three = weights[1::2]
        paths += [one[j] * second[j, k] * third[k, m] for j in range(3) for k in range(4) for m in range(2)]
        paths += [two[k] * third[k, m] for k in range(4) for m in range(2)] + list(three)
    found = measured(net, rows(f=2, classes=2))
    assert found.detail["path_norm"] == pytest.approx(np.sqrt(np.sum(np.square(paths))), rel=1e-5)
    for a, b in zip(weights, net.get_weights(), strict=True):
        np.testing.assert_array_equal(a.astype(np.float32), b)


def test_paths_through_a_convolution_a_skip_and_prepared_inputs():
    layers = keras.layers
    start = keras.Input((4, 1))
    ready = layers.Normalization(mean=[3.0], variance=[9.0])(start)
    one = layers.Conv1D(2, 2, padding="same", use_bias=False, name="one")(ready)
    out = layers.Dense(2, use_bias=False, name="out")(layers.Flatten()(layers.Add()([one, layers.ReLU()(one)])))
    net = keras.Model(start, out)
    g = np.random.default_rng(0)
    net.set_weights([g.normal(size=w.shape) if w.ndim > 1 else w for w in net.get_weights()])
    model = pl.wrap(net, output="logits")
    x = g.normal(size=(50, 4, 1))
    (found,) = pl.measure(model, pl.Capacity(), train=(x, np.arange(50) % 2))
    c, d = np.array(net.get_layer("one").kernel) ** 2, np.array(net.get_layer("out").kernel).reshape(4, 2, 2) ** 2
    total = 0.0
    for t in range(4):  # each position is reached twice (by the rectifier and around it), from itself and the next
        for k in range(2):
            total += 2 * (c[0, 0, k] + (c[1, 0, k] if t < 3 else 0)) * d[t, k].sum()
    assert found.detail["path_norm"] == pytest.approx(np.sqrt(total), rel=1e-5)


@pytest.mark.parametrize(
    ("layers", "why"),
    [
        ([keras.layers.Dense(3, "tanh", name="bent")], "'bent' is no rectifier"),
        ([keras.layers.ReLU(negative_slope=0.1, name="leaky")], "'leaky' is no rectifier"),
        ([keras.layers.BatchNormalization(name="normal")], "'normal' is a BatchNormalization"),
        ([keras.layers.Dense(3, trainable=False, name="still")], "'still' is not trained"),
    ],
)
def test_other_nets_have_no_path_norm_and_say_why(layers, why):
    net = keras.Sequential([keras.Input((3,)), *layers, keras.layers.Dense(3)])
    found = pl.measure(pl.wrap(net, output="logits"), pl.Capacity(), train=rows())[0].detail
    assert found["path_norm"] is None
    assert why in found["path_norm_left_out"]


def test_a_softmax_that_is_a_layer_is_no_hindrance():
    net = dense(4, 3)
    apart = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(4, "relu"), keras.layers.Dense(3), keras.layers.Softmax()]
    )
    apart.set_weights(net.get_weights())
    one, two = (measured(n, rows()).detail["path_norm"] for n in (net, apart))
    assert one == pytest.approx(two)


def test_what_is_computed_outside_of_layers_has_no_path_norm():
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.out = keras.layers.Dense(3)

        def call(self, x):
            return keras.ops.tanh(self.out(x))

    model = pl.wrap(Own(), output="logits")
    model.prepare(rows()[0])
    assert "outside of its layers" in unfit(model)


# -- tails -------------------------------------------------------------------------------------------------------


def pareto(g, n, alpha, start=2.0):
    return start * (1 - g.random(n)) ** (-1 / (alpha - 1))


def test_the_start_and_the_exponent_are_those_of_a_plain_search():
    values = np.sort(np.append(pareto(np.random.default_rng(0), 40, 2.5), np.linspace(0.5, 2, 15)))

    def searched(k):
        beyond = values[k:]
        alpha = 1 + len(beyond) / np.log(beyond / beyond[0]).sum()
        law = 1 - (beyond / beyond[0]) ** (1 - alpha)
        steps = np.arange(len(beyond) + 1) / len(beyond)
        return max((steps[1:] - law).max(), (law - steps[:-1]).max()), k, alpha

    distance, k, alpha = min(searched(k) for k in range(len(values) - 9))
    at, slope, found = nearest(np.log(values))
    assert (at, 1 + slope, found) == (k, pytest.approx(alpha), pytest.approx(distance))


def test_the_lognormal_is_the_likeliest_and_vuong_is_its_formula():
    g = np.random.default_rng(1)
    x = np.sort(g.lognormal(0, 1, size=4000))
    x = x[x >= 1]
    each = lognormal(np.log(x), float(np.log(x[0])))
    a = np.log(x[0])
    true = truncnorm.logpdf(np.log(x), a, np.inf)
    assert each.sum() >= true.sum() - 1e-3
    assert each.sum() == pytest.approx(true.sum(), abs=6)  # twice the gain is chi-square with 2 degrees
    density = lognorm.logpdf(x, 1) - lognorm.logsf(x[0], 1)
    np.testing.assert_allclose(true - np.log(x), density)
    slope = 1 / np.mean(np.log(x / x[0]))
    apart = np.log(slope / x[0]) - (1 + slope) * np.log(x / x[0]) - (each - np.log(x))
    ratio, p = against_lognormal(np.log(x), slope)
    assert ratio == pytest.approx(apart.sum() / (apart.std() * np.sqrt(len(x))))
    assert ratio < -2
    assert p < 0.05


@pytest.mark.slow
@pytest.mark.parametrize("alpha", [2.0, 3.5])
def test_the_exponent_of_drawn_power_laws_is_covered_and_the_law_kept(alpha):
    g = np.random.default_rng(2)
    found = [tail(pareto(g, 150, alpha), g) for _ in range(200)]
    assert np.mean([alpha in f.interval for f in found]) >= 0.95 - 3 * np.sqrt(0.05 * 0.95 / 200)
    assert np.mean([f.holds for f in found]) >= 0.8 - 3 * np.sqrt(0.16 / 200)  # two tests at 10 %


@pytest.mark.slow
def test_no_exponent_is_told_of_eigenvalues_of_large_random_weights():
    g = np.random.default_rng(3)
    random = [tail(np.linalg.svd(g.normal(size=(1000, 500)), compute_uv=False) ** 2, g) for _ in range(10)]
    assert np.mean([f.holds for f in random]) < 0.3


def test_a_planted_tail_is_told_in_the_layer():
    g, places = np.random.default_rng(0), (np.arange(120) + 0.5) / 120
    u, v = (np.linalg.qr(g.normal(size=(n, 120)))[0] for n in (150, 120))
    net = dense(120, 3, inputs=150)
    singular = np.sqrt(2 * (1 - places) ** (-1 / 2))  # the quantiles of x^-3
    net.set_weights([(u * singular) @ v.T, *net.get_weights()[1:]])
    layer = measured(net, rows(f=150)).detail["layers"][0]["tail"]
    assert 3.0 in layer["interval"]
    assert layer["error"] < 1
    assert layer["misfit"] > 0.1


# -- where it makes no sense -------------------------------------------------------------------------------------


def test_what_has_no_margins_or_no_weights():
    x, y = rows()
    (found,) = pl.measure(pl.wrap(lambda x: x[:, :3], output="logits"), pl.Capacity(), train=(x, y))
    assert "no layers with kernels" in found.detail["explanation"]
    net = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    (found,) = pl.measure(pl.wrap(net, output="value"), pl.Capacity(), train=(x, y.astype(float)))
    assert found.verdict == "not applicable"
    net = dense(4, 3)
    net.set_weights([w * 0 for w in net.get_weights()])
    assert "all zeros" in measured(net, (x, y)).detail["explanation"]
    net = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3, "sigmoid")])
    assert "several answers" in measured(net, (x, y)).detail["explanation"]
    with pytest.raises(pl.errors.InvalidInput, match="needs labels"):
        measured(dense(4, 3), pl.Dataset(x))


def test_one_class_and_a_single_row():
    x, _ = rows()
    net = dense(4, 3)
    found = measured(net, (x, np.zeros(300, int)))
    near = np.quantile(margins(pl.wrap(net).scores(x), np.zeros(300, int), "logits"), 0.1, method="inverted_cdf")
    assert found.value == pytest.approx(near / 10 ** found.detail["log10_spectral_product"], rel=1e-4)
    found = measured(dense(4, 3), (x[:1], np.zeros(1, int)))
    assert (found.interval.low, found.interval.high, found.verdict) == (-np.inf, np.inf, "not settled")


@pytest.mark.parametrize("wrong", [{"split": "all"}, {"widest": 0}, {"level": 1}])
def test_bad_options_are_told(wrong):
    with pytest.raises(pl.errors.InvalidOption, match=next(iter(wrong))):
        pl.Capacity(**wrong)
