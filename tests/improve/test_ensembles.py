"""Ensembles against the mean of their members, found with NumPy; also when read back, explained and calibrated."""

import runpy
from pathlib import Path

import keras
import numpy as np
import pytest
from scipy import stats
from scipy.special import expit, softmax

import pellucid as pl
from pellucid.core.model_files import load_model
from pellucid.errors import InvalidOption, NotApplicable
from pellucid.improve.base import StepRemedy
from pellucid.improve.joining import joined

DRAW = np.random.default_rng(0)
X = DRAW.normal(size=(64, 4)).astype("float32")
Y = (X[:, 0] + X[:, 1] > 0).astype(int) + (X[:, 2] > 0.5)
FAST = {"jit_compile": keras.backend.backend() == "jax"}
FIT = {"epochs": 2, "batch_size": 16}
METHODS = [
    pl.Gradient(), pl.IntegratedGradients(), pl.LayerRelevance(pl.Epsilon()), pl.DeepLift(), pl.Occlusion(),
    pl.PermutationShapley(max_evaluations=100),
]  # fmt: skip


class Nothing(StepRemedy):
    """Leaves a step as it is, but makes it one that a recipe changes."""

    slot = "nothing"


def build(width=3, end="softmax"):
    """Builder of a small net: classes by softmax, one by sigmoid, logits, or a value."""

    def make():
        soft = {"softmax": "softmax", "sigmoid": "sigmoid"}.get(end)
        net = keras.Sequential(
            [
                keras.Input((4,)),
                keras.layers.Dense(8, activation="relu"),
                keras.layers.BatchNormalization(),
                keras.layers.Dropout(0.3),
                keras.layers.Dense(width, activation=soft),
            ]
        )
        loss = {
            "softmax": "sparse_categorical_crossentropy",
            "sigmoid": "binary_crossentropy",
            "logits": keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            "value": "mse",
        }[end]
        net.compile(keras.optimizers.Adam(0.02), loss, **FAST)
        return net

    return make


def nets(count=3, **options):
    found = []
    for seed in range(count):
        keras.utils.set_random_seed(seed)
        found.append(build(**options)())
    return found


def improve(recipe, width=3, end="softmax", **options):
    y = {"value": X[:, 0] * 2, "sigmoid": Y > 0}.get(end, Y)
    given = {"train": (X, y), "fit": FIT, "progress": False, **options}
    return pl.improve(build(width, end), recipe, **given)


def test_a_joined_model_gives_the_mean_of_probabilities():
    parts = nets()
    net = joined(parts)
    np.testing.assert_allclose(
        net.predict(X, verbose=0), np.mean([p.predict(X, verbose=0) for p in parts], axis=0), atol=1e-6
    )
    scores = pl.wrap(net).scores(X)
    np.testing.assert_allclose(softmax(scores.astype(float), axis=1), net.predict(X, verbose=0), atol=1e-6)
    assert net.optimizer is not parts[0].optimizer


def test_joined_logits_are_the_logarithm_of_the_mean():
    parts = nets(end="logits")
    mean = np.mean([softmax(p.predict(X, verbose=0).astype(float), axis=1) for p in parts], axis=0)
    found = joined(parts)
    np.testing.assert_allclose(found.predict(X, verbose=0), np.log(mean), atol=1e-5)
    assert found.evaluate(X, Y, verbose=0) == pytest.approx(-np.log(mean[np.arange(64), Y]).mean(), rel=1e-5)


def test_joined_answers_to_one_question_and_values():
    yes, values = nets(width=1, end="sigmoid"), nets(width=1, end="value")
    mean = np.mean([p.predict(X, verbose=0).astype(float) for p in yes], axis=0)
    found = pl.wrap(joined(yes))
    np.testing.assert_allclose(expit(found.scores(X).astype(float)), mean, atol=1e-6)
    assert found.binary
    np.testing.assert_allclose(
        joined(values).predict(X, verbose=0), np.mean([p.predict(X, verbose=0) for p in values], axis=0), atol=1e-6
    )


