import keras
import numpy as np
import pytest

import pellucid as pl
from pellucid.errors import InvalidOption, NotApplicable

DRAW = np.random.default_rng(0)
X = DRAW.normal(size=(96, 6)).astype("float32")
Y = (X[:, 0] + X[:, 1] > 0).astype(int)
layers = keras.layers
JIT = keras.backend.backend() == "jax"
FIT = {"epochs": 4, "batch_size": 16}


def optimizers():
    return {
        "momentum": keras.optimizers.SGD(0.05, momentum=0.9),
        "adam": keras.optimizers.Adam(0.01),
        "averaged": keras.optimizers.Adam(0.01, use_ema=True, ema_momentum=0.9),
    }


def builder(name="adam"):
    def build():
        net = keras.Sequential(
            [keras.Input((6,)), layers.Dense(11, "relu"), layers.BatchNormalization(), layers.Dense(2, "softmax")]
        )
        net.compile(optimizers()[name], "sparse_categorical_crossentropy", metrics=["accuracy"], jit_compile=JIT)
        return net

    return build


def prune(remedy, build=None, **more):
    return pl.improve(build or builder(), remedy, train=(X, Y), fit=FIT, progress=False, **more)


def zeros(run):
    return [int((np.asarray(v.value if not hasattr(v.value, "detach") else v.value.detach()) == 0).sum())
            for v in run.model.keras.trainable_variables if v.name == "kernel"]  # fmt: skip


@pytest.mark.parametrize("name", ["momentum", "adam", "averaged"])
def test_the_share_of_zeros_is_exact_in_each_layer(name):
    """Momentum and averages would bring weights back; the masks do not let them."""
    run = prune(pl.Prune(0.7), builder(name))
    assert zeros(run) == [round(0.7 * 66), round(0.7 * 22)]


@pytest.mark.parametrize("over", ["epochs", "steps"])
def test_a_mean_of_weights_has_these_zeros_too(over):
    run = prune(pl.Recipe(pl.Prune(0.7, end=1.0), pl.WeightAveraging(over=over, start=0.0, momentum=0.9)))
    assert zeros(run) == [round(0.7 * 66), round(0.7 * 22)]


@pytest.mark.parametrize("end", [0.5, 1.0])
def test_the_share_of_zeros_is_exact_over_the_model(end):
    run = prune(pl.Prune(0.7, over="model", end=end))
    assert sum(zeros(run)) == round(0.7 * 88)
    again = run.model.keras.evaluate(X, Y, verbose=0, return_dict=True)
    assert run.history["data_loss"][-1] == pytest.approx(again["loss"], rel=1e-5), "the log is of the pruned model"


def test_the_schedule_is_cubic():
    """At every step at least the share that is due, of the weights that were smallest when it was drawn."""
    seen = []

    class Spy(pl.Prune):
        def callbacks(self, *, validated):
            class Note(keras.callbacks.Callback):
                def on_train_batch_end(self, batch, logs=None):
                    if hasattr(self.model, "jax_state_sync"):
                        self.model.jax_state_sync()
                    kernel = keras.ops.convert_to_numpy(self.model.layers[0].kernel.value)
                    seen.append((kernel == 0).sum())

            return [*super().callbacks(validated=validated), Note()]

    run = prune(Spy(0.8, begin=0.25, end=0.75, updates=6))
    times = np.arange(1, 25) / 24
    due = np.floor(np.clip((times - 0.25) / 0.5, 0, 1) * 6 + 1e-9) / 6
    np.testing.assert_array_equal(seen, np.round(66 * 0.8 * (1 - (1 - due) ** 3)).astype(int))
    assert run.epochs == 4


def test_masks_take_the_smallest():
    values = [np.array([[0.1, -0.5], [0.3, -0.2]]), np.array([[1.0, 0.25]])]
    each = pl.Prune(0.5).masks(values, 0.5)
    np.testing.assert_array_equal(each[0], [[0, 1], [1, 0]])
    np.testing.assert_array_equal(each[1], [[1, 0]])
    joined = pl.Prune(0.5, over="model").masks(values, 0.5)
    np.testing.assert_array_equal(joined[0], [[0, 1], [1, 0]])
    np.testing.assert_array_equal(joined[1], [[1, 0]])
    np.testing.assert_array_equal(pl.Prune(0.9, over="model").masks([np.ones(2), np.zeros(2)], 0.5), [[1, 1], [0, 0]])


def test_what_is_left_is_trained_as_if_the_rest_were_not_there():
    """Descent in NumPy with the mask that the first weights give, laid on after every step."""
    start = DRAW.normal(size=(6, 1)).astype("float32")
    y = X @ np.arange(6.0)

    def build():
        net = keras.Sequential([keras.Input((6,)), layers.Dense(1, use_bias=False)])
        net.set_weights([start])
        net.compile(keras.optimizers.SGD(0.1, momentum=0.9), "mse", jit_compile=JIT)
        return net

    fit = {"epochs": 10, "batch_size": 96, "shuffle": False}
    run = pl.improve(build, pl.Prune(0.5, end=0.1, updates=1), train=(X, y), fit=fit, progress=False)
    w, speed, mask, x = start[:, 0].astype(float), 0.0, 1.0, X.astype(float)
    for step in range(10):
        speed = 0.9 * speed - 0.1 * 2 * x.T @ (x @ w - y) / len(y)
        w = (w + speed) * mask
        if step == 0:
            mask = (np.abs(w) > np.sort(np.abs(w))[2]).astype(float)
            w = w * mask
    np.testing.assert_allclose(np.asarray(run.model.keras.get_weights()[0])[:, 0], w, atol=2e-5)


