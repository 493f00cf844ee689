"""Averaged weights against NumPy, and statistics that are found anew."""

import keras
import numpy as np
import pytest

import pellucid as pl
from pellucid.errors import InvalidOption, NotApplicable
from pellucid.improve.averaging import renew_statistics
from pellucid.improve.base import StepRemedy

DRAW = np.random.default_rng(0)
X = DRAW.normal(1, 2, size=(70, 4)).astype("float32")
Y = (X[:, 0] > 1).astype(int)
FAST = {"jit_compile": keras.backend.backend() == "jax"}


def build():
    net = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(5, activation="relu"),
            keras.layers.BatchNormalization(),
            keras.layers.Dense(5, activation="relu"),
            keras.layers.BatchNormalization(),
            keras.layers.Dense(1, activation="sigmoid"),
        ]
    )
    net.compile(keras.optimizers.Adam(0.05), "binary_crossentropy", **FAST)
    return net


def arrays(variables):
    return [np.array(keras.ops.convert_to_numpy(v.value), float) for v in variables]


class Nothing(StepRemedy):
    """Leaves a step as it is, but makes it one that a recipe changes."""

    slot = "nothing"


def trained(recipe, epochs=6, others=(), **options):
    """A run, and the weights after every epoch."""
    seen, rates = [], []

    class Spy(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append(arrays(self.model.trainable_variables))
            rates.append(float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)))

    class Watched(pl.L2):
        def callbacks(self, *, validated):
            return [Spy()]

    both = pl.Recipe(recipe, Watched(0.0), *others)
    given = {"train": (X, Y), "fit": {"epochs": epochs, "batch_size": 35, **options}, "progress": False}
    return pl.improve(build, both, **given), seen, rates


@pytest.mark.parametrize(("start", "first"), [(0.5, 3), (0.0, 0)])
def test_weights_are_the_mean_of_those_at_the_ends_of_epochs(start, first):
    run, seen, _ = trained(pl.WeightAveraging(start=start))
    for got, *each in zip(arrays(run.model.keras.trainable_variables), *seen[first:], strict=True):
        np.testing.assert_allclose(got, np.mean(each, axis=0), atol=1e-6)
        assert np.abs(got - each[-1]).max() > 1e-4


@pytest.mark.parametrize("others", [(), (Nothing(),)], ids=["plain", "changed step"])
def test_over_steps_they_are_the_exponential_mean(others):
    # a batch of all rows: one step an epoch, so that the ends of epochs are all there is
    run, seen, _ = trained(pl.WeightAveraging(over="steps", momentum=0.6), others=others, batch_size=70)
    mean = seen[0]
    for weights in seen[1:]:
        mean = [0.6 * m + 0.4 * w for m, w in zip(mean, weights, strict=True)]
    for got, exact in zip(arrays(run.model.keras.trainable_variables), mean, strict=True):
        np.testing.assert_allclose(got, exact, atol=1e-5)


def test_the_rate_is_set_where_the_mean_begins():
    _, _, rates = trained(pl.WeightAveraging(start=0.5, rate=0.01))
    np.testing.assert_allclose(rates, [0.05] * 3 + [0.01] * 3, rtol=1e-5)


def test_statistics_are_those_of_the_training_data():
    run, *_ = trained(pl.WeightAveraging(start=0.5))
    hidden, layers = X.astype(float), run.model.keras.layers
    for dense, norm in ((layers[0], layers[1]), (layers[2], layers[3])):
        kernel, bias = arrays(dense.weights)
        hidden = np.maximum(hidden @ kernel + bias, 0)
        gamma, beta, mean, variance = arrays(norm.weights)
        np.testing.assert_allclose(mean, hidden.mean(axis=0), atol=1e-4)
        np.testing.assert_allclose(variance, hidden.var(axis=0), rtol=1e-3, atol=1e-5)
        hidden = gamma * (hidden - mean) / np.sqrt(variance + norm.epsilon) + beta


def test_statistics_of_images_are_along_all_places():
    x = np.random.default_rng(1).normal(3, 2, size=(300, 4, 4, 2)).astype("float32")
    norm = keras.layers.BatchNormalization()
    net = keras.Sequential([keras.Input((4, 4, 2)), norm, keras.layers.Flatten(), keras.layers.Dense(1)])
    renew_statistics(net, x)
    _, _, mean, variance = arrays(norm.weights)
    np.testing.assert_allclose(mean, x.astype(float).mean(axis=(0, 1, 2)), rtol=1e-5)
    np.testing.assert_allclose(variance, x.astype(float).var(axis=(0, 1, 2)), rtol=1e-5)