def test_the_first_member_is_the_model_alone():
    alone, run = improve(pl.Recipe()), improve(pl.DeepEnsemble(2))
    one, two = pl.members(run.model)
    np.testing.assert_allclose(one.scores(X), alone.model.scores(X), atol=1e-6)
    assert np.abs(one.scores(X) - two.scores(X)).max() > 0.01
    both = np.mean([m.probabilities(X) for m in (one, two)], axis=0)
    np.testing.assert_allclose(run.model.probabilities(X), both, atol=1e-6)


RECIPES = (pl.DeepEnsemble(2), pl.SnapshotEnsemble(2), pl.McDropout(3), pl.BatchEnsemble(2))


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda r: type(r).__name__)
def test_an_ensemble_is_a_model_like_any_other(recipe, tmp_path):
    held = np.random.default_rng(5).normal(size=(40, 4)).astype("float32")
    labels = (held[:, 0] + held[:, 1] > 0).astype(int) + (held[:, 2] > 0.5)
    run = improve(
        pl.Recipe(recipe, pl.TemperatureScaling()), validation=(held, labels), fit={"epochs": 10, "batch_size": 16}
    )
    t = 1 / run.model.keras.get_layer("temperature_scaling").scale
    parts = pl.members(run.model)
    mean = np.mean([softmax(m.scores(X).astype(float), axis=1) for m in parts], axis=0)
    np.testing.assert_allclose(
        run.model.probabilities(X), softmax(np.log(mean) / t, axis=1), atol=1e-5
    )  # the mean first, then T
    run.save(tmp_path / "run")
    again = load_model(tmp_path / "run" / "model.keras")
    np.testing.assert_array_equal(again.predict(X, verbose=0), run.model.keras.predict(X, verbose=0))
    for one, two in zip(parts, pl.members(again), strict=True):
        np.testing.assert_allclose(one.scores(X), two.scores(X), atol=1e-6)
    found, *_ = pl.measure(run.model, pl.Performance(), test=(held, labels), progress=False)
    assert found.value == pytest.approx(np.mean(run.model.probabilities(held).argmax(axis=1) == labels))


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS, ids=lambda m: type(m).__name__)
@pytest.mark.parametrize("recipe", RECIPES, ids=lambda r: type(r).__name__)
def test_every_ensemble_can_be_explained(recipe, method):
    run = improve(recipe)
    e = pl.explain(run.model, X[:4], method, target=1, progress=False)
    assert np.isfinite(e.values).all()
    assert np.abs(e.values).max() > 0
    if isinstance(method, pl.DeepLift | pl.PermutationShapley):
        assert (e.gap < 1e-4).all()


@pytest.mark.parametrize("end", ["softmax", "sigmoid"])
def test_the_gradient_of_an_ensemble_is_the_weighted_mean_of_its_members(end):
    width = 3 if end == "softmax" else 1
    net = pl.wrap(joined(nets(width=width, end=end)))
    parts = pl.members(net)
    found = pl.explain(net, X[:5], pl.Gradient(), target=1, progress=False).values
    if end == "sigmoid":
        p = np.array([m.probabilities(X[:5])[:, 1] for m in parts])
        slopes = [pl.explain(m, X[:5], pl.Gradient(), target=1, progress=False).values for m in parts]
        mean = p.mean(axis=0)
        exact = sum((q * (1 - q) / (3 * mean * (1 - mean)))[:, None] * s for q, s in zip(p, slopes, strict=True))
    else:
        p = np.array([m.probabilities(X[:5]) for m in parts])
        exact = 0
        for q, m in zip(p, parts, strict=True):
            each = [pl.explain(m, X[:5], pl.Gradient(), target=k, progress=False).values for k in range(3)]
            own = each[1] - sum(q[:, k, None] * each[k] for k in range(3))
            exact = exact + (q[:, 1] / p[:, :, 1].sum(axis=0))[:, None] * own
    np.testing.assert_allclose(found, exact, rtol=1e-3, atol=1e-5)


