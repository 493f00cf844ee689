"""Class activation maps against their printed formulas, in NumPy and float64, on grids of one, two and three axes."""

from functools import cache

import keras
import numpy as np
import pytest
from keras import layers

import pellucid as pl
from pellucid.errors import InvalidInput, InvalidOption
from pellucid.explain.activation import scores
from pellucid.explain.activation.grids import interpolation

SHAPES = {1: (7, 2), 2: (6, 5, 2), 3: (5, 4, 4, 2)}
CONVOLUTIONS = {1: layers.Conv1D, 2: layers.Conv2D, 3: layers.Conv3D}
BY_GRADIENT = [pl.GradCam, pl.GradCamPlusPlus, pl.XGradCam, pl.LayerCam, pl.HiResCam]
ALL = [*BY_GRADIENT, pl.EigenCam, pl.FeatureExplanationMap, pl.ScoreCam, pl.AblationCam]


def filled(net, seed=0, scale=0.5):
    draw = np.random.default_rng(seed)
    net.set_weights([draw.normal(0, scale, w.shape) for w in net.get_weights()])
    return net


@cache
def made(rank, width=4, activation="softplus"):
    """A wrapped model of a convolution and a bent head behind it, and examples."""
    conv = CONVOLUTIONS[rank](width, 2, strides=2 if rank > 1 else 1, activation=activation, name="conv")
    head = [layers.Flatten(), layers.Dense(5, "tanh"), layers.Dense(3, "softmax")]
    net = filled(keras.Sequential([keras.Input(SHAPES[rank]), conv, *head]), seed=rank)
    return pl.wrap(net), np.random.default_rng(9).normal(size=(4, *SHAPES[rank])).astype(np.float32)


def taken_apart(model, x, k):
    """Activations, the head as a function of them in float64, and the closed form of its gradient."""
    net = model.keras
    w1, b1, w2, b2 = (w.astype(float) for w in net.get_weights()[2:])
    a = keras.ops.convert_to_numpy(keras.Model(net.inputs[0], net.get_layer("conv").output)(x)).astype(float)

    def head(a):
        return (np.tanh(a.reshape(len(a), -1) @ w1 + b1) @ w2 + b2)[:, k]

    bent = 1 - np.tanh(a.reshape(len(a), -1) @ w1 + b1) ** 2
    return a, head, ((bent * w2[:, k]) @ w1.T).reshape(a.shape)


def printed(kind, a, g):
    """The map of one example: activations and gradients (positions, channels)."""
    n, c = a.shape
    if kind is pl.HiResCam:
        return np.array([sum(g[p, k] * a[p, k] for k in range(c)) for p in range(n)])
    if kind is pl.LayerCam:
        return np.array([max(0, sum(max(g[p, k], 0) * a[p, k] for k in range(c))) for p in range(n)])
    if kind is pl.GradCam:
        weights = [g[:, k].mean() for k in range(c)]
    elif kind is pl.XGradCam:
        weights = [sum(g[p, k] * a[p, k] / a[:, k].sum() for p in range(n)) for k in range(c)]
    else:
        alpha = g**2 / (2 * g**2 + a.sum(0) * g**3)
        weights = [sum(alpha[p, k] * max(g[p, k], 0) for p in range(n)) for k in range(c)]
    return np.array([max(0, sum(weights[k] * a[p, k] for k in range(c))) for p in range(n)])


@pytest.mark.parametrize(
    ("kind", "rank"), [*((kind, 2) for kind in BY_GRADIENT), (pl.XGradCam, 1), (pl.GradCamPlusPlus, 3)]
)
def test_a_map_from_gradients_is_what_the_paper_prints(kind, rank):
    model, x = made(rank)
    a, _, g = taken_apart(model, x, 1)
    e = pl.explain(model, x, kind(resize=False), target=1)
    flat = (len(x), -1, a.shape[-1])
    expected = [printed(kind, *both) for both in zip(a.reshape(flat), g.reshape(flat), strict=True)]
    np.testing.assert_allclose(e.values, np.reshape(expected, a.shape[:-1]), rtol=1e-4, atol=1e-5)
    assert e.hidden
    assert e.layer == "conv"
    assert set(e.evaluations) == {1}


