import random

import keras
import numpy as np
import pytest

import pellucid as pl
from pellucid.core.record import load
from pellucid.errors import InvalidInput, InvalidOption, NotApplicable, TrainingDiverged

DRAW = np.random.default_rng(0)
X = DRAW.normal(size=(96, 4)).astype("float32")
Y = (X[:, 0] + X[:, 1] > 0).astype(int)
HELD_X = DRAW.normal(size=(40, 4)).astype("float32")
HELD_Y = (HELD_X[:, 0] + HELD_X[:, 1] > 0).astype(int)
FIT = {"epochs": 3, "batch_size": 32}
FAST = {"jit_compile": keras.backend.backend() == "jax"}


def build():
    net = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(8, activation="relu"),
            keras.layers.BatchNormalization(),
            keras.layers.Dense(1, activation="sigmoid"),
        ]
    )
    net.compile("adam", "binary_crossentropy", metrics=["accuracy"], **FAST)
    return net


class Own(keras.Model):
    def __init__(self):
        super().__init__()
        self.first, self.last = keras.layers.Dense(5, activation="relu"), keras.layers.Dense(1)

    def call(self, x):
        return self.last(self.first(x))


def build_own():
    net = Own()
    net.compile(keras.optimizers.SGD(0.05), "mse", **FAST)
    return net


def improve(build, recipe, **options):
    options = {"train": (X, Y), "fit": FIT, "progress": False} | options
    return pl.improve(build, recipe, **options)


def arrays(model):
    return [np.asarray(w) for w in model.keras.get_weights()]


def cross_entropy(model, x, y):
    p = model.keras.predict(x, verbose=0)[:, 0].astype(float)
    return -np.mean(np.where(y == 1, np.log(p), np.log1p(-p)))


def test_order_says_nothing():
    one, two = pl.Recipe(pl.L2(0.1), pl.Dropout(0.2), pl.L1(0.3)), pl.Recipe(pl.L1(0.3), pl.L2(0.1), pl.Dropout(0.2))
    assert one == two
    assert hash(one) == hash(two)
    assert one != pl.Recipe(pl.L2(0.1), pl.Dropout(0.2))


def test_two_of_a_kind_are_refused():
    with pytest.raises(InvalidOption, match="same thing"):
        pl.Recipe(pl.L2(0.1), pl.L2(0.2))
    with pytest.raises(InvalidOption, match="expected remedies"):
        pl.Recipe("l2")


def test_order_does_not_change_training():
    one = improve(build, pl.Recipe(pl.L2(0.1), pl.Dropout(0.2)))
    two = improve(build, pl.Recipe(pl.Dropout(0.2), pl.L2(0.1)))
    assert all(np.array_equal(a, b) for a, b in zip(arrays(one.model), arrays(two.model), strict=True))


@pytest.mark.parametrize("make", [build, build_own])
def test_log_adds_up_to_the_last_bit(make):
    run = improve(make, pl.Recipe(pl.L2(0.02), pl.L1(0.003)), validation=(HELD_X, HELD_Y))
    history = run.history
    for before in ("", "val_"):
        total = history[f"{before}data_loss"] + history["penalty"]["l1"] + history["penalty"]["l2"]
        np.testing.assert_allclose(history[f"{before}loss"], total, rtol=1e-15)