def test_relevance_and_differences_of_equal_members_are_those_of_one():
    one = nets(1, width=1, end="sigmoid")[0]
    net = joined([one, one])
    for method in (pl.LayerRelevance(pl.Epsilon()), pl.DeepLift(), pl.IntegratedGradients()):
        a, b = (pl.explain(m, X[:5], method, target=1, progress=False).values for m in (one, net))
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("others", [(), (Nothing(),)], ids=["plain", "changed step"])
def test_snapshots_are_the_weights_at_the_ends_of_cycles(others):
    seen, rates = [], []

    class Spy(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            rates.append(float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)))

        def on_epoch_end(self, epoch, logs=None):
            seen.append([np.array(keras.ops.convert_to_numpy(w)) for w in self.model.trainable_variables])

    class Watched(pl.SnapshotEnsemble):
        def callbacks(self, *, validated):
            return [*super().callbacks(validated=validated), Spy()]

    run = improve(pl.Recipe(Watched(cycles=2), *others), fit={"epochs": 5, "batch_size": 16})
    np.testing.assert_allclose(rates, [0.02, 0.01, 0.02, 0.015, 0.005], rtol=1e-4)  # cycles of 2 and 3 epochs
    for member, epoch in zip(pl.members(run.model), (1, 4), strict=True):
        held = [keras.ops.convert_to_numpy(w) for w in member.keras.trainable_variables]
        for a, b in zip(held, seen[epoch], strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("at", "kept", "told"),
    [(4, 3, "whole cycles, after epochs 2, 4"), (3, 1, "at its end, after epoch 2"), (1, 0, "no cycle was whole")],
)
def test_interrupted_snapshots_are_those_of_whole_cycles(at, kept, told):
    class Interrupting(pl.SnapshotEnsemble):
        def callbacks(self, *, validated):
            class Stop(keras.callbacks.Callback):
                def on_epoch_begin(self, epoch, logs=None):
                    if epoch == at:
                        raise KeyboardInterrupt

            return [*super().callbacks(validated=validated), Stop()]

    run = improve(Interrupting(cycles=3), fit={"epochs": 6, "batch_size": 16})
    assert (run.interrupted, run.epochs, run.kept) == (True, at, kept)
    (note,) = run.provenance.notes
    assert told in note
    last = pl.members(run.model)[-1] if at > 3 else run.model
    loss = -np.log(softmax(last.scores(X).astype(float), axis=1)[np.arange(64), Y]).mean()
    assert run.history["data_loss"][run.kept] == pytest.approx(loss, rel=1e-4)


def test_snapshots_need_epochs_and_a_rate_that_can_be_set():
    with pytest.raises(InvalidOption, match="3 cycles take as many epochs"):
        improve(pl.SnapshotEnsemble(3))


def test_mc_dropout_is_the_mean_over_masks_written_out():
    net = nets(1)[0]
    found = pl.McDropout(samples=4, seed=3).fit(net)
    first, norm, _, last = net.layers
    w, b = (keras.ops.convert_to_numpy(v) for v in first.weights)
    hidden = np.maximum(X @ w + b, 0) / np.sqrt(1 + norm.epsilon)
    total = 0
    for s in range(4):
        mask = keras.ops.convert_to_numpy(found.keras.get_layer(f"mask_{s + 1}_of_{net.layers[2].name}").kernel)
        assert set(np.round(mask, 4)) <= {0.0, np.float32(1.4286)}
        total = total + softmax(hidden * mask @ keras.ops.convert_to_numpy(last.kernel), axis=1)
    np.testing.assert_allclose(found.predict(X), total / 4, atol=1e-5)
    np.testing.assert_allclose(found.predict(X[3:5]), found.predict(X)[3:5], atol=1e-6)  # whatever stands beside a row
    again = pl.McDropout(samples=4, seed=3).fit(net)
    np.testing.assert_array_equal(found.predict(X), again.predict(X))
    assert np.abs(pl.McDropout(samples=4, seed=4).fit(net).predict(X) - found.predict(X)).max() > 1e-3