def test_the_closed_form_of_the_gradient_is_right():
    model, x = made(2)
    a, head, g = taken_apart(model, x, 2)
    numerical = np.zeros_like(a)
    for i in range(a[0].size):
        step = np.zeros(a[0].size)
        step[i] = 1e-6
        step = step.reshape(a[0].shape)
        numerical.reshape(len(a), -1)[:, i] = (head(a + step) - head(a - step)) / 2e-6
    np.testing.assert_allclose(g, numerical, atol=1e-7)
    np.testing.assert_allclose(head(a), model.scores(x)[:, 2], rtol=1e-5, atol=1e-5)


def stretched(maps, sizes):
    """Linear interpolation between cell centres, one axis after the other, constant beyond the outermost."""
    for axis, size in enumerate(sizes, start=1):
        count = maps.shape[axis]
        at, known = (np.arange(size) + 0.5) / size, (np.arange(count) + 0.5) / count
        maps = np.apply_along_axis(lambda v, at=at, known=known: np.interp(at, known, v), axis, maps)
    return maps


@pytest.mark.parametrize(("kind", "rank"), [*((kind, 2) for kind in ALL), (pl.GradCam, 1), (pl.ScoreCam, 3)])
def test_the_map_over_the_input_is_the_layers_own_stretched(kind, rank):
    model, x = made(rank)
    own, over = (pl.explain(model, x, kind(resize=r), target=0) for r in (False, True))
    assert over.values.shape == (*x.shape[:-1], 1)
    assert not over.hidden
    expected = stretched(own.values.astype(float), x.shape[1:-1])
    np.testing.assert_allclose(over.values[..., 0], expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize(("count", "size"), [(1, 4), (3, 7), (4, 4), (2, 9), (7, 3)])
def test_interpolation_weights(count, size):
    weights = interpolation(count, size)
    np.testing.assert_allclose(weights.sum(1), 1, rtol=1e-6)
    values = np.random.default_rng(0).normal(size=(1, count))
    np.testing.assert_allclose(values @ weights.T, stretched(values, (size,)), atol=1e-6)


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="torch's own interpolation")
def test_interpolation_is_the_one_of_torch():
    import torch

    maps = np.random.default_rng(1).normal(size=(2, 4, 3)).astype(np.float32)
    theirs = torch.nn.functional.interpolate(torch.tensor(maps)[:, None], size=(9, 7), mode="bilinear")[:, 0]
    ours = np.einsum("bij,hi,wj->bhw", maps, interpolation(4, 9), interpolation(3, 7))
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


@pytest.mark.parametrize("width", [4, 30])
def test_eigen_cam_is_the_first_singular_direction(width):
    model, x = made(2, width, "linear")
    a, *_ = taken_apart(model, x, 0)
    u, s, _ = np.linalg.svd(a.reshape(len(a), -1, width), full_matrices=False)
    expected = u[..., 0] * s[:, :1]
    expected *= np.sign(expected.sum(1, keepdims=True))
    e = pl.explain(model, x, pl.EigenCam(resize=False))
    np.testing.assert_allclose(e.values, expected.reshape(a.shape[:-1]), rtol=1e-3, atol=1e-4)