@pytest.mark.parametrize("make", [build, build_own])
def test_penalties_match_numpy_every_epoch(make):
    seen = []

    class Spy(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append([v.numpy() if hasattr(v, "numpy") else np.asarray(v) for v in kernels(self.model)])

    def kernels(model):
        return [keras.ops.convert_to_numpy(v.value) for v in model.trainable_variables if v.name == "kernel"]

    from pellucid import training
    from pellucid.core.dataset import Dataset
    from pellucid.improve.ledger import Ledger
    from pellucid.improve.log import Log, Part

    model = training.fresh(make, 0)
    model(X[:1])
    ledger = Ledger(model, (pl.L2(0.02), pl.L1(0.003)))
    log = Log(model, ledger, [Part(model, Dataset(X, Y))], 50, np.arange(len(X)))
    with ledger.charged():
        training.fit(model, Dataset(X, Y), settings=FIT, callbacks=[log.callback(), Spy()], progress=False)
    for row, weights in zip(log.rows, seen, strict=True):
        squares = sum(float((w.astype(float) ** 2).sum()) for w in weights)
        sizes = sum(float(np.abs(w.astype(float)).sum()) for w in weights)
        assert row["penalty"]["l2"] == pytest.approx(0.02 * squares, rel=1e-14)
        assert row["penalty"]["l1"] == pytest.approx(0.003 * sizes, rel=1e-14)


def test_data_loss_is_that_of_the_kept_weights():
    run = improve(build, pl.L2(0.05), validation=(HELD_X, HELD_Y))
    assert run.history["data_loss"][-1] == pytest.approx(cross_entropy(run.model, X, Y), rel=1e-5)
    assert run.history["val_data_loss"][-1] == pytest.approx(cross_entropy(run.model, HELD_X, HELD_Y), rel=1e-5)
    right = (run.model.keras.predict(X, verbose=0)[:, 0] > 0.5) == Y
    assert run.history["accuracy"][-1] == pytest.approx(right.mean())


@pytest.mark.parametrize(
    ("remedy", "slope"), [(pl.L2(0.1), lambda w: 0.2 * w), (pl.L1(0.1), lambda w: 0.1 * np.sign(w))]
)
def test_training_follows_the_penalty(remedy, slope):
    """One step of gradient descent: w' = w - rate * (data gradient + penalty gradient), kernels only."""
    one_step = {"epochs": 1, "batch_size": 96, "shuffle": False}
    start = build_own_at(0)
    plain = arrays(improve(build_own, pl.Recipe(), fit=one_step).model)
    priced = arrays(improve(build_own, remedy, fit=one_step).model)
    for before, free, paid in zip(start, plain, priced, strict=True):
        extra = 0.05 * slope(before) if before.ndim > 1 else 0 * before
        np.testing.assert_allclose(paid, free - extra, atol=1e-6)


def build_own_at(seed):
    from pellucid import training

    model = training.fresh(build_own, seed)
    from pellucid.core.randomness import seeded

    with seeded(seed, "recipe"):
        model(X[:1], training=False)
    return [np.asarray(w) for w in model.get_weights()]


def test_running_loss_holds_the_penalty():
    """With a step of zero the weights stay, so Keras's own average equals the exact sum."""

    def still():
        net = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
        net.compile(keras.optimizers.SGD(0.0), "mse", **FAST)
        return net

    run = improve(still, pl.L2(0.5))
    np.testing.assert_allclose(run.history["running"]["loss"], run.history["loss"], rtol=1e-5)


def test_own_penalties_stay_and_are_told_apart():
    def priced():
        net = keras.Sequential(
            [keras.Input((4,)), keras.layers.Dense(1, kernel_regularizer=keras.regularizers.L2(0.3))]
        )
        net.compile(keras.optimizers.SGD(0.0), "mse", **FAST)
        return net

    run = improve(priced, pl.L1(0.1))
    kernel = arrays(run.model)[0].astype(float)
    assert run.history["penalty"]["own"][-1] == pytest.approx(0.3 * (kernel**2).sum(), rel=1e-6)
    np.testing.assert_allclose(run.history["running"]["loss"], run.history["loss"], rtol=1e-5)
    left = run.model.keras.evaluate(X, Y, verbose=0)  # only the model's own penalty is left in its loss
    assert left == pytest.approx(run.history["data_loss"][-1] + run.history["penalty"]["own"][-1], rel=1e-5)


def test_all_includes_biases_and_normalization():
    run = improve(build, pl.L2(1.0, on="all"))
    trained = [keras.ops.convert_to_numpy(v.value).astype(float) for v in run.model.keras.trainable_variables]
    assert run.history["penalty"]["l2"][-1] == pytest.approx(sum((w**2).sum() for w in trained), rel=1e-12)


def test_same_seed_same_weights_other_seed_others():
    recipe = pl.Recipe(pl.Dropout(0.3), pl.L2(0.01))
    one, two, other = (improve(build, recipe, seed=s).model for s in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(arrays(one), arrays(two), strict=True))
    assert not np.array_equal(arrays(one)[0], arrays(other)[0])


def states():
    from pellucid import _backend

    return random.getstate(), np.random.get_state(), _backend.current().random_state()


def test_random_state_is_left_alone():
    keras.utils.set_random_seed(5)
    expected = [random.random(), np.random.random(), np.asarray(keras.ops.convert_to_numpy(keras.random.normal((2,))))]
    keras.utils.set_random_seed(5)
    improve(build, pl.Dropout(0.3))
    found = [random.random(), np.random.random(), np.asarray(keras.ops.convert_to_numpy(keras.random.normal((2,))))]
    assert found[:2] == expected[:2]
    np.testing.assert_array_equal(found[2], expected[2])


def test_interruption_leaves_no_penalty_behind():
    held = []

    def kept():
        held.append(build())
        return held[-1]

    class Interrupting(pl.L2):
        def callbacks(self, *, validated):
            class Stop(keras.callbacks.Callback):
                def on_epoch_end(self, epoch, logs=None):
                    raise KeyboardInterrupt

            return [Stop()]

    before = random.getstate()
    run = improve(kept, Interrupting(0.1))
    assert run.interrupted
    assert run.epochs == 1
    assert "interrupted" in run.provenance.notes[0]
    assert run.history["data_loss"][0] == pytest.approx(cross_entropy(run.model, X, Y), rel=1e-5)
    assert all(v.regularizer is None for v in held[0].trainable_variables)
    assert random.getstate() == before


def test_run_saves_and_loads(tmp_path):
    run = improve(build, pl.Recipe(pl.L2(0.1), pl.Dropout(0.2)))
    run.save(tmp_path / "run")
    back = type(run).load(tmp_path / "run")
    assert back.recipe == run.recipe
    np.testing.assert_array_equal(back.history["penalty"]["l2"], run.history["penalty"]["l2"])
    np.testing.assert_allclose(back.model.predict(X), run.model.predict(X), rtol=1e-6)
    assert type(load(tmp_path / "run")).__name__ == "Run"


def test_own_loss_and_metrics_survive_dropout():
    def own_loss(y, p):
        return keras.ops.mean(keras.ops.abs(y - p), axis=-1)

    def make():
        net = keras.Sequential([keras.Input((4,)), keras.layers.Dense(6), keras.layers.Dense(1)])
        net.compile("sgd", own_loss, metrics=["mse"], **FAST)
        return net

    run = improve(make, pl.Dropout(0.2), train=(X, X[:, :1].sum(1)))
    error = run.model.keras.predict(X, verbose=0)[:, 0] - X[:, 0]
    assert run.history["data_loss"][-1] == pytest.approx(np.abs(error).mean(), rel=1e-5)


def test_bad_input_is_named():
    with pytest.raises(InvalidInput, match="not compiled"):
        improve(lambda: keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)]), pl.Recipe())
    with pytest.raises(InvalidInput, match="Keras model"):
        improve(lambda: 3, pl.Recipe())
    with pytest.raises(InvalidInput, match="no labels"):
        improve(build, pl.Recipe(), train=pl.Dataset(X))
    with pytest.raises(InvalidInput, match="validation"):
        improve(build, pl.EarlyStopping(2))
    with pytest.raises(InvalidInput, match="could not be trained"):
        improve(build, pl.Recipe(), train=(X[:, :3], Y))
    with pytest.raises(InvalidOption, match="callbacks"):
        improve(build, pl.Recipe(), fit={"callbacks": []})