def test_mc_dropout_tends_to_the_mean_of_keras_own_draws():
    net = nets(1)[0]
    keras.utils.set_random_seed(0)
    norm = net.layers[1]
    norm.trainable = False  # statistics stay
    own = np.mean([keras.ops.convert_to_numpy(net(X, training=True)) for _ in range(400)], axis=0)
    norm.trainable = True
    found = pl.McDropout(samples=200).fit(net).predict(X)
    assert np.abs(found - own).mean() < 0.01


def test_masks_serve_images_and_places_of_any_number():
    x = keras.Input((6, 6, 2))
    h = keras.layers.SpatialDropout2D(0.5)(keras.layers.Conv2D(4, 3)(x))
    image = keras.Model(x, keras.layers.Dense(1)(keras.layers.Dropout(0.5)(keras.layers.Flatten()(h))))
    image.compile("sgd", "mse")
    found = pl.McDropout(samples=2).fit(image)
    assert found.predict(np.ones((3, 6, 6, 2), "float32")).shape == (3, 1)
    t = keras.Input((None, 3))
    text = keras.Model(t, keras.layers.Dense(1)(keras.layers.GlobalAveragePooling1D()(keras.layers.Dropout(0.5)(t))))
    text.compile("sgd", "mse")
    assert pl.McDropout(samples=2).fit(text).predict(np.ones((2, 7, 3), "float32")).shape == (2, 1)


def test_a_branch_that_is_left_out_as_a_whole_is_so_in_each_draw():
    start = keras.Input((4,))
    branch = keras.layers.Dropout(0.5, noise_shape=(1, 1), name="whole")(keras.layers.Dense(4, name="branch")(start))
    net = keras.Model(start, keras.layers.Add()([start, branch]))
    net.compile("sgd", "mse")
    found = pl.McDropout(samples=6).fit(net)
    scales = np.array([found.keras.get_layer(f"mask_{s + 1}_of_whole").scale for s in range(6)])
    assert set(scales) == {0.0, 2.0}  # divided by the share that is kept
    kernel = keras.ops.convert_to_numpy(net.get_layer("branch").kernel)
    np.testing.assert_allclose(found.predict(X), X + scales.mean() * (X @ kernel), atol=1e-5)


def test_dropout_without_effect_asks_for_no_mask():
    start = keras.Input((5, 4))
    hidden = keras.layers.MultiHeadAttention(1, 4, dropout=0.5)(start, start)  # stays switched off
    hidden = keras.layers.Dropout(0.5, name="seen")(pl.layers.TransformerBlock(1)(hidden))
    net = keras.Model(start, keras.layers.Dense(1)(keras.layers.Flatten()(hidden)))
    net.compile("sgd", "mse")
    found = pl.McDropout(samples=2).fit(net)
    one, two = (m.scores(np.ones((3, 5, 4), "float32")) for m in pl.members(found))
    assert np.abs(one - two).max() > 1e-3


class Inside(keras.layers.Layer):
    """Dropout in a call of its own."""

    def __init__(self):
        super().__init__(name="block")
        self.drop = keras.layers.Dropout(0.5, name="drop")

    def call(self, x, training=None):
        return self.drop(x, training=training)


class Own(keras.Model):
    """The same, as a model."""

    def __init__(self):
        super().__init__(name="own")
        self.block, self.last = Inside(), keras.layers.Dense(1)

    def call(self, x, training=None):
        return self.last(self.block(x, training=training))


