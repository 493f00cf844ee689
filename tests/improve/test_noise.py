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