def test_divergence_is_told():
    def wild():
        net = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
        net.compile(keras.optimizers.SGD(1e20), "mse", **FAST)
        return net

    with pytest.raises(TrainingDiverged, match="learning rate"):
        improve(wild, pl.Recipe(), fit={"epochs": 5})


def test_dropout_on_own_code_is_refused():
    with pytest.raises(NotApplicable, match=r"keras.layers.Dropout there"):
        improve(build_own, pl.Dropout(0.2))


def test_a_saved_run_is_read_back_with_its_model(tmp_path):
    run = pl.improve(build, pl.Recipe(), train=(X, Y), fit={"epochs": 1})
    run.save(tmp_path / "run")
    again = load(tmp_path / "run")
    np.testing.assert_array_equal(again.model.predict(X), run.model.predict(X))


@pytest.mark.parametrize("setting", [{"epochs": 0}, {"epochs": 2.5}, {"batch_size": -1}])
def test_settings_that_cannot_train_are_refused(setting):
    with pytest.raises(InvalidOption, match=f"fit: {next(iter(setting))}: expected a whole number of at least 1"):
        pl.improve(build, pl.Recipe(), train=(X, Y), fit=setting)


def test_a_label_that_is_no_class_is_refused_on_every_framework():
    def two_classes():
        net = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, activation="softmax")])
        net.compile("adam", "sparse_categorical_crossentropy", **FAST)
        return net

    with pytest.raises(InvalidInput, match=r"the model's classes are 0 to 1, got [56] at 0"):
        pl.improve(two_classes, pl.Recipe(), train=(X, Y + 5), fit=FIT)


