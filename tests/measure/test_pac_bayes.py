"""PAC-Bayes bounds: inversions that are exact, linear classifiers whose true error is an integral, and nets put back."""

import importlib

import keras
import numpy as np
import pytest
from scipy.stats import entropy, multivariate_normal, norm

import pellucid as pl
from pellucid.core.tensors import to_array
from pellucid.measure.drawn_weights import drawn_error, units_of, weights_kept
from pellucid.measure.kl_bounds import apart, bound, chosen, coins, divergences, largest

# -- the mathematics ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("seen", "true"), [(0.1, 0.3), (0.7, 0.2), (0.0, 0.4), (1.0, 0.5)])
def test_the_relative_entropy_of_coins(seen, true):
    assert coins(seen, true) == pytest.approx(entropy([seen, 1 - seen], [true, 1 - true]))


@pytest.mark.parametrize("seen", [0.0, 0.01, 0.3, 0.9])
@pytest.mark.parametrize("budget", [1e-4, 0.05, 1.0])
def test_the_largest_share_costs_the_whole_budget(seen, budget):
    share = largest(seen, budget)
    assert share >= seen
    assert coins(seen, share) == pytest.approx(budget, rel=1e-6)


def test_without_errors_the_share_is_known_in_closed_form():
    assert largest(0.0, 0.2) == pytest.approx(1 - np.exp(-0.2))  # kl(0 || p) = -ln(1 - p)
    assert (largest(1.0, 0.2), largest(0.3, 1e4)) == (1.0, 1.0)


def test_the_divergence_of_normals_is_the_mean_of_the_log_ratio():
    g = np.random.default_rng(0)
    m, m0, s, s0 = g.normal(size=3), g.normal(size=3), np.array([0.5, 1.0, 2.0]), np.array([1.0, 0.7, 1.5])
    drawn = m + s * g.normal(size=(200_000, 3))
    ratio = multivariate_normal(m, np.diag(s**2)).logpdf(drawn) - multivariate_normal(m0, np.diag(s0**2)).logpdf(drawn)
    assert apart(m, s, m0, s0) == pytest.approx(ratio.mean(), abs=4 * ratio.std() / np.sqrt(200_000))
    assert apart(m, s, m, s) == 0.0


def test_every_price_is_paid():
    paid = bound(0.1, 50, 3.0, 400, priors=7, miss=0.02)
    assert paid.for_draws == pytest.approx(np.log(2 / 0.01) / 50)
    assert paid.for_rows == pytest.approx((3 + np.log(2 * np.sqrt(400) / (0.01 / 7))) / 400)
    assert coins(0.1, paid.risk) == pytest.approx(paid.for_draws)
    assert coins(paid.risk, paid.bound) == pytest.approx(paid.for_rows)


def test_the_scales_chosen_are_the_best_of_all_pairs():
    mean, other = np.array([1.0, -1.0]), np.array([0.8, -0.9])
    scales = [np.full(2, s) for s in (0.01, 0.1, 1.0)]
    risks = np.array([0.1, 0.12, 0.4])
    apart_by = divergences(mean, other, scales)
    every = [
        [bound(r, 500, apart(mean, s, other, t), 100, priors=3).bound for t in scales] for r, s in zip(risks, scales)
    ]
    i, j = chosen(risks, apart_by, 500, 100, 0.05)
    assert every[i][j] == np.min(every)


# -- linear classifiers, of which everything is known ------------------------------------------------------------

NOISE, MISS = 0.1, 0.1


def rows(g, n):
    """Rows on a plane; the label is the sign of the first column, and wrong of a tenth."""
    x = g.normal(size=(n, 2))
    return x, (x[:, 0] > 0) ^ (g.random(n) < NOISE)


def true_risk(mean, scale):
    """The error on new rows of the sign of w . x, w from N(mean, scale^2 I): an integral over the direction of x."""
    angle = (np.arange(4000) + 0.5) / 4000 * 2 * np.pi
    x = np.column_stack([np.cos(angle), np.sin(angle)])
    positive = norm.cdf(x @ mean / scale)
    wrong = np.where(x[:, 0] > 0, 1 - positive, positive)
    return float(np.mean(NOISE + (1 - 2 * NOISE) * wrong))


def fitted(x, y):
    """Least squares: the mean of a prior or a posterior."""
    return np.linalg.lstsq(x, 2.0 * y - 1, rcond=None)[0]


def certified(g, n, draws, keep=lambda paid: paid.bound):
    """A bound made as the measure makes it, and the error that it bounds."""
    x, y = rows(g, 2 * n)
    first, mean = fitted(x[:n], y[:n]), fitted(x, y)
    scales = [np.full(2, s) for s in (0.01, 0.03, 0.1, 0.3, 1.0)]

    def risk(scale, count):
        w = mean + scale * g.normal(size=(count, 2))
        return float(np.mean((x[n:] @ w.T > 0) != y[n:, None]))

    apart_by = divergences(mean, first, scales)
    i, j = chosen(np.array([risk(s, 20) for s in scales]), apart_by, draws, n, MISS)
    paid = bound(risk(scales[i], draws), draws, apart_by[i, j], n, priors=len(scales), miss=MISS)
    return keep(paid), true_risk(mean, scales[i][0])