def test_dropout_where_no_mask_can_be_put_is_named():
    block = pl.layers.TransformerBlock(1, dropout=0.5, name="block")
    mean = keras.layers.GlobalAveragePooling1D()
    for net, told in (
        (
            keras.Sequential([keras.Input((4,)), keras.layers.Dropout(0.2), Inside(), keras.layers.Dense(1)]),
            "block/drop",
        ),
        (keras.Sequential([keras.Input((5, 4)), block, mean, keras.layers.Dense(1)]), "block/branch_dropout"),
        (Own(), "block/drop"),
    ):
        net.compile("sgd", "mse")
        net(np.ones((1, *(net.input_shape[1:] if net.built else (4,))), "float32"))
        with pytest.raises(NotApplicable, match=f"in the place of {told}, which"):
            pl.McDropout(samples=2).fit(net)


def test_dropout_that_is_shared_by_two_widths_is_told():
    start, drop = keras.Input((4,)), keras.layers.Dropout(0.5, name="shared")
    net = keras.Model(start, keras.layers.Dense(1)(drop(keras.layers.Dense(3)(drop(start)))))
    net.compile("sgd", "mse")
    with pytest.raises(
        NotApplicable, match=r"shared is called on tensors of several shapes \(\(None, 4\), \(None, 3\)\)"
    ):
        pl.McDropout(samples=2).fit(net)


def test_what_cannot_be_is_told():
    with pytest.raises(InvalidOption, match="same thing"):
        pl.Recipe(pl.DeepEnsemble(), pl.SnapshotEnsemble())
    with pytest.raises(InvalidOption, match="stopping would cut short"):
        pl.Recipe(pl.SnapshotEnsemble(), pl.EarlyStopping())
    with pytest.raises(InvalidOption, match="members"):
        pl.DeepEnsemble(1)
    plain = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    plain.compile("sgd", "mse")
    with pytest.raises(NotApplicable, match="no Dropout layers"):
        pl.McDropout().fit(plain)
    with pytest.raises(NotApplicable, match="has no members"):
        pl.members(plain)


@pytest.mark.slow
def test_members_together_know_better():
    """Lakshminarayanan et al.: the log loss falls; on digits and breast cancer over 3 splits, against the mean member."""
    from sklearn.datasets import load_breast_cancer, load_digits
    from sklearn.model_selection import train_test_split

    for source in (load_digits, load_breast_cancer):
        x, y = source(return_X_y=True)
        gains = []
        for seed in range(3):
            a, b, ya, yb = train_test_split(x, y, test_size=0.3, random_state=seed, stratify=y)
            centre, spread = a.mean(axis=0), a.std(axis=0) + 1e-6
            a, b = ((v - centre) / spread for v in (a, b))

            classes = len(set(y))

            def make(width=x.shape[1], classes=classes):
                net = keras.Sequential(
                    [
                        keras.Input((width,)),
                        keras.layers.Dense(50, activation="relu"),
                        keras.layers.Dense(classes, activation="softmax"),
                    ]
                )
                net.compile(keras.optimizers.Adam(0.003), "sparse_categorical_crossentropy", **FAST)
                return net

            train = (a.astype("float32"), ya)
            run = pl.improve(make, pl.DeepEnsemble(5), train=train, fit={"epochs": 10}, seed=seed, progress=False)
            loss = lambda m: -np.log(m.probabilities(b.astype("float32"))[np.arange(len(yb)), yb] + 1e-12).mean()  # noqa: B023, E731
            gains.append([loss(run.model), np.mean([loss(m) for m in pl.members(run.model)])])
        together, alone = np.mean(gains, axis=0)
        print(f"{source.__name__}: log loss of 5 together {together:.4f}, of one {alone:.4f}")
        assert together < alone
        assert all(t < o for t, o in gains)  # by convexity, on every split


@pytest.mark.slow
def test_several_networks_know_their_spread_better():
    """Published (Lakshminarayanan et al. 2017): five have the better likelihood; their error may even be larger."""
    compared = runpy.run_path(str(Path(__file__).parents[2] / "examples" / "spread_of_values.py"))["compared"]
    found = compared(splits=6, epochs=40)
    gain = found[:, 1, 1] - found[:, 0, 1]
    assert gain.mean() + stats.t.ppf(0.95, len(gain) - 1) * stats.sem(gain) < 0