def test_a_builder_must_make_a_new_model_each_time():
    net = build()
    with pytest.raises(InvalidInput, match="give the function that makes it"):
        pl.improve(net, pl.Recipe(), train=(X, Y), fit=FIT)
    pl.improve(lambda: net, pl.Recipe(), train=(X, Y), fit={"epochs": 1})
    with pytest.raises(InvalidInput, match="expected a new model at every call"):
        pl.improve(lambda: net, pl.Recipe(), train=(X, Y), fit={"epochs": 1})


def two_inputs():
    first, second = keras.Input((4,), name="first"), keras.Input((2,), name="second")
    score = keras.layers.Dense(1, activation="sigmoid")(keras.layers.concatenate([first, second]))
    net = keras.Model({"first": first, "second": second}, score)
    net.compile("adam", "binary_crossentropy", metrics=["accuracy", "AUC"], **FAST)
    return net


@pytest.mark.parametrize("batch", [1, 32])
@pytest.mark.parametrize("kind", [float, int, "float32"])
def test_log_is_what_evaluate_finds(batch, kind):
    """Few rows are evaluated in one pass, and more (here with a batch of 1) by Keras: both find what `evaluate` does."""
    x, y = {"first": X.astype(float), "second": X[:, :2] * 2.0}, Y.astype(kind)
    held = {name: part[:40] + 0.5 for name, part in x.items()}, y[:40]
    run = improve(two_inputs, pl.Recipe(), train=(x, y), validation=held, fit={"epochs": 2, "batch_size": batch})
    for before, data in (("", (x, y)), ("val_", held)):
        expected = run.model.keras.evaluate(*data, verbose=0, return_dict=True)
        for name in ("loss", "accuracy", "AUC"):
            assert run.history[before + name][-1] == pytest.approx(expected[name], rel=1e-5)


def zeros(loss, rate=0.05):
    """Builder of a linear model of weights 0."""

    def make():
        net = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, kernel_initializer="zeros")])
        net.compile(keras.optimizers.SGD(rate), loss, **FAST)
        return net

    return make


def distance(y, p):
    return keras.ops.sqrt(keras.ops.square(p - y))  # its slope is NaN where nothing is missing


