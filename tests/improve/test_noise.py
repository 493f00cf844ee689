import keras
import numpy as np
import pytest

import pellucid as pl
from pellucid.errors import InvalidInput, InvalidOption, NotApplicable, UnknownName

DRAW = np.random.default_rng(0)
X = DRAW.normal(size=(64, 5)).astype("float32")
Y = X[:, 0]
STILL = {"optimizer": "sgd", "loss": "mse", "jit_compile": keras.backend.backend() == "jax"}


def compiled(model):
    model.compile(**STILL)
    return model


def sequential():
    layers = keras.layers
    return compiled(keras.Sequential([keras.Input((5,)), layers.Dense(40, "relu"), layers.Dense(30), layers.Dense(1)]))


def functional():
    start = keras.Input((5,))
    left, right = keras.layers.Dense(8, name="left")(start), keras.layers.Dense(8, name="right")(start)
    body = keras.Sequential([keras.layers.Dense(6, name="inner")], name="body")
    return compiled(keras.Model(start, keras.layers.Dense(1, name="out")(body(keras.layers.add([left, right])))))


def images():
    layers = keras.layers
    return compiled(
        keras.Sequential(
            [keras.Input((6, 6, 1)), layers.Conv2D(3, 3), layers.Conv2D(3, 3), layers.Flatten(), layers.Dense(1)]
        )
    )


def dropouts(model):
    return [layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.Dropout)]


@pytest.mark.parametrize(("build", "count"), [(sequential, 2), (functional, 2), (images, 2)])
def test_hidden_units_are_dropped_inputs_are_not(build, count):
    model = build()
    rebuilt = pl.Dropout(0.5).rebuild(model)
    assert len(dropouts(rebuilt)) == count
    assert all(d.rate == 0.5 for d in dropouts(rebuilt))
    x = DRAW.normal(size=(8, *model.input_shape[1:])).astype("float32")
    np.testing.assert_allclose(rebuilt.predict(x, verbose=0), model.predict(x, verbose=0), rtol=1e-5, atol=1e-6)


def test_it_is_active_in_training_alone():
    rebuilt = pl.Dropout(0.25).rebuild(sequential())
    once, again = (keras.ops.convert_to_numpy(rebuilt(X, training=True)) for _ in range(2))
    assert not np.allclose(once, again)
    still = [keras.ops.convert_to_numpy(rebuilt(X, training=False)) for _ in range(2)]
    np.testing.assert_array_equal(*still)
    first = dropouts(rebuilt)[0]
    kept = keras.ops.convert_to_numpy(first(np.ones((200, 200), "float32"), training=True))
    assert np.mean(kept == 0) == pytest.approx(0.25, abs=0.01)
    assert kept.max() == pytest.approx(1 / 0.75)


def test_training_feels_it():
    plain, noisy = (
        pl.improve(sequential, r, train=(X, Y), fit={"epochs": 2}, progress=False)
        for r in (pl.Recipe(), pl.Dropout(0.5))
    )
    assert noisy.history["running"]["loss"][0] != plain.history["running"]["loss"][0]
    np.testing.assert_array_equal(noisy.model.predict(X), noisy.model.predict(X))


def test_where_it_has_no_place():
    with pytest.raises(NotApplicable, match="no hidden layer"):
        pl.Dropout(0.2).rebuild(compiled(keras.Sequential([keras.Input((5,)), keras.layers.Dense(1)])))
    for rate in (0, 1, -0.1, "half"):
        with pytest.raises(InvalidOption, match="rate"):
            pl.Dropout(rate)


def volumes():
    layers = keras.layers
    return compiled(
        keras.Sequential(
            [keras.Input((4, 4, 4, 1)), layers.Conv3D(2, 2), layers.Conv3D(2, 2), layers.Flatten(), layers.Dense(1)]
        )
    )


def sounds():
    layers = keras.layers
    return compiled(
        keras.Sequential(
            [keras.Input((9, 2)), layers.Conv1D(3, 2), layers.SeparableConv1D(3, 2), layers.Flatten(), layers.Dense(1)]
        )
    )


