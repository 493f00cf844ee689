import keras
import numpy as np
import pytest

import pellucid as pl
from pellucid.errors import InvalidOption, NotApplicable

DRAW = np.random.default_rng(0)
X = DRAW.normal(size=(48, 6)).astype("float32")
Y = X[:, 0]
layers = keras.layers
JIT = keras.backend.backend() == "jax"


def compiled(model, **more):
    model.compile(**{"optimizer": keras.optimizers.SGD(0.03), "loss": "mse", "jit_compile": JIT} | more)
    return model


def sequential():
    standard = layers.Normalization(mean=1.0, variance=4.0)
    body = [
        layers.Dense(10, "relu"),
        layers.BatchNormalization(),
        layers.Dropout(0.1),
        layers.Dense(7),
        layers.Dense(1),
    ]
    return compiled(keras.Sequential([keras.Input((6,)), standard, *body]))


def residual():
    """Two blocks on images, the second in a model of its own, with depthwise and separable layers and two outputs."""
    start = keras.Input((8, 8, 3))
    hidden = layers.Conv2D(8, 3, padding="same")(start)
    hidden = layers.add([hidden, layers.SeparableConv2D(8, 3, padding="same")(layers.ReLU()(hidden))])
    inner = keras.Input((8, 8, 8))
    block = keras.Model(inner, layers.DepthwiseConv2D(3)(layers.Conv2D(16, 1, activation="relu")(inner)), name="block")
    seen = layers.GlobalAveragePooling2D()(block(hidden))
    first, second = layers.Dense(1, name="first")(seen), layers.Dense(2, name="second")(layers.Dense(6)(seen))
    return compiled(keras.Model(start, [first, second]), loss=["mse", "mse"])


def kernels(model):
    return [tuple(v.shape) for v in model.trainable_variables if v.name in ("kernel", "pointwise_kernel")]


def test_hidden_layers_get_narrower_the_output_stays():
    model = sequential()
    rebuilt = pl.ReduceWidth(0.5).rebuild(model)
    assert kernels(rebuilt) == [(6, 5), (5, 4), (4, 1)]  # 3.5 is rounded to the even number
    assert isinstance(rebuilt, keras.Sequential)
    assert [layer.name for layer in rebuilt.layers] == [layer.name for layer in model.layers]
    standard = keras.ops.convert_to_numpy(rebuilt.layers[0](X))
    np.testing.assert_allclose(standard, (X - 1) / 2, rtol=1e-5, atol=1e-6)
    assert rebuilt.optimizer is model.optimizer
    assert model.layers[1].units == 10, "the model that was built stays as it was"


def test_branches_nested_models_and_several_outputs():
    rebuilt = pl.ReduceWidth(0.25).rebuild(residual())
    assert kernels(rebuilt) == [(3, 3, 3, 2), (1, 1, 2, 2), (1, 1, 2, 4), (3, 3, 4, 1), (4, 2), (4, 1), (2, 2)]
    found = rebuilt.predict(np.zeros((2, 8, 8, 3), "float32"), verbose=0)
    assert [f.shape for f in found] == [(2, 1), (2, 2)]


def test_initial_weights_are_drawn_from_the_seed():
    fit = {"epochs": 1, "batch_size": 48}
    one, again, other = (
        pl.improve(
            sequential, pl.ReduceWidth(0.5), train=(X, Y), fit=fit, seed=s, progress=False
        ).model.keras.get_weights()
        for s in (1, 1, 2)
    )
    assert all(np.array_equal(a, b) for a, b in zip(one, again, strict=True))
    assert not np.allclose(one[3], other[3])


def test_a_fresh_kernel_has_the_spread_of_its_initializer():
    """Glorot: uniform within sqrt(6 / (inputs + units)) of the narrower layer."""

    def wide():
        return compiled(keras.Sequential([keras.Input((40,)), layers.Dense(200), layers.Dense(1)]))

    kernel = np.asarray(pl.ReduceWidth(0.5).rebuild(wide()).get_weights()[0])
    limit = np.sqrt(6 / (40 + 100))
    assert np.abs(kernel).max() <= limit
    assert kernel.std() == pytest.approx(limit / np.sqrt(3), rel=0.05)