@pytest.mark.parametrize("epochs", [1, 2])
@pytest.mark.parametrize("rate", [0.05, 1e30])
def test_weights_that_give_no_number_are_not_kept(epochs, rate):
    build = zeros(distance if rate < 1 else "mse", rate)
    with pytest.raises(TrainingDiverged, match="the model has the weights of the start") as told:
        improve(
            build,
            pl.Recipe(),
            train=(X, np.where(np.arange(96) == 7, 0.0, 1.0)),
            fit={"epochs": epochs, "batch_size": 96},
        )
    assert not np.any(told.value.model.get_weights()[0])


def test_what_is_missing_is_said_where_a_loss_is_no_number():
    broken = X.copy()
    broken[11, 2] = np.nan
    with pytest.raises(TrainingDiverged, match="x of example 11 holds NaN"):
        improve(zeros("mse"), pl.Recipe(), train=(broken, Y))
    with pytest.raises(
        (InvalidInput, TrainingDiverged), match="x of example 11 holds NaN"
    ):  # torch refuses such probabilities
        improve(build, pl.Recipe(), train=(broken, Y))
    with pytest.raises(InvalidInput, match="validation: the loss is nan, for x of example 11"):
        improve(zeros("mse"), pl.Recipe(), train=(X + 9, Y), validation=(broken, Y))
    with pytest.raises(InvalidInput, match=r"validation: expected examples of shape \(4,\)"):
        improve(build, pl.Recipe(), train=(X, Y), validation=(HELD_X[:, :3], HELD_Y))


def ended(units, activation, loss):
    def make():
        net = keras.Sequential([keras.Input((4,)), keras.layers.Dense(units, activation=activation)])
        net.compile("sgd", loss, **FAST)
        return net

    return make


@pytest.mark.parametrize(
    ("units", "loss"),
    [
        (1, "binary_crossentropy"), (1, keras.losses.BinaryCrossentropy(name="b")), (2, "categorical_crossentropy"),
        (2, "SparseCategoricalCrossentropy"), (2, keras.losses.SparseCategoricalCrossentropy(name="q")),
        (2, keras.losses.CategoricalCrossentropy(name="c")),
    ],
)  # fmt: skip
def test_labels_that_are_no_class_are_refused_however_a_loss_is_named(units, loss):
    make = ended(units, "sigmoid" if units == 1 else "softmax", loss)
    assert improve(make, pl.Recipe()).epochs == 3
    for wrong in (Y + 1, Y * 2 - 1):
        with pytest.raises(InvalidInput, match=r"y: (the loss|the model's classes)"):
            improve(make, pl.Recipe(), train=(X, wrong))