@pytest.mark.parametrize("build", [images, volumes, sounds])
def test_whole_maps_are_dropped_before_convolutions_alone(build):
    model = build()
    rebuilt = pl.SpatialDropout(0.4).rebuild(model)
    (drop,) = dropouts(rebuilt)
    at = rebuilt.layers.index(drop)
    assert "Conv" in type(rebuilt.layers[at + 1]).__name__
    rank = len(rebuilt.layers[at + 1].kernel.shape if hasattr(rebuilt.layers[at + 1], "kernel") else (0, 0, 0)) - 2
    ones = np.ones((500, *[3] * rank, 8), "float32")
    kept = keras.ops.convert_to_numpy(drop(ones, training=True)).reshape(500, -1, 8)
    assert (kept == kept[:, :1]).all(), "all of a map or nothing"
    dropped = (kept[:, 0] == 0).mean()
    assert dropped == pytest.approx(0.4, abs=4 * np.sqrt(0.24 / 4000))
    assert kept.max() == pytest.approx(1 / 0.6)
    x = DRAW.normal(size=(8, *model.input_shape[1:])).astype("float32")
    np.testing.assert_allclose(rebuilt.predict(x, verbose=0), model.predict(x, verbose=0), rtol=1e-5, atol=1e-6)


def test_maps_that_come_first():
    from pellucid.improve.noise import _one_a_map

    assert _one_a_map(keras.layers.Conv2D(3, 2, data_format="channels_first")) == (None, None, 1, 1)
    assert _one_a_map(keras.layers.Conv3DTranspose(3, 2)) == (None, 1, 1, 1, None)
    assert _one_a_map(keras.layers.ConvLSTM2D(3, 2)) is None
    assert _one_a_map(keras.layers.Dense(2)) is None


def test_where_maps_have_no_place():
    with pytest.raises(NotApplicable, match="no convolution layer after another"):
        pl.SpatialDropout(0.2).rebuild(sequential())
    with pytest.raises(InvalidOption, match="what a convolution layer is fed"):
        pl.Recipe(pl.Dropout(0.2), pl.SpatialDropout(0.2))


def linear():
    net = keras.Sequential([keras.Input((5,)), keras.layers.Dense(1, use_bias=False)])
    net.set_weights([np.arange(1.0, 6.0)[:, None]])
    net.compile(keras.optimizers.SGD(0.0), "mse", jit_compile=STILL["jit_compile"])
    return net


def test_noise_at_the_inputs_has_the_spread_of_their_columns():
    """A linear model at rest: the loss it is trained by grows by the sum of w_j^2 stddev^2 s_j^2."""
    x = DRAW.normal(size=(4000, 5)).astype("float32") * np.array([1, 2, 0, 4, 0.5], "float32")
    w = np.arange(1.0, 6.0)
    run = pl.improve(
        linear, pl.GaussianNoise(0.3), train=(x, x @ w), fit={"epochs": 3, "batch_size": 500}, progress=False
    )
    expected = 0.09 * (w**2 * x.astype(float).var(0)).sum()
    found = run.history["running"]["loss"]
    assert found.mean() == pytest.approx(expected, rel=4 * np.sqrt(2 / 12000))
    assert len(set(found)) == 3, "drawn anew in every step"
    np.testing.assert_allclose(run.history["data_loss"], 0, atol=1e-8)
    assert [type(layer).__name__ for layer in run.model.keras.layers] == ["Dense"]


def test_noise_at_one_of_several_inputs_on_a_subclassed_model():
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.table, self.last = keras.layers.Embedding(4, 1), keras.layers.Dense(1)

        def call(self, given):
            return self.last(given["x"]) + self.table(given["kind"])[:, 0]

    def build():
        net = Own()
        net.compile(keras.optimizers.SGD(0.0), "mse", jit_compile=STILL["jit_compile"])
        return net

    data = pl.Dataset({"x": X, "kind": np.arange(64)[:, None] % 4}, Y)
    noisy, plain = (
        pl.improve(build, r, train=data, fit={"epochs": 1}, progress=False)
        for r in (pl.GaussianNoise(0.5), pl.Recipe())
    )
    assert noisy.history["running"]["loss"] != pytest.approx(plain.history["running"]["loss"], rel=1e-3)
    assert noisy.history["data_loss"] == pytest.approx(plain.history["data_loss"], rel=1e-5)