def test_statistics_are_without_what_a_mask_hides():
    x = np.random.default_rng(2).integers(1, 9, size=(300, 6)).astype("int32")
    x[:, 2:] *= np.random.default_rng(3).integers(0, 2, size=(300, 4))
    x[:256] = 0  # the first step sees nothing but what is hidden
    start, norm = keras.Input((6,), dtype="int32"), keras.layers.BatchNormalization()
    table = keras.layers.Embedding(9, 3, mask_zero=True)
    net = keras.Model(start, keras.layers.LSTM(2)(norm(table(start))))
    renew_statistics(net, x)
    rows = arrays([table.embeddings])[0][x[x > 0]]
    np.testing.assert_allclose(arrays([norm.moving_mean])[0], rows.mean(axis=0), rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(arrays([norm.moving_variance])[0], rows.var(axis=0), rtol=1e-4)


def test_the_kept_epoch_of_the_log_is_of_the_mean():
    def plain():
        net = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, activation="sigmoid")])
        net.compile(keras.optimizers.Adam(0.05), "binary_crossentropy", **FAST)
        return net

    run = pl.improve(plain, pl.WeightAveraging(start=0.0), train=(X, Y), fit={"epochs": 4}, progress=False)
    p = run.model.predict(X)[:, 0].astype(float)
    loss = -np.mean(np.where(Y == 1, np.log(p), np.log1p(-p)))
    assert run.history["data_loss"][run.kept] == pytest.approx(loss, rel=1e-4)


@pytest.mark.parametrize(
    ("recipe", "told"),
    [
        (pl.WeightAveraging(start=0.4), "the mean of those after epochs 3 to 4"),
        (pl.WeightAveraging(start=0.8), "after epoch 4, for the mean was to begin with epoch 5"),
        (pl.WeightAveraging("steps", momentum=0.5), "the mean over the steps up to epoch 4"),
    ],
    ids=repr,
)
def test_interrupted_it_gives_the_mean_so_far(recipe, told):
    def plain():
        net = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, activation="sigmoid")])
        net.compile(keras.optimizers.SGD(0.05), "binary_crossentropy", **FAST)
        return net

    ends = []

    class Interrupting(pl.L2):
        def callbacks(self, *, validated):
            class Spy(keras.callbacks.Callback):
                def on_train_batch_end(self, batch, logs=None):
                    if len(ends) == 4:
                        raise KeyboardInterrupt

                def on_epoch_end(self, epoch, logs=None):
                    ends.append(arrays(self.model.trainable_variables)[0])

            return [Spy()]

    fit = {"epochs": 6, "batch_size": 70}
    run = pl.improve(plain, pl.Recipe(recipe, Interrupting(0.0)), train=(X, Y), fit=fit, progress=False)
    (note,) = run.provenance.notes
    assert told in note
    assert (run.epochs, run.kept) == (4, 3)
    expected = ends[-1] if "begin" in told else np.mean(ends[2:], axis=0)
    if recipe.over == "steps":
        expected = ends[0]
        for weights in ends[1:]:
            expected = (expected + weights) / 2
    got = arrays(run.model.keras.trainable_variables)[0]
    np.testing.assert_allclose(got, expected, atol=1e-6)
    p = run.model.predict(X)[:, 0].astype(float)
    loss = -np.mean(np.where(Y == 1, np.log(p), np.log1p(-p)))
    assert run.history["data_loss"][run.kept] == pytest.approx(loss, rel=1e-4)


def test_bad_options_are_told():
    for options in ({"over": "batches"}, {"start": 1.0}, {"momentum": 1.0}, {"rate": 0.0}):
        with pytest.raises(InvalidOption):
            pl.WeightAveraging(**options)
    with pytest.raises(InvalidOption, match="stopping would cut short"):
        pl.Recipe(pl.WeightAveraging(), pl.EarlyStopping())
    with pytest.raises(InvalidOption, match="their mean"):
        pl.Recipe(pl.WeightAveraging(), pl.SnapshotEnsemble())

    def scheduled():
        net = build()
        schedule = keras.optimizers.schedules.CosineDecay(0.1, 10)
        net.compile(keras.optimizers.SGD(schedule), "binary_crossentropy", **FAST)
        return net

    for recipe in (pl.WeightAveraging(rate=0.1, start=0), pl.SnapshotEnsemble(2)):
        with pytest.raises(NotApplicable, match="follows a schedule"):
            pl.improve(scheduled, recipe, train=(X, Y), fit={"epochs": 2}, progress=False)


@pytest.mark.parametrize("over", ["epochs", "steps"])
def test_frozen_statistics_stay(over):
    def make():
        net = build()
        net.layers[1].trainable = False
        net.layers[1].moving_mean.assign(np.full(5, 7.0))
        net.compile(keras.optimizers.SGD(0.01), "binary_crossentropy", **FAST)
        return net

    run = pl.improve(make, pl.WeightAveraging(over), train=(X, Y), fit={"epochs": 2}, progress=False)
    frozen, other = (layer for layer in run.model.keras.layers if "normalization" in layer.name)
    np.testing.assert_array_equal(arrays([frozen.moving_mean])[0], 7)
    np.testing.assert_array_equal(arrays([frozen.moving_variance])[0], 1)
    assert np.abs(arrays([other.moving_mean])[0]).max() > 0