def test_a_summed_loss_is_that_of_a_step():
    summed = keras.losses.MeanSquaredError(reduction="sum")
    run = improve(zeros(summed, 0.0), pl.Recipe(), train=(X, Y.astype("float32")), validation=(HELD_X, HELD_Y * 1.0))
    np.testing.assert_allclose(run.history["data_loss"], Y.sum() / 3, rtol=1e-5)  # three steps of 32 rows
    assert run.history["running"]["loss"] == pytest.approx(run.history["loss"], rel=1e-5)


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ({"initial_epoch": 1}, "initial_epoch has no place"), ({"validation_freq": 2}, "validation_freq has no place"),
        ({"epochs": True}, "epochs: expected a whole number"), (5, "expected settings by name"),
        ({"sample_weight": [-1.0] * 96}, "from -1"), ({"sample_weight": [1.0, 2.0]}, r"got shape \(2,\)"),
        ({"class_weight": {0: 1, 1: 1, 2: 1}}, "2 is no class"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("recipe", [pl.Recipe(), pl.SharpnessAware()], ids=["plain", "step"])
def test_settings_without_effect_or_sense_are_refused(setting, told, recipe):
    with pytest.raises(InvalidOption, match=told):
        pl.improve(build, recipe, train=(X, Y), fit=setting)


def test_settings_may_come_as_lists_and_numpy_numbers():
    runs = [
        improve(build, pl.Recipe(), fit={"epochs": np.int64(2), "sample_weight": weight})
        for weight in (list(np.ones(96)), np.ones(96), None)
    ]
    assert all(
        np.array_equal(a, b) for run in runs[1:] for a, b in zip(arrays(runs[0].model), arrays(run.model), strict=True)
    )


@pytest.mark.parametrize(
    ("name", "way"),
    [
        ("val_fbeta_score", "max"),
        ("val_mean_io_u", "max"),
        ("val_data_loss", "min"),
        ("val_cosine_loss", "min"),
        ("val_mcc", "max"),
    ],
)
def test_stopping_knows_which_way_is_better(name, way):
    (call,) = pl.EarlyStopping(monitor=name).callbacks(validated=True)
    assert call.mode == way
    (call,) = pl.EarlyStopping(monitor=name, better="lower").callbacks(validated=True)
    assert call.mode == "min"
    with pytest.raises(InvalidOption, match="does not say which way is better"):
        improve(happy, pl.EarlyStopping(monitor="val_happiness"), validation=(HELD_X, HELD_Y))


def happy():
    net = build()
    named = keras.metrics.MeanMetricWrapper(lambda y, p: p, name="happiness")
    net.compile("adam", "binary_crossentropy", metrics=[named], **FAST)
    return net


def test_members_that_are_done_outlive_an_interruption_of_the_next():
    seen = []

    class Interrupting(pl.L2):
        def callbacks(self, *, validated):
            class Stop(keras.callbacks.Callback):
                def on_train_batch_begin(self, batch, logs=None):
                    seen.append(batch)
                    if len(seen) == 8:  # the second step of the third member
                        raise KeyboardInterrupt

            return [Stop()]

    run = improve(build, pl.Recipe(pl.DeepEnsemble(4), Interrupting(0.1)), fit={"epochs": 1})
    assert run.interrupted
    assert len(pl.members(run.model)) == 2
    assert "2 of 4 members are not there" in run.provenance.notes[-1]


@pytest.mark.parametrize("recipe", [pl.MixUp(), pl.SharpnessAware(0.1)], ids=str)
@pytest.mark.parametrize(("outputs", "told"), [(dict, "2 named a, b"), (list, "2 in a list")])
def test_several_outputs_are_told(recipe, outputs, told):
    def make():
        given = keras.Input((4,))
        ends = {name: keras.layers.Dense(1, name=name)(given) for name in "ab"}
        net = keras.Model(given, ends if outputs is dict else list(ends.values()))
        net.compile("sgd", "mse")
        return net

    with pytest.raises(NotApplicable, match=f"one output, and functional.* has {told}"):
        improve(make, recipe)


def test_remedies_keep_copies_of_what_they_are_given():
    groups, taught, mask = ["a", "b"] * 3, np.full((4, 2), 0.5), np.zeros((4,))
    words = {"film": ["movie"]}
    remedies = [pl.GroupDro(groups), pl.Distill(taught), pl.RightReasons(mask), pl.Synonyms(words)]
    before = [(hash(pl.Recipe(r)), repr(r)) for r in remedies]
    groups[0], taught[0], mask[0], words["fine"] = "z", 1, 1, ["good"]
    words["film"].append("picture")
    assert [(hash(pl.Recipe(r)), repr(r)) for r in remedies] == before
    assert remedies[0].groups == ["a", "b"] * 3
    with pytest.raises(ValueError, match="read-only"):
        remedies[1].teacher[0] = 1


def test_equal_remedies_hash_equally():
    assert pl.L2(1) == pl.L2(1.0)
    assert len({pl.Recipe(pl.L2(1)), pl.Recipe(pl.L2(1.0)), pl.Recipe(pl.L2(1.5))}) == 2
    assert len({pl.Distill(np.array([[0.0, 1.0]])), pl.Distill(np.array([[-0.0, 1.0]]))}) == 1
    assert pl.Distill(np.zeros((1, 2))) != pl.Distill(np.zeros((2, 1)))
