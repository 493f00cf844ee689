"""The Hessian of models whose second derivatives are known in closed form, or can be had by differences."""

import keras
import numpy as np
import pytest
from scipy.special import expit, softmax

import pellucid as pl
from pellucid.core.resampling import Interval

ASKED = pl.Curvature(top=5, tolerance=1e-9, probes=64)


def dense(inputs, units, activation=None, bias=True, seed=0, scale=1.0):
    net = keras.Sequential([keras.Input((inputs,)), keras.layers.Dense(units, activation, use_bias=bias, name="out")])
    g = np.random.default_rng(seed)
    net.set_weights([g.normal(size=w.shape).astype(np.float32) * scale for w in net.get_weights()])
    return net


def rows(n=200, f=4, seed=1):
    return (np.random.default_rng(seed).normal(size=(n, f)) * np.arange(1, f + 1)).astype(np.float32)


def largest(h, count=5):
    return np.linalg.eigvalsh(h)[::-1][:count]


def designed(x):
    return np.column_stack([x, np.ones(len(x))]).astype(np.float64)


def of_values(net, x):
    return (
        pl.wrap(net, output="value"),
        np.random.default_rng(2).normal(size=len(x)),
        2 * designed(x).T @ designed(x) / len(x),
    )


def of_two_classes(net, x):
    y = np.arange(len(x)) % 2
    p = expit(designed(x) @ np.concatenate([w.ravel() for w in net.get_weights()]).astype(np.float64))
    return pl.wrap(net), y, designed(x).T @ (designed(x) * (p * (1 - p))[:, None]) / len(x)


def of_three_classes(net, x):
    kernel, bias = (w.astype(np.float64) for w in net.get_weights())
    p, d = softmax(x @ kernel + bias, axis=1), designed(x)
    inner = np.einsum("bk,kl->bkl", p, np.eye(3)) - np.einsum("bk,bl->bkl", p, p)
    return pl.wrap(net), np.arange(len(x)) % 3, np.einsum("bi,bj,bkl->ikjl", d, d, inner).reshape(15, 15) / len(x)


@pytest.mark.parametrize(
    ("make", "units", "activation"),
    [(of_values, 1, None), (of_two_classes, 1, "sigmoid"), (of_three_classes, 3, "softmax")],
)
def test_it_is_the_hessian_in_closed_form(make, units, activation):
    x = rows()
    model, y, h = make(dense(4, units, activation, scale=0.3), x)
    (found,) = pl.measure(model, ASKED, train=(x, y))
    truth = largest(h)
    got = np.array([e["value"] for e in found.detail["eigenvalues"]])
    np.testing.assert_allclose(got, truth, atol=1e-6 * truth[0])
    assert found.value == got[0]
    assert found.value in found.interval
    assert found.detail["trace"]["value"] == pytest.approx(np.trace(h), rel=1e-5 if units == 1 else 0.02)
    low, high = found.detail["trace"]["interval"]
    assert np.trace(h) in Interval(low * (1 - 1e-5), high * (1 + 1e-5))
    assert found.verdict == "no negative curvature"
    assert found.detail["weights"] == len(h)


def test_probabilities_are_as_good_as_logits():
    x = rows()
    net = dense(4, 3, "softmax", scale=0.3)
    y = np.arange(len(x)) % 3
    each = [pl.measure(pl.wrap(net, output=o), ASKED, train=(x, y))[0].value for o in ("auto", "probabilities")]
    assert each[0] == pytest.approx(each[1], rel=1e-4)


@pytest.fixture
def small():
    """A net of tanh units, its loss as a function of all weights in float64, and its rows."""
    net = keras.Sequential(
        [keras.Input((2,)), keras.layers.Dense(3, "tanh", name="one"), keras.layers.Dense(1, name="two")]
    )
    g = np.random.default_rng(3)
    net.set_weights([g.normal(size=w.shape).astype(np.float32) for w in net.get_weights()])
    x, y = rows(60, 2), g.normal(size=60)

    def loss(w):
        a, b, c, d = np.split(w, [6, 9, 12])
        return np.mean((np.tanh(x @ a.reshape(2, 3) + b) @ c + d[0] - y) ** 2)

    return net, loss, x, y


def by_differences(loss, w, step=1e-4):
    at = lambda *moves: loss(w + sum(step * s * np.eye(len(w))[i] for i, s in moves))  # noqa: E731
    h = np.empty((len(w), len(w)))
    for i in range(len(w)):
        for j in range(len(w)):
            h[i, j] = sum(s * t * at((i, s), (j, t)) for s in (1, -1) for t in (1, -1)) / (4 * step**2)
    return h


def test_it_is_the_hessian_by_differences_and_sees_where_the_loss_curves_down(small):
    net, loss, x, y = small
    w = np.concatenate([v.ravel() for v in net.get_weights()]).astype(np.float64)
    h = by_differences(loss, w)
    asked = pl.Curvature(top=13, tolerance=1e-9, probes=256)
    (found,) = pl.measure(pl.wrap(net, output="value"), asked, train=(x, y))
    values = np.array([e["value"] for e in found.detail["eigenvalues"]])
    truth = np.linalg.eigvalsh(h)[::-1]
    np.testing.assert_allclose(values[[0, 1, 2]], truth[[0, 1, 2]], rtol=1e-4)
    assert found.detail["least"] == pytest.approx(truth[-1], rel=1e-3)
    assert found.verdict == "negative curvature"
    assert "curves down" in found.detail["explanation"]
    assert found.detail["adaptive"]["value"] == pytest.approx(largest(np.abs(w)[:, None] * h * np.abs(w))[0], rel=1e-4)
    first, second = (np.array(part) for part in (np.arange(6).reshape(2, 3), np.arange(9, 12).reshape(3, 1)))
    relative = [
        sum(
            w[k[:, s]] @ w[k[:, t]] * np.trace(h[np.ix_(k[:, s], k[:, t])])
            for s in range(k.shape[1])
            for t in range(k.shape[1])
        )
        for k in (first, second)
    ]
    assert sum(relative) in found.detail["relative"]["interval"]
    layers = found.detail["layers"]
    assert [layer["weights"] for layer in layers] == [6, 3, 3, 1]
    blocks = [slice(0, 6), slice(6, 9), slice(9, 12), slice(12, 13)]
    each = [np.trace(h[b, b]) for b in blocks]
    np.testing.assert_allclose([layer["trace"] for layer in layers], each, atol=0.05 * np.trace(h))
    slope = [(loss(w + 1e-5 * e) - loss(w - 1e-5 * e)) / 2e-5 for e in np.eye(13)]
    assert found.detail["gradient"] == pytest.approx(np.linalg.norm(slope), rel=1e-3)