def test_what_was_trained_before_and_is_frozen_stays():
    base = keras.Sequential([keras.Input((6,)), layers.Dense(5, "relu"), layers.Dense(4)], name="base")
    base.trainable = False
    model = compiled(keras.Sequential([keras.Input((6,)), base, layers.Dense(8), layers.Dense(1)]))
    rebuilt = pl.ReduceWidth(0.5).rebuild(model)
    for before, after in zip(base.get_weights(), rebuilt.layers[0].get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)
    assert kernels(rebuilt) == [(4, 4), (4, 1)]
    np.testing.assert_allclose(rebuilt.layers[0].predict(X, verbose=0), base.predict(X, verbose=0), rtol=1e-6)


def test_a_bias_of_the_same_shape_stays_where_the_kernel_is_new():
    model = sequential()
    model.layers[-1].bias.assign([-3.0])
    rebuilt = pl.ReduceWidth(0.5).rebuild(model)
    assert kernels(rebuilt)[-1] == (4, 1)
    np.testing.assert_array_equal(rebuilt.layers[-1].get_weights()[1], [-3.0])


def test_beside_dropout_and_decay():
    """It comes first, so the others see the narrower model."""
    recipe = pl.Recipe(pl.WeightDecay(0.1), pl.Dropout(0.2), pl.ReduceWidth(0.5))
    run = pl.improve(sequential, recipe, train=(X, Y), fit={"epochs": 1, "batch_size": 48}, progress=False)
    net = run.model.keras
    assert kernels(net) == [(6, 5), (5, 4), (4, 1)]
    assert sum(layer.name.startswith("recipe_dropout") for layer in net.layers) == 2
    assert [net.optimizer._use_weight_decay(v) for v in net.trainable_variables] == [
        v.name == "kernel" for v in net.trainable_variables
    ]


def own_loss(y, outputs):
    return keras.ops.mean(keras.ops.abs(keras.ops.reshape(y, (-1, 1)) - outputs), axis=-1)


def test_own_losses_and_metrics_stay():
    def build():
        net = keras.Sequential([keras.Input((6,)), layers.Dense(4), layers.Dense(1)])
        return compiled(net, loss=own_loss, metrics=["mse"])

    run = pl.improve(build, pl.ReduceWidth(0.5), train=(X, Y), fit={"epochs": 1}, progress=False)
    found = run.model.keras.predict(X, verbose=0)[:, 0]
    assert run.history["data_loss"][-1] == pytest.approx(np.abs(found - Y).mean(), rel=1e-5)
    assert run.history["mse"][-1] == pytest.approx(((found - Y) ** 2).mean(), rel=1e-5)


def with_reshape():
    body = [layers.Dense(8), layers.Reshape((4, 2), name="grid"), layers.Flatten(), layers.Dense(1)]
    return keras.Sequential([keras.Input((6,)), *body])


def added_to_the_inputs():
    start = keras.Input((6,))
    return keras.Model(start, layers.Dense(1)(layers.Add(name="sum")([start, layers.Dense(6)(start)])))


def one_layer():
    return keras.Sequential([keras.Input((6,)), layers.Dense(1)])


class Own(keras.Model):
    def __init__(self):
        super().__init__()
        self.last = layers.Dense(1)

    def call(self, x):
        return self.last(x)


@pytest.mark.parametrize(
    ("build", "told"),
    [
        (with_reshape, "its layer grid does not take"),
        (added_to_the_inputs, "its layer sum does not take"),
        (one_layer, "has no hidden dense or convolution layer"),
        (Own, "Python code of its own"),
    ],
)
def test_where_it_has_no_place(build, told):
    with pytest.raises(NotApplicable, match=told):
        pl.ReduceWidth(0.5).rebuild(compiled(build()))
    with pytest.raises(InvalidOption, match="factor"):
        pl.ReduceWidth(1.0)


def test_attention_takes_what_it_is_fed():
    start = keras.Input((5,), dtype="int32")
    hidden = layers.Dense(12)(layers.Embedding(9, 8)(start))
    hidden = layers.LayerNormalization()(hidden + layers.MultiHeadAttention(2, 4)(hidden, hidden))
    model = compiled(
        keras.Model(
            start, layers.Dense(1)(layers.GlobalAveragePooling1D()(layers.LSTM(3, return_sequences=True)(hidden)))
        )
    )
    rebuilt = pl.ReduceWidth(0.5).rebuild(model)
    assert kernels(rebuilt)[0] == (8, 6)
    table = np.asarray(model.layers[1].get_weights()[0])
    np.testing.assert_array_equal(np.asarray(rebuilt.layers[1].get_weights()[0]), table)
    assert rebuilt.predict(np.zeros((2, 5), "int32"), verbose=0).shape == (2, 1)