def test_a_feature_explanation_map_counts_strong_places():
    model, x = made(2, activation="tanh")
    a, *_ = taken_apart(model, x, 0)
    for sigmas in (0.5, 1.0):
        e = pl.explain(model, x, pl.FeatureExplanationMap(resize=False, sigmas=sigmas))
        expected = np.zeros(a.shape[:-1])
        for b, k in np.ndindex(len(a), a.shape[-1]):
            one = a[b, ..., k]
            expected[b] += one.mean() * (one >= one.mean() + sigmas * one.std())
        np.testing.assert_allclose(e.values, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("rank", [1, 2])
def test_ablation_cam_switches_channels_off(rank):
    model, x = made(rank)
    a, head, _ = taken_apart(model, x, 2)
    weights = np.zeros((len(a), a.shape[-1]))
    for k in range(a.shape[-1]):
        off = a.copy()
        off[..., k] = 0
        weights[:, k] = head(a) - head(off)
    expected = np.maximum(0, np.einsum("b...k,bk->b...", a, weights))
    e = pl.explain(model, x, pl.AblationCam(resize=False), target=2)
    np.testing.assert_allclose(e.values, expected, rtol=1e-3, atol=1e-5)


def score_cam(model, x, k, a):
    """Masks one by one, the softmax of their scores, and the weighted sum; flat channels are left out."""
    found = []
    for one, acts in zip(x, a, strict=True):
        rows, used = [], []
        for c in range(acts.shape[-1]):
            mask = stretched(acts[None, ..., c], x.shape[1:-1])[0]
            if np.ptp(acts[..., c]) > 0:
                rows.append(one * ((mask - mask.min()) / np.ptp(mask))[..., None])
                used.append(c)
        raised = np.exp(model.scores(np.array(rows))[:, k].astype(float))
        found.append(np.maximum(0, acts[..., used] @ (raised / raised.sum())))
    return np.array(found)


def with_flat_channels(rank, *channels):
    """A model some of whose channels are the same everywhere, and not zero."""
    model, x = made.__wrapped__(rank)
    kernel, bias = model.keras.get_layer("conv").get_weights()
    kernel[..., list(channels)] = 0
    model.keras.get_layer("conv").set_weights([kernel, bias])
    return model, x


@pytest.mark.parametrize("rank", [2, 3])
def test_score_cam_weighs_channels_by_the_input_they_leave(rank):
    model, x = with_flat_channels(rank, 1)
    a, *_ = taken_apart(model, x, 0)
    e = pl.explain(model, x, pl.ScoreCam(resize=False), target=0)
    np.testing.assert_allclose(e.values, score_cam(model, x, 0, a), rtol=1e-3, atol=1e-5)


def test_score_cam_of_flat_channels_alone_is_zero():
    model, x = with_flat_channels(2, 0, 1, 2, 3)
    assert not pl.explain(model, x, pl.ScoreCam()).values.any()


@pytest.mark.parametrize("kind", [pl.ScoreCam, pl.AblationCam])
def test_scores_that_are_no_numbers_are_refused(kind):
    conv = layers.Conv2D(1, 1, name="conv")
    net = keras.Sequential(
        [keras.Input((2, 2, 1)), conv, layers.Flatten(), layers.Lambda(keras.ops.log), layers.Dense(1)]
    )
    net.set_weights([np.ones((1, 1, 1, 1)), np.zeros(1), np.ones((4, 1)), np.zeros(1)])
    with pytest.raises(InvalidInput, match="NaN or infinity for example 0 with parts"):
        pl.explain(net, 1 + np.arange(4.0).reshape(1, 2, 2, 1), kind(), target=lambda scores: -scores[:, 0])


@pytest.mark.parametrize("kind", [pl.ScoreCam, pl.AblationCam])
def test_blocks_of_channels_change_nothing_but_are_counted(kind, monkeypatch):
    model, x = made(2, width=10)
    whole = pl.explain(model, x, kind())
    assert set(whole.evaluations) == {1 + 1 + 10}
    monkeypatch.setattr(scores, "WIDEST", 4)
    parts = pl.explain(model, x, kind())
    np.testing.assert_allclose(parts.values, whole.values, rtol=1e-5, atol=1e-6)
    assert set(parts.evaluations) == {1 + 3 * (1 + 4)}


def pooled(activation="relu"):
    """A convolution, its mean over the grid, and one dense layer: the network that class activation maps are defined on."""
    conv = layers.Conv2D(6, 3, activation=activation, name="conv")
    net = keras.Sequential([keras.Input((7, 7, 2)), conv, layers.GlobalAveragePooling2D(), layers.Dense(3)])
    x = np.random.default_rng(5).normal(size=(5, 7, 7, 2)).astype(np.float32)
    a = keras.ops.convert_to_numpy(keras.Model(filled(net).inputs[0], conv.output)(x)).astype(float)
    return net, x, a, net.get_weights()[2].astype(float)


def test_grad_cam_is_cam_where_cam_is_defined():
    net, x, a, w = pooled()
    e = pl.explain(net, x, pl.GradCam(resize=False), target=1)
    np.testing.assert_allclose(e.values * 25, np.maximum(a @ w[:, 1], 0), rtol=1e-4, atol=1e-5)


def test_hires_cam_adds_up_to_the_score_behind_a_linear_end():
    net, x, *_ = pooled("tanh")
    e = pl.explain(net, x, pl.HiResCam(resize=False), target=2)
    np.testing.assert_allclose(e.values.sum((1, 2)), e.output - net.get_weights()[3][2], rtol=1e-4, atol=1e-5)


def test_with_one_slope_a_channel_the_three_agree():
    net, x, *_ = pooled()
    grad, xgrad, hires = (
        pl.explain(net, x, k(resize=False), target=0).values for k in (pl.GradCam, pl.XGradCam, pl.HiResCam)
    )
    np.testing.assert_allclose(xgrad, grad, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(np.maximum(hires, 0), grad, rtol=1e-4, atol=1e-6)


def test_ablation_cam_of_a_linear_end_weighs_by_slope_times_activity():
    net, x, a, w = pooled()
    weights = w[:, 1] * a.mean((1, 2))
    e = pl.explain(net, x, pl.AblationCam(resize=False), target=1)
    np.testing.assert_allclose(e.values, np.maximum(np.einsum("bhwk,bk->bhw", a, weights), 0), rtol=1e-3, atol=1e-5)


def test_hires_cam_is_the_product_at_the_layer_summed_over_channels():
    model, x = made(2)
    product = pl.explain(model, x, pl.GradientInput(layer="conv")).values
    np.testing.assert_allclose(
        pl.explain(model, x, pl.HiResCam(resize=False)).values, product.sum(-1), rtol=1e-4, atol=1e-6
    )


def test_guided_grad_cam_is_the_product_of_its_parts():
    model, x = made(2, activation="relu")
    guided, cam = (pl.explain(model, x, m, target=1).values for m in (pl.GuidedBackprop(), pl.GradCam()))
    e = pl.explain(model, x, pl.GuidedGradCam(), target=1)
    np.testing.assert_allclose(e.values, guided * cam, rtol=1e-5)
    assert e.values.shape == x.shape
    assert e.layer == "conv"
    assert set(e.evaluations) == {2}


def test_what_says_nothing_of_the_score_is_the_same_for_every_class():
    model, x = made(2)
    for method in (pl.EigenCam(), pl.FeatureExplanationMap(), pl.LayerActivation("conv")):
        assert not method.contributes
        np.testing.assert_array_equal(*(pl.explain(model, x, method, target=k).values for k in (0, 1)))


def test_a_layer_is_read_as_it_is():
    model, x = made(3)
    a, *_ = taken_apart(model, x, 0)
    e = pl.explain(model, x, pl.LayerActivation("conv"))
    np.testing.assert_allclose(e.values, a, rtol=1e-5)
    assert e.hidden


def test_channels_that_cancel_have_no_weight():
    conv = layers.Conv1D(1, 1, use_bias=False)
    net = keras.Sequential([keras.Input((2, 1)), conv, layers.Flatten(), layers.Dense(1)])
    net.set_weights([np.ones((1, 1, 1)), np.array([[3.0], [1.0]]), np.zeros(1)])
    assert not pl.explain(net, np.array([[[2.0], [-2.0]]]), pl.XGradCam(), target=0).values.any()


@pytest.mark.parametrize("options", [{"layer": 3}, {"resize": 1}, {"sigmas": -1.0}, {"sigmas": "a"}])
def test_options_are_checked(options):
    with pytest.raises(InvalidOption, match=f"FeatureExplanationMap.{next(iter(options))}"):
        pl.FeatureExplanationMap(**options)