def test_adaptive_and_relative_do_not_change_with_the_scale_of_a_layer():
    net = keras.Sequential([keras.Input((2,)), keras.layers.Dense(4, "relu"), keras.layers.Dense(1, use_bias=False)])
    x, y = rows(80, 2), np.random.default_rng(0).normal(size=80)
    net.set_weights([np.random.default_rng(1).normal(size=w.shape) for w in net.get_weights()])

    def measured():
        asked = pl.Curvature(top=1, tolerance=1e-9, probes=16)
        return pl.measure(pl.wrap(net, output="value"), asked, train=(x, y))[0]

    before = measured()
    kernel, bias, last = net.get_weights()
    net.set_weights([kernel * 4, bias * 4, last / 4])
    after = measured()
    assert after.value > 4 * before.value
    assert after.detail["adaptive"]["value"] == pytest.approx(before.detail["adaptive"]["value"], rel=1e-4)
    assert after.detail["relative"]["value"] == pytest.approx(before.detail["relative"]["value"], rel=1e-3)


@pytest.mark.slow
def test_the_interval_covers_the_curvature_of_all_rows():
    net, kept = dense(3, 1, bias=False), 0
    model, scales = pl.wrap(net, output="value"), np.arange(1, 4)
    for seed in range(200):
        x = (np.random.default_rng(seed).normal(size=(500, 3)) * scales).astype(np.float32)
        (found,) = pl.measure(model, pl.Curvature(top=1, also=(), tolerance=1e-6), train=(x, np.zeros(500)))
        kept += 2 * 9 in found.interval
    assert kept >= 200 * 0.95 - 3 * np.sqrt(200 * 0.95 * 0.05)


@pytest.mark.parametrize(
    "layers",
    [
        [keras.layers.Conv1D(4, 3, activation="relu"), keras.layers.GlobalAveragePooling1D()],
        [keras.layers.LSTM(4)],
        [keras.layers.BatchNormalization(), keras.layers.Flatten(), keras.layers.Dropout(0.5)],
    ],
    ids=["convolution", "recurrent", "normalized"],
)
def test_other_layers_have_a_hessian_that_is_symmetric(layers):
    from pellucid.measure.hessian import Hessian

    net = keras.Sequential([keras.Input((6, 3)), *layers, keras.layers.Dense(3, "softmax")])
    x = np.random.default_rng(0).normal(size=(31, 6, 3)).astype(np.float32)
    y = np.arange(31) % 3
    model = pl.wrap(net)
    h = Hessian(model, model.prepare(x), y)
    g = np.random.default_rng(1)
    u, v = g.normal(size=(2, h.order))
    assert u @ h(v) == pytest.approx(v @ h(u), rel=1e-3, abs=1e-4)
    whole, parts = h.by_part(v)
    np.testing.assert_allclose(whole, h(v), rtol=1e-4, atol=1e-5)
    sizes = [np.sum(p < 31) for p in h.parts]
    assert np.average(parts, weights=sizes) == pytest.approx(v @ whole, rel=1e-5)


def test_the_model_and_random_state_are_left_alone():
    net, x = dense(4, 3, "softmax"), rows(50)
    before = [w.copy() for w in net.get_weights()]
    asked = (x, np.arange(50) % 3)
    one, two = (pl.measure(pl.wrap(net), pl.Curvature(most=30), train=asked, seed=5)[0] for _ in range(2))
    assert one.value == two.value
    assert one.detail["trace"] == two.detail["trace"]
    for a, b in zip(before, net.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert one.detail["rows"] == 30


def test_what_has_no_curvature_says_so():
    x = rows(50)
    (found,) = pl.measure(pl.wrap(lambda x: x[:, :2], output="logits"), pl.Curvature(), train=(x, np.arange(50) % 2))
    assert found.verdict == "not applicable"
    assert "no weights" in found.detail["explanation"]
    net = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, "sigmoid")])
    (found,) = pl.measure(pl.wrap(net), pl.Curvature(), train=(x, np.arange(50) % 3))
    assert found.verdict == "not applicable"
    (found,) = pl.measure(pl.wrap(dense(4, 3, "softmax")), pl.Curvature(), train=(x[:5], np.arange(5) % 3))
    assert "at least 10 rows" in found.detail["explanation"]


def test_bad_options_are_told():
    with pytest.raises(pl.errors.InvalidOption, match="'trace', 'adaptive', 'relative'"):
        pl.Curvature(also=("sharp",))
    for wrong in ({"top": 0}, {"tolerance": 0}, {"most": 3}, {"split": "validation"}, {"level": 1}):
        with pytest.raises(pl.errors.InvalidOption):
            pl.Curvature(**wrong)
