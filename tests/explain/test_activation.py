"""Which layer is read, how its outputs are laid out, and which input they lie on."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import pellucid as pl
from pellucid.errors import InvalidInput, NotApplicable, NotDifferentiable, UnknownName
from pellucid.explain.activation.grids import token_grid

BACKEND = keras.backend.backend()
torch_only = pytest.mark.skipif(BACKEND != "torch", reason="torch modules need Keras on torch")


def filled(net, seed=0):
    draw = np.random.default_rng(seed)
    net.set_weights([draw.normal(0, 0.5, w.shape) for w in net.get_weights()])
    return net


def rows(*shape, count=3):
    return np.random.default_rng(4).normal(size=(count, *shape)).astype(np.float32)


def body():
    return [layers.Conv2D(4, 3, activation="relu"), layers.Flatten(), layers.Dense(2)]


def outputs_and_slopes(net, name, x, k):
    """What a layer puts out, and the gradient of score k at it; both checked elsewhere."""
    a = pl.explain(net, x, pl.LayerActivation(name)).values
    return a, pl.explain(net, x, pl.Gradient(layer=name), target=k).values


def grad_cam(a, g):
    """(B, grid..., C) both."""
    weights = g.mean(tuple(range(1, a.ndim - 1)), keepdims=True)
    return np.maximum((weights * a).sum(-1), 0)


# -- which layer ------------------------------------------------------------------------------------------------------


def test_the_last_convolution_is_read_and_named():
    net = keras.Sequential([
        keras.Input((9, 9, 1)), layers.Conv2D(3, 3, name="low"), layers.SeparableConv2D(4, 3, name="high"), layers.ReLU(),
        layers.GlobalAveragePooling2D(), layers.Dense(2),
    ])  # fmt: skip
    e = pl.explain(net, rows(9, 9, 1), pl.GradCam())
    assert e.layer == "high"
    assert "no layer was named: the convolution 'high' was read" in e.provenance.notes
    named = pl.explain(net, rows(9, 9, 1), pl.GradCam("low"))
    assert named.layer == "low"
    assert not any("no layer was named" in note for note in named.provenance.notes)


def test_a_convolution_whose_grid_is_gone_is_passed_over():
    x = keras.Input((8, 8, 3))
    y = layers.Conv2D(6, 3, name="seen")(x)
    gate = layers.Conv2D(6, 1, activation="sigmoid", name="gate")(layers.GlobalAveragePooling2D(keepdims=True)(y))
    net = filled(keras.Model(x, layers.Dense(2)(layers.GlobalAveragePooling2D()(y * gate))))
    assert pl.explain(net, rows(8, 8, 3), pl.GradCam()).layer == "seen"


def test_a_convolution_that_the_score_does_not_come_from_is_passed_over():
    x = keras.Input((8, 8, 3))
    shared = layers.Conv2D(4, 3, name="shared")(x)
    answer = layers.Dense(2, name="answer")(layers.GlobalAveragePooling2D()(shared))
    mask = layers.Conv2D(1, 3, name="mask")(shared)
    net = filled(keras.Model(x, [answer, layers.GlobalAveragePooling2D()(mask)]))
    for method in (pl.GradCam(), pl.EigenCam(), pl.ScoreCam()):
        assert pl.explain(net, rows(8, 8, 3), method, target=lambda scores: scores[:, 0]).layer == "shared"
    assert pl.explain(net, rows(8, 8, 3), pl.GradCam(), target=lambda scores: scores[:, 2]).layer == "mask"


class Subclassed(keras.Model):
    """Convolutions inside a layer inside a model, and a rectifier in its own code."""

    def __init__(self):
        super().__init__()
        self.body = keras.Sequential([layers.Conv2D(3, 3), layers.Conv2D(4, 3, name="last")])
        self.end = layers.Dense(2)

    def call(self, x):
        return self.end(ops.mean(ops.relu(self.body(x)), axis=(1, 2)))


def test_nested_and_subclassed_models_are_read():
    net, x = Subclassed(), rows(8, 8, 1)
    net(x)
    e = pl.explain(net, x, pl.GradCam(resize=False), target=1)
    assert e.layer == "last"
    np.testing.assert_allclose(e.values, grad_cam(*outputs_and_slopes(net, "last", x, 1)), rtol=1e-4, atol=1e-6)


def test_a_callable_around_a_model_is_read():
    net, x = filled(keras.Sequential([keras.Input((8, 8, 1)), *body()])), rows(8, 8, 1)
    e = pl.explain(lambda x: 2 * net(x), x, pl.GradCam(), target=0)
    np.testing.assert_allclose(e.values, 2 * pl.explain(net, x, pl.GradCam(), target=0).values, rtol=1e-4, atol=1e-6)


def test_a_callable_on_arrays_has_no_layers():
    with pytest.raises(NotApplicable, match="shows none"):
        pl.explain(lambda x: np.asarray(x).sum((1, 2)), rows(8, 8, 2), pl.EigenCam(), target=0)


def test_a_model_without_convolutions_is_refused_with_a_way_out(random_mlp):
    with pytest.raises(NotApplicable, match="no convolution; use methods that need no grid: IntegratedGradients"):
        pl.explain(random_mlp, rows(6), pl.GradCam())
    net = keras.Sequential([keras.Input((5, 2)), layers.Dense(3, name="states"), layers.LSTM(2)])
    with pytest.raises(NotApplicable, match=r"name a layer with positions \('states'\)"):
        pl.explain(net, rows(5, 2), pl.GradCam())
    assert pl.explain(net, rows(5, 2), pl.GradCam("states"), target=0).values.shape == (3, 5, 1)


def test_a_layer_that_cannot_be_read_is_refused(random_cnn):
    x = rows(8, 8, 1)
    with pytest.raises(UnknownName, match="conv2d"):
        pl.explain(random_cnn, x, pl.GradCam("conv3d"))
    with pytest.raises(InvalidInput, match="no positions with channels"):
        pl.explain(random_cnn, x, pl.GradCam(random_cnn.layers[-1].name))


def test_a_layer_off_the_way_to_a_hidden_unit_is_refused():
    net = keras.Sequential(
        [keras.Input((8, 8, 1)), layers.Conv2D(2, 3, name="low"), layers.Conv2D(2, 3, name="high"), *body()[1:]]
    )
    with pytest.raises(InvalidInput, match="'high' is not on the way"):
        pl.explain(net, rows(8, 8, 1), pl.GradCam("high"), pl.Unit("low", (None, None, 0)))
    assert pl.explain(net, rows(8, 8, 1), pl.GradCam(), pl.Unit("high", (None, None, 0))).layer == "high"


def test_what_lets_no_gradient_through_is_named_and_harms_no_other_method():
    x = keras.Input((8, 8, 1))
    y = layers.Conv2D(3, 3, name="conv")(x)
    y = ops.one_hot(ops.argmax(layers.Flatten()(y), axis=1), 108)
    net, data = filled(keras.Model(x, layers.Dense(2)(y))), rows(8, 8, 1)
    with pytest.raises(NotDifferentiable, match="argmax"):
        pl.explain(net, data, pl.GradCam())
    for method in (pl.EigenCam(), pl.AblationCam(), pl.ScoreCam()):
        assert pl.explain(net, data, method).layer == "conv"


# -- how it is laid out -----------------------------------------------------------------------------------------------


@pytest.mark.skipif(BACKEND == "tensorflow", reason="TensorFlow convolves channels first on GPUs alone")
@pytest.mark.parametrize("method", [pl.GradCam(), pl.AblationCam(), pl.ScoreCam(), pl.HiResCam("act")], ids=repr)
def test_channels_first_is_channels_last_turned(method):
    def build(order):
        shape = (7, 6, 2) if order == "channels_last" else (2, 7, 6)
        conv = layers.Conv2D(4, 3, data_format=order, name="conv")
        return keras.Sequential([
            keras.Input(shape), conv, layers.Activation("softplus", name="act"), layers.GlobalAveragePooling2D(data_format=order),
            layers.Dense(6, "tanh"), layers.Dense(3),
        ])  # fmt: skip

    last, first, x = filled(build("channels_last")), build("channels_first"), rows(7, 6, 2)
    first.set_weights(last.get_weights())
    expected, e = pl.explain(last, x, method, 1), pl.explain(first, np.moveaxis(x, -1, 1), method, 1)
    assert e.values.shape == (3, 1, 7, 6)
    np.testing.assert_allclose(np.moveaxis(e.values, 1, -1), expected.values, rtol=1e-4, atol=1e-6)


def vit(size=8, patch=4, prefix=1, width=6):
    """Patches by a convolution, tokens in front, one block of attention; the class token, or the mean, answers."""
    x = keras.Input((size, size, 3))
    tokens = layers.Reshape((-1, width))(layers.Conv2D(width, patch, strides=patch, name="patches")(x))
    if prefix:
        mean = layers.Dense(width)(layers.GlobalAveragePooling1D()(tokens))
        tokens = layers.Concatenate(axis=1)([layers.Reshape((1, width))(mean) for _ in range(prefix)] + [tokens])
    tokens = layers.Activation("linear", name="before")(tokens)
    tokens = layers.Add(name="after")([tokens, layers.MultiHeadAttention(2, 3)(tokens, tokens)])
    end = tokens[:, 0] if prefix else layers.GlobalAveragePooling1D()(tokens)
    return filled(keras.Model(x, layers.Dense(3)(end)), seed=3)


@pytest.mark.parametrize("prefix", [0, 1, 2])
def test_tokens_of_a_vision_transformer_are_a_grid(prefix):
    net, x = vit(prefix=prefix), rows(8, 8, 3)
    a, g = (t[:, prefix:].reshape(3, 2, 2, 6) for t in outputs_and_slopes(net, "before", x, 1))
    e = pl.explain(net, x, pl.GradCam("before", resize=False), target=1)
    np.testing.assert_allclose(e.values, grad_cam(a, g), rtol=1e-4, atol=1e-6)
    assert f"the {4 + prefix} tokens of 'before' were taken for {prefix} and 2 x 2" in e.provenance.notes


def test_tokens_behind_the_last_attention_leave_the_class_token_alone():
    net, x = pl.wrap(vit()), rows(8, 8, 3)
    e = pl.explain(net, x, pl.GradCam("after"))
    assert not e.values.any()
    assert "zero everywhere" in e.provenance.notes[-1]
    for method in (pl.AblationCam("after"), pl.ScoreCam("before")):
        assert pl.explain(net, x, method).values.shape == (3, 8, 8, 1)


@pytest.mark.parametrize(
    ("count", "sizes", "expected"),
    [
        (197, (224, 224), (1, (14, 14))), (196, (224, 224), (0, (14, 14))), (198, (224, 224), (2, (14, 14))),
        (261, (224, 224), (5, (16, 16))), (25, (32, 48), (1, (4, 6))), (26, (33, 33), (1, (5, 5))),
    ],
)  # fmt: skip
def test_how_tokens_tile_an_image(count, sizes, expected):
    assert token_grid(count, sizes, "tokens") == expected


@pytest.mark.parametrize(
    ("count", "sizes", "told"), [(9, (12, 12), "0 and 3 x 3, 5 and 2 x 2"), (43, (32, 32), "in no way")]
)
def test_tokens_that_tile_in_no_way_or_several_are_refused(count, sizes, told):
    with pytest.raises(InvalidInput, match=told):
        token_grid(count, sizes, "tokens")


def test_tokens_of_a_text_get_one_number_each():
    net = filled(keras.Sequential([
        keras.Input((9,), dtype="int32"), layers.Embedding(12, 4), layers.Conv1D(5, 3, activation="relu", name="conv"),
        layers.GlobalMaxPooling1D(), layers.Dense(2),
    ]))  # fmt: skip
    x = np.random.default_rng(1).integers(0, 12, (4, 9))
    for method in (pl.GradCam(), pl.ScoreCam(), pl.EigenCam()):
        assert pl.explain(net, x, method).values.shape == (4, 9)
    own = pl.explain(net, x, pl.GradCam(resize=False), target=0).values
    np.testing.assert_allclose(own, grad_cam(*outputs_and_slopes(net, "conv", x, 0)), rtol=1e-4, atol=1e-6)


def test_masks_of_a_text_dim_the_embedding():
    net = filled(keras.Sequential([
        keras.Input((5,), dtype="int32"), layers.Embedding(7, 3, name="table"), layers.Conv1D(2, 1, name="conv"),
        layers.Flatten(), layers.Dense(2),
    ]))  # fmt: skip
    x = np.array([[1, 2, 3, 4, 5], [6, 5, 0, 1, 1]])
    table, kernel, bias, dense, more = (w.astype(float) for w in net.get_weights())
    a = table[x] @ kernel[0] + bias
    masks = (a - a.min(1, keepdims=True)) / np.ptp(a, axis=1)[:, None]
    dim = np.einsum("bte,btc->bcte", table[x], masks) @ kernel[0] + bias
    raised = np.exp((dim.reshape(2, 2, -1) @ dense + more)[..., 1])
    expected = np.maximum(np.einsum("btc,bc->bt", a, raised / raised.sum(1, keepdims=True)), 0)
    np.testing.assert_allclose(pl.explain(net, x, pl.ScoreCam(), target=1).values, expected, rtol=1e-3, atol=1e-5)


# -- which input it lies on -------------------------------------------------------------------------------------------


def test_the_map_lies_on_the_image_and_the_table_gets_zeros():
    image, table = keras.Input((8, 8, 1), name="image"), keras.Input((4,), name="table")
    seen = layers.GlobalAveragePooling2D()(layers.Conv2D(3, 3, name="conv")(image))
    net = filled(keras.Model([image, table], layers.Dense(2)(layers.Concatenate()([seen, table]))))
    e = pl.explain(net, {"image": rows(8, 8, 1), "table": rows(4)}, pl.GradCam(), target=0)
    assert e.values["image"].shape == (3, 8, 8, 1)
    assert e.values["table"].shape == (3, 4)
    assert not e.values["table"].any()
    assert "the map lies on image" in e.provenance.notes[-1]


def two_images():
    shared, a, b = (
        layers.Conv2D(3, 3, activation="softplus", name="shared"),
        *(keras.Input((6, 6, 1), name=n) for n in "ab"),
    )
    ends = [layers.Dense(2)(layers.Flatten()(shared(x))) for x in (a, b)]
    fused = layers.Conv2D(2, 3, name="fused")(layers.Concatenate()([a, b]))
    third = layers.Dense(2)(layers.Flatten()(layers.Conv2D(2, 3, name="alone")(b)))
    out = layers.Add()([*ends, third, layers.Dense(2)(layers.Flatten()(fused))])
    return filled(keras.Model([a, b], out)), {"a": rows(6, 6, 1), "b": 1 - rows(6, 6, 1)}


def test_each_call_of_a_shared_layer_lies_on_the_input_it_reads():
    net, x = two_images()
    a, g = outputs_and_slopes(net, "shared", x, 1)
    one = keras.Model(net.inputs[0], net.get_layer("shared")(net.inputs[0]))
    reads = {c: "a" if np.allclose(a[c], ops.convert_to_numpy(one(x["a"])), atol=1e-5) else "b" for c in a}
    assert set(reads.values()) == {"a", "b"}
    for method in (pl.GradCam, pl.AblationCam, pl.ScoreCam):
        own = pl.explain(net, x, method("shared", resize=False), target=1)
        over = pl.explain(net, x, method("shared"), target=1)
        assert not any("zeros" in note for note in over.provenance.notes)
        for call, name in reads.items():
            np.testing.assert_allclose(over.values[name][:, 0, 0, 0], own.values[call][:, 0, 0], rtol=1e-4, atol=1e-6)
            np.testing.assert_allclose(
                over.values[name][:, -1, -1, 0], own.values[call][:, -1, -1], rtol=1e-4, atol=1e-6
            )
        if method is pl.GradCam:
            for call in reads:
                np.testing.assert_allclose(own.values[call], grad_cam(a[call], g[call]), rtol=1e-4, atol=1e-6)


def test_a_map_on_several_inputs_is_refused_and_one_on_one_of_two_is_not():
    net, x = two_images()
    e = pl.explain(net, x, pl.HiResCam("alone"), target=0)
    assert not e.values["a"].any()
    assert e.values["b"].any()
    with pytest.raises(InvalidInput, match="lies on several inputs"):
        pl.explain(net, x, pl.GradCam("fused"))
    assert pl.explain(net, x, pl.GradCam("fused", resize=False)).values.shape == (3, 4, 4)


def test_a_layer_called_twice_on_one_image_gets_the_sum():
    x = keras.Input((6, 6, 3))
    again = layers.Conv2D(3, 3, padding="same", activation="softplus", name="again")
    net, data = filled(keras.Model(x, layers.Dense(2)(layers.Flatten()(again(again(x)))))), rows(6, 6, 3)
    over = pl.explain(net, data, pl.GradCam(), target=0).values
    own = pl.explain(net, data, pl.GradCam(resize=False), target=0).values
    np.testing.assert_allclose(over[..., 0], own["again:0"] + own["again:1"], rtol=1e-5)


def test_other_sizes_of_image_are_laid_out_anew():
    net = filled(keras.Sequential([
        keras.Input((None, None, 1)), layers.Conv2D(3, 3, name="conv"), layers.GlobalAveragePooling2D(), layers.Dense(2)
    ]))  # fmt: skip
    model = pl.wrap(net)
    for size in (8, 6, 8):
        e = pl.explain(model, rows(size, size, 1), pl.GradCam(), target=0)
        assert e.values.shape == (3, size, size, 1)
        np.testing.assert_allclose(
            e.values, pl.explain(net, rows(size, size, 1), pl.GradCam(), target=0).values, rtol=1e-5
        )


def test_half_precision_is_read_in_full():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        half = keras.Sequential([keras.Input((8, 8, 1)), *body()])
    finally:
        keras.config.set_dtype_policy("float32")
    full, x = filled(keras.Sequential([keras.Input((8, 8, 1)), *body()])), rows(8, 8, 1)
    half.set_weights(full.get_weights())
    for method in (pl.GradCam(), pl.EigenCam()):
        found, expected = pl.explain(half, x, method, target=0).values, pl.explain(full, x, method, target=0).values
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, atol=0.02 * np.abs(expected).max())


# -- torch modules ----------------------------------------------------------------------------------------------------


@torch_only
@pytest.mark.parametrize("method", [pl.GradCam(), pl.XGradCam("1"), pl.ScoreCam(), pl.AblationCam("1")], ids=repr)
def test_a_torch_module_gets_what_its_keras_twin_gets(method):
    import torch

    twin = filled(keras.Sequential([
        keras.Input((8, 7, 2)), layers.Conv2D(4, 3, name="0"), layers.Activation("softplus", name="1"),
        layers.GlobalAveragePooling2D(), layers.Dense(3),
    ]))  # fmt: skip
    nn = torch.nn
    module = nn.Sequential(nn.Conv2d(2, 4, 3), nn.Softplus(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    kernel, bias, dense, more = map(torch.tensor, twin.get_weights())
    state = {"0.weight": kernel.permute(3, 2, 0, 1), "0.bias": bias, "4.weight": dense.T, "4.bias": more}
    module.load_state_dict(state)
    x = rows(8, 7, 2)
    expected = pl.explain(twin, x, method, target=1)
    e = pl.explain(pl.wrap(module, output="logits"), np.moveaxis(x, -1, 1), method, target=1)
    assert e.values.shape == (3, 1, 8, 7)
    np.testing.assert_allclose(e.values[:, 0], expected.values[..., 0], rtol=1e-4, atol=1e-5)


@torch_only
def test_torch_layers_of_every_layout_are_told_apart():
    import torch

    nn = torch.nn

    class Signal(nn.Module):
        """A sequence (T, F), turned for a convolution."""

        def __init__(self):
            super().__init__()
            self.conv, self.act, self.end = nn.Conv1d(3, 4, 3), nn.Softplus(), nn.Linear(4, 2)

        def forward(self, x):
            return self.end(self.act(self.conv(x.transpose(1, 2))).mean(-1))

    for name in (None, "act"):
        assert pl.explain(Signal(), rows(9, 3), pl.GradCam(name), target=0).values.shape == (3, 9, 1)
    channels_first = nn.Sequential(nn.Conv1d(3, 4, 3), nn.Softplus(), nn.Flatten(), nn.Linear(28, 2))
    assert pl.explain(channels_first, rows(3, 9), pl.GradCam("1"), target=0).values.shape == (3, 1, 9)
    volumes = nn.Sequential(nn.Conv3d(1, 2, 2), nn.Flatten(), nn.Linear(54, 2))
    assert pl.explain(volumes, rows(1, 4, 4, 4), pl.GradCam(), target=0).values.shape == (3, 1, 4, 4, 4)


@torch_only
def test_tokens_of_a_torch_transformer_are_a_grid():
    import torch

    nn = torch.nn

    class Vit(nn.Module):
        """Patches, a class token, one encoder block."""

        def __init__(self):
            super().__init__()
            self.patches, self.token = nn.Conv2d(3, 8, 4, 4), nn.Parameter(torch.zeros(1, 1, 8))
            self.block = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
            self.inner, self.end = nn.Identity(), nn.Linear(8, 2)

        def forward(self, x):
            tokens = self.patches(x).flatten(2).transpose(1, 2)
            tokens = self.inner(torch.cat([self.token.expand(len(x), -1, -1), tokens], 1))
            return self.end(self.block(tokens)[:, 0])

    e = pl.explain(Vit().eval(), rows(3, 12, 8), pl.GradCam("inner"), target=0)
    assert e.values.shape == (3, 1, 12, 8)
    assert "the 7 tokens of 'inner' were taken for 1 and 3 x 2" in e.provenance.notes


@torch_only
def test_an_order_of_axes_that_nothing_tells_is_refused():
    import torch

    class Bare(torch.nn.Module):
        """A computation of its own."""

        def __init__(self):
            super().__init__()
            self.inner = torch.nn.Softplus()

        def forward(self, x):
            return self.inner(x).sum(1)

    with pytest.raises(InvalidInput, match="nothing tells which axis"):
        pl.explain(Bare(), rows(4, 3), pl.GradCam("inner"), target=0)