def test_the_integral_is_the_error_of_drawn_classifiers():
    g = np.random.default_rng(3)
    x, y = rows(g, 400_000)
    w = np.array([0.4, 0.2]) + 0.3 * g.normal(size=x.shape)
    wrong = (np.sum(x * w, axis=1) > 0) != y
    assert true_risk(np.array([0.4, 0.2]), 0.3) == pytest.approx(wrong.mean(), abs=4 * wrong.std() / np.sqrt(len(y)))


@pytest.mark.slow
@pytest.mark.parametrize(("n", "draws"), [(10, 20), (30, 300), (300, 1000)])
def test_it_holds_on_five_hundred_sets(n, draws):
    g = np.random.default_rng(n)
    found = np.array([certified(g, n, draws) for _ in range(500)])
    assert np.mean(found[:, 1] <= found[:, 0]) >= 1 - MISS
    assert n < 300 or found[:, 0].mean() < 0.35  # and says something


def test_without_what_is_paid_for_the_rows_it_would_not_hold():
    g = np.random.default_rng(1)
    found = np.array([certified(g, 30, 300, lambda paid: paid.risk) for _ in range(500)])
    assert np.mean(found[:, 1] <= found[:, 0]) < 0.9


# -- nets --------------------------------------------------------------------------------------------------------


module = importlib.import_module("pellucid.measure.pac_bayes")


def build():
    net = keras.Sequential([keras.Input((2,)), keras.layers.Dense(4, "relu"), keras.layers.Dense(1, "sigmoid")])
    net.compile(keras.optimizers.SGD(0.5), "binary_crossentropy")
    return net


def normalized():
    net = keras.Sequential([keras.Input((2,)), keras.layers.BatchNormalization(), keras.layers.Dense(2, "softmax")])
    net.compile(keras.optimizers.SGD(0.5), "sparse_categorical_crossentropy")
    return net


def drawn(n, seed=0):
    x, y = rows(np.random.default_rng(seed), n)
    return x.astype(np.float32), y.astype(int)


def watched(monkeypatch):
    """The net that is trained, and its variables after each training, trained ones first."""
    nets, states = [], []

    def watching(net, data, **options):
        pl.training.fit(net, data, **options)
        nets.append(net)
        states.append([np.array(to_array(v)) for v in (*net.trainable_variables, *net.non_trainable_variables)])

    monkeypatch.setattr(module, "fit", watching)
    return nets, states


def test_a_net_is_certified_and_the_error_on_many_new_rows_is_below(monkeypatch):
    nets, states = watched(monkeypatch)
    (found,) = pl.measure(None, pl.PacBayesBound(build, {"epochs": 8}, draws=300), train=drawn(2000))
    d = found.detail
    assert (found.verdict, found.interval.low, found.interval.high) == ("bounded", 0.0, found.value)
    assert d["risk"] < found.value < d["constant"]
    assert (d["rows"], d["weights"]) == (1000, 17)
    whole = coins(largest(d["risk"], d["paid"]["draws"]), found.value)
    assert whole == pytest.approx(d["paid"]["divergence"] + d["paid"]["scales"] + d["paid"]["rows"], rel=1e-6)
    assert d["paid"]["rows"] == pytest.approx(np.log(2 * np.sqrt(1000) / 0.025) / 1000)
    first, mean = (np.concatenate([w.ravel() for w in s]).astype(float) for s in states)
    scale, prior = (np.full(17, d[name] * np.sqrt(np.mean(first**2))) for name in ("scale", "prior_scale"))
    assert d["kl"] == pytest.approx(apart(mean, scale, first, prior))
    assert "nothing is claimed" in d["explanation"]
    model = pl.wrap(nets[0])
    for held, at in zip(model.weights, states[1], strict=True):
        np.testing.assert_array_equal(to_array(held), at)
    x, y = drawn(4000, 1)
    inputs, g = model.prepare(x), np.random.default_rng(0)
    with weights_kept(model):
        assert np.mean([drawn_error(model, inputs, y, mean, scale, g) for _ in range(50)]) < found.value


@pytest.mark.parametrize("noise", ["isotropic", "layer"])
def test_same_seed_same_bound(noise):
    asked = pl.PacBayesBound(normalized, {"epochs": 2}, noise=noise, draws=30)
    one, two = (pl.measure(None, asked, train=drawn(300), seed=4)[0] for _ in range(2))
    assert (one.value, one.detail["kl"]) == (two.value, two.detail["kl"])