def test_nothing_is_left_behind(tmp_path):
    run = prune(pl.Recipe(pl.Prune(0.5), pl.SpectralNorm(0.01)))
    plain = prune(pl.Recipe())
    net = run.model.keras
    assert all(v.constraint is None for v in net.trainable_variables)
    assert len(net.optimizer.variables) == len(plain.model.keras.optimizer.variables)
    assert len(net.variables) == len(plain.model.keras.variables)
    run.save(tmp_path / "run")
    back = type(run).load(tmp_path / "run")
    np.testing.assert_allclose(back.model.predict(X), run.model.predict(X), rtol=1e-6)
    assert zeros(back) == [33, 11]


def interrupting(hook, at):
    """Pruning with a Ctrl-C in an epoch."""

    class Interrupting(pl.Prune):
        def callbacks(self, *, validated):
            def stop(epoch, logs=None):
                if epoch == at:
                    raise KeyboardInterrupt

            return [*super().callbacks(validated=validated), keras.callbacks.LambdaCallback(**{hook: stop})]

    return Interrupting


def test_interruption_leaves_the_share_of_its_moment():
    run = prune(interrupting("on_epoch_end", 1)(0.8, end=1.0))
    assert run.interrupted
    assert all(v.constraint is None for v in run.model.keras.trainable_variables)
    assert zeros(run)[0] in (round(66 * 0.8 * (1 - 0.75**3)), round(66 * 0.8 * (1 - 0.5**3)))


def test_an_interrupted_mean_of_weights_has_zeros_as_well():
    run = prune(pl.Recipe(interrupting("on_epoch_begin", 3)(0.8, end=1.0), pl.WeightAveraging(start=0)))
    assert "mean of those after epochs 1 to 3" in run.provenance.notes[0]
    assert zeros(run)[0] == round(66 * 0.8 * (1 - 0.25**3))


class Own(keras.Model):
    """Subclassed, with a step of its own on each backend's terms left to Keras, and a table that is not pruned."""

    def __init__(self):
        super().__init__()
        self.table, self.last = layers.Embedding(5, 4), layers.Dense(1, use_bias=False)

    def call(self, x):
        return self.last(self.table(x)[:, 0])


def test_a_subclassed_model_and_its_embedding():
    def build():
        net = Own()
        net.compile("adam", "mse", jit_compile=JIT)
        return net

    tokens = np.arange(96)[:, None] % 5
    run = pl.improve(build, pl.Prune(0.5), train=pl.Dataset(tokens, X[:, 0]), fit=FIT, progress=False)
    table, kernel = run.model.keras.get_weights()
    assert (table == 0).sum() == 0
    assert (kernel == 0).sum() == 2


def test_where_it_has_no_place():
    def constrained():
        net = keras.Sequential([keras.Input((6,)), layers.Dense(1, kernel_constraint="non_neg")])
        net.compile("sgd", "mse", jit_compile=JIT)
        return net

    def none():
        net = keras.Sequential([keras.Input((6, 1)), layers.BatchNormalization(), layers.GlobalAveragePooling1D()])
        net.compile("sgd", "mse", jit_compile=JIT)
        return net

    with pytest.raises(NotApplicable, match="constraint already"):
        prune(pl.Prune(0.5), constrained)
    with pytest.raises(NotApplicable, match="no kernel"):
        pl.improve(none, pl.Prune(0.5), train=(X[..., None], Y), fit=FIT, progress=False)
    with pytest.raises(InvalidOption, match="before the last connections went"):
        pl.Recipe(pl.Prune(0.5), pl.EarlyStopping(3))
    with pytest.raises(InvalidOption, match="as many zeros"):
        pl.Recipe(pl.Prune(0.5), pl.SnapshotEnsemble(2))
    for options in ({"share": 1.0}, {"end": 0.0}, {"begin": 0.8}, {"end": 1.2}, {"over": "unit"}, {"updates": 0}):
        with pytest.raises(InvalidOption, match="Prune"):
            pl.Prune(**options)


@pytest.mark.slow
def test_digits_keep_their_accuracy_with_a_tenth_of_the_weights():
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    x, order = (x / 16).astype("float32"), np.random.default_rng(0).permutation(len(x))
    train, test = order[:1200], order[1200:]

    def build():
        net = keras.Sequential(
            [keras.Input((64,)), layers.Dense(128, "relu"), layers.Dense(64, "relu"), layers.Dense(10, "softmax")]
        )
        net.compile(keras.optimizers.Adam(0.003), "sparse_categorical_crossentropy", jit_compile=JIT)
        return net

    recipes = {"plain": pl.Recipe(), "prune": pl.Prune(0.9), "narrow": pl.ReduceWidth(0.25)}
    found = {}
    for name, recipe in recipes.items():
        run = pl.improve(build, recipe, train=(x[train], y[train]), fit={"epochs": 20}, progress=False)
        found[name] = pl.size_of(run.model), float((run.model.predict(x[test]).argmax(1) == y[test]).mean())
        print(name, *found[name])
    sizes = {name: size.nonzero for name, (size, _) in found.items()}
    assert found["prune"][0].weights == found["plain"][0].weights
    assert sizes["prune"] < 0.13 * sizes["plain"]
    assert found["narrow"][0].weights < 0.2 * found["plain"][0].weights
    for name in ("prune", "narrow"):
        assert found[name][1] > found["plain"][1] - 0.03, found