def test_noise_before_hidden_layers():
    model = sequential()
    rebuilt = pl.GaussianNoise(0.2, at="hidden").rebuild(model)
    added = [layer for layer in rebuilt.layers if isinstance(layer, keras.layers.GaussianNoise)]
    assert len(added) == 2
    drawn = keras.ops.convert_to_numpy(added[0](np.full((300, 300), 5.0, "float32"), training=True)) - 5
    assert drawn.std() == pytest.approx(0.2, rel=4 / np.sqrt(2 * 90000))
    assert abs(drawn.mean()) < 4 * 0.2 / 300
    np.testing.assert_allclose(rebuilt.predict(X, verbose=0), model.predict(X, verbose=0), rtol=1e-6)
    run = pl.improve(sequential, pl.GaussianNoise(0.2, at="hidden"), train=(X, Y), fit={"epochs": 1}, progress=False)
    np.testing.assert_array_equal(run.model.predict(X), run.model.predict(X))


def test_noise_has_no_place_in_tokens():
    def build():
        net = keras.Sequential(
            [keras.Input((3,)), keras.layers.Embedding(9, 2), keras.layers.Flatten(), keras.layers.Dense(1)]
        )
        return compiled(net)

    data = pl.Dataset(np.arange(192).reshape(64, 3) % 9, Y, kind="text")
    with pytest.raises(NotApplicable, match="at='hidden'"):
        pl.improve(build, pl.GaussianNoise(0.1), train=data, fit={"epochs": 1}, progress=False)
    for options in ({"stddev": 0}, {"stddev": 1.5}, {"at": "outputs"}):
        with pytest.raises(InvalidOption, match="GaussianNoise"):
            pl.GaussianNoise(**options)


def test_a_layer_that_serves_twice():
    shared = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4), keras.layers.Dense(2)], name="shared")
    one, two = keras.Input((3,), name="one"), keras.Input((3,), name="two")
    model = compiled(
        keras.Model([one, two], keras.layers.Dense(1)(keras.layers.concatenate([shared(one), shared(two)])))
    )
    rebuilt = pl.Dropout(0.5).rebuild(model)
    assert len(dropouts(rebuilt)) == 2
    x = [X[:, :3], X[:, 2:]]
    np.testing.assert_allclose(rebuilt.predict(x, verbose=0), model.predict(x, verbose=0), rtol=1e-6)


def test_early_stopping_goes_back_to_the_best_weights():
    """A step far too long for these data: validation loss rises, so the first weights seen are the best ones."""

    def wild():
        net = sequential()
        net.compile(keras.optimizers.SGD(0.05), "mse", jit_compile=STILL["jit_compile"])
        return net

    held = (X[:20], -Y[:20])
    run = pl.improve(
        wild, pl.EarlyStopping(2), train=(X[20:], Y[20:]), validation=held, fit={"epochs": 30}, progress=False
    )
    watched = run.history["val_data_loss"]
    assert run.epochs < 30
    assert run.kept == watched.argmin()
    assert run.epochs == run.kept + 3
    error = run.model.keras.predict(held[0], verbose=0)[:, 0] - held[1]
    assert np.mean(error**2) == pytest.approx(watched.min(), rel=1e-5)
    assert "were the best" in run.provenance.notes[0]


def test_early_stopping_watches_what_there_is():
    options = {"train": (X[20:], Y[20:]), "validation": (X[:20], Y[:20]), "fit": {"epochs": 2}, "progress": False}
    with pytest.raises(UnknownName, match="val_loss"):
        pl.improve(sequential, pl.EarlyStopping(2, monitor="val_los"), **options)
    with pytest.raises(InvalidInput, match="validation"):
        pl.improve(sequential, pl.EarlyStopping(2), **options | {"validation": None})
    with pytest.raises(InvalidOption, match="patience"):
        pl.EarlyStopping(0)