def test_drawn_nets_err_as_numpy_says_and_the_weights_come_back_even_after_an_error():
    net = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, "sigmoid", use_bias=False)])
    model, (x, y) = pl.wrap(net), drawn(500)
    inputs, before = model.prepare(x), [w.copy() for w in net.get_weights()]
    mean, scale = before[0].ravel().astype(float), np.array([0.5, 0.2])

    def several():
        with weights_kept(model):
            g = np.random.default_rng(0)
            found = [drawn_error(model, inputs, y, mean, scale, g) for _ in range(5)]
            assert not np.array_equal(before[0], net.get_weights()[0])
            raise KeyError(found)

    with pytest.raises(KeyError) as stopped:
        several()
    g = np.random.default_rng(0)
    expected = [np.mean((x @ (mean + scale * g.normal(size=2)) > 0) != y) for _ in range(5)]
    np.testing.assert_allclose(stopped.value.args[0], expected, atol=1 / 500)
    np.testing.assert_array_equal(before[0], net.get_weights()[0])
    np.testing.assert_array_equal(before[0], to_array(model.weights[0]))


def test_scores_that_are_no_numbers_count_as_errors():
    net = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, use_bias=False)])
    model, (x, y) = pl.wrap(net, output="logits"), drawn(20)
    with weights_kept(model):
        assert drawn_error(model, model.prepare(x), y, np.full(4, np.inf), np.ones(4), np.random.default_rng(0)) == 1.0


def test_state_that_is_not_trained_is_that_of_the_prior(monkeypatch):
    nets, states = watched(monkeypatch)
    pl.measure(None, pl.PacBayesBound(normalized, {"epochs": 2}, draws=5), train=drawn(300))
    first, second = (s[len(nets[0].trainable_variables) :] for s in states)
    assert not np.array_equal(first[0], second[0])
    for before, now in zip(first, nets[0].non_trainable_variables, strict=True):
        np.testing.assert_array_equal(before, to_array(now))


def test_noise_by_layer_follows_the_size_of_each_array():
    arrays = [np.full((2, 3), 2.0), np.zeros(3), np.full((3, 1), 0.5)]
    overall = np.sqrt((6 * 4 + 3 * 0.25) / 12)
    np.testing.assert_allclose(units_of(arrays, "isotropic"), np.full(12, overall))
    np.testing.assert_allclose(units_of(arrays, "layer"), [*[2.0] * 6, *[0.1 * overall] * 3, *[0.5] * 3])


# -- where there is no bound -------------------------------------------------------------------------------------

ASKED = pl.PacBayesBound(build, {"epochs": 1}, draws=5)


def refused(train):
    (found,) = pl.measure(None, ASKED, train=train)
    assert (found.value, found.interval, found.verdict) == (None, None, "not applicable")
    return found.detail["explanation"]


def test_rows_that_depend_on_each_other_have_no_bound():
    x, y = drawn(200)
    assert "100 rows in 50 groups" in refused(pl.Dataset(x, y, groups=np.arange(200) // 2))
    assert "of more than one group" in refused(pl.Dataset(x, y, groups=np.zeros(200)))
    assert "ids are in the training data too" in refused(pl.Dataset(x, y, ids=np.arange(200) // 2))
    assert "more than once" in refused((np.concatenate([x, x[:50]]), np.concatenate([y, y[:50]])))


def test_rows_equal_by_chance_and_groups_of_one_row_do_no_harm():
    g = np.random.default_rng(0)
    x = g.integers(0, 3, size=(200, 2)).astype(np.float32)
    for data in (pl.Dataset(x, (x[:, 0] > 0).astype(int)), pl.Dataset(*drawn(200), groups=np.arange(200))):
        (found,) = pl.measure(None, ASKED, train=data)
        assert found.verdict in ("bounded", "vacuous")


def test_too_few_rows_and_what_has_no_classes():
    x, y = drawn(14)
    assert "at least 8 rows" in refused((x, y))
    assert "with labels" in refused(pl.Dataset(*drawn(200)[:1]))

    def values():
        net = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        net.compile("sgd", "mse")
        return net

    (found,) = pl.measure(None, pl.PacBayesBound(values, {"epochs": 1}), train=(drawn(60)[0], np.linspace(0, 1, 60)))
    assert found.verdict == "not applicable"


def test_one_class_is_answered_without_a_bound_that_says_something():
    (found,) = pl.measure(None, ASKED, train=(drawn(60)[0], np.zeros(60, int)))
    assert (found.verdict, found.detail["constant"]) == ("vacuous", 0.0)
    assert "may do as well" in found.detail["explanation"]


@pytest.mark.parametrize(
    "wrong",
    [{"build": 3}, {"prior_share": 1.0}, {"noise": "some"}, {"scales": ()}, {"scales": (0.1, -1)}, {"scales": "ab"},
     {"draws": 0}, {"level": 0}],
)  # fmt: skip
def test_bad_options_are_told(wrong):
    with pytest.raises(pl.errors.InvalidOption, match=next(iter(wrong))):
        pl.PacBayesBound(**{"build": build, **wrong})
