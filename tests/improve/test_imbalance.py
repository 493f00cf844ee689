import keras
import numpy as np
import pytest

import pellucid as pl
from improve.by_hand import ONE_HOT, X, Y, check, logs, of_label
from pellucid.errors import InvalidOption, NotApplicable

BOTH = pytest.mark.parametrize("softmax", [True, False])


@BOTH
def test_easy_examples_count_less(softmax):
    check(pl.FocalLoss(2), lambda w: -((1 - np.exp(of_label(w))) ** 2 * of_label(w)).mean(), softmax)


def test_without_gamma_it_is_the_cross_entropy():
    check(pl.FocalLoss(0), lambda w: -of_label(w).mean())


def compiled(loss, outputs, **options):
    """A linear model with this loss."""

    def make():
        net = keras.Sequential([keras.Input((4,)), keras.layers.Dense(outputs)])
        net.set_weights([0.3 * np.arange(4 * outputs).reshape(4, outputs) % 1, np.zeros(outputs)])
        net.compile(keras.optimizers.SGD(0.1), loss, jit_compile=keras.backend.backend() == "jax", **options)
        return net

    return make


def same(make, recipe, **options):
    """The recipe trains as none does, and loses as much on the way."""
    fit = {"epochs": 2, "batch_size": 32, "shuffle": False, **options}
    y = Y if make().output_shape[-1] == 3 else (Y > 0).astype(int)
    plain, run = (pl.improve(make, r, train=(X, y), fit=fit, progress=False) for r in (pl.Recipe(), recipe))
    np.testing.assert_allclose(run.history["running"]["loss"], plain.history["running"]["loss"], rtol=1e-5)
    for mine, its in zip(run.model.keras.get_weights(), plain.model.keras.get_weights(), strict=True):
        np.testing.assert_allclose(mine, its, atol=1e-5)


SPARSE = keras.losses.SparseCategoricalCrossentropy


@pytest.mark.parametrize("recipe", [pl.FocalLoss(0), pl.LabelSmoothing(1e-7), pl.SharpnessAware(1e-9)], ids=str)
@pytest.mark.parametrize("weights", [3.0, [3.0]])
def test_weights_of_the_compiled_loss_are_kept(recipe, weights):
    same(compiled(SPARSE(from_logits=True), 3, loss_weights=weights), recipe)


@pytest.mark.parametrize("outputs", [1, 3])
def test_the_focal_loss_smooths_labels_as_the_compiled_loss_does(outputs):
    kind = keras.losses.BinaryCrossentropy if outputs == 1 else keras.losses.CategoricalCrossentropy
    same(compiled(kind(from_logits=True, label_smoothing=0.3), outputs), pl.FocalLoss(0))


@pytest.mark.parametrize("recipe", [pl.FocalLoss(0), pl.LabelSmoothing(0.1), pl.GroupDro(Y > 0), pl.MixUp()], ids=str)
def test_a_class_that_the_compiled_loss_ignores_is_told(recipe):
    make = compiled(SPARSE(from_logits=True, ignore_class=1), 3)
    with pytest.raises(NotApplicable, match="ignore_class=1"):
        pl.improve(make, recipe, train=(X, Y), progress=False)


@pytest.mark.parametrize("recipe", [pl.SharpnessAware(1e-9), pl.InputGradientPenalty(0.0)], ids=str)
def test_other_steps_ignore_the_class_as_well(recipe):
    """Also with weights of examples, into which Keras multiplies the mask of what counts."""
    weight = np.random.default_rng(2).random(64)
    same(compiled(SPARSE(from_logits=True, ignore_class=1), 3), recipe, sample_weight=weight)


@pytest.mark.parametrize(
    ("recipe", "told"),
    [
        (pl.FocalLoss(1), "FocalLoss"),
        (pl.LabelSmoothing(0.1), "LabelSmoothing"),
        (pl.Distill(np.full((64, 2), 0.5)), "Distill"),
        (pl.AdversarialTraining(0.1, kind="trades"), "AdversarialTraining of kind 'trades'"),
    ],
    ids=["focal", "smoothing", "distill", "trades"],
)
def test_a_regression_is_refused_before_training(recipe, told):
    """In the words of the remedy: what is raised in a step comes in those of Keras."""
    with pytest.raises(NotApplicable, match=f"^{told} is about probabilities .* is no cross-entropy"):
        pl.improve(compiled("mse", 1), recipe, train=(X, X[:, 0]), progress=False)


class Doubled(keras.losses.BinaryCrossentropy):
    """Computes in a way of its own."""

    def call(self, y_true, y_pred):
        return 2 * super().call(y_true, y_pred)


class Renamed(keras.losses.BinaryCrossentropy):
    """Computes as its parent does."""


def binary_crossentropy(y_true, y_pred):
    """Called as Keras's is, and another."""
    return keras.ops.mean(keras.ops.abs(y_true - y_pred), -1)


REMEDIES = pytest.mark.parametrize("recipe", [pl.FocalLoss(0), pl.LabelSmoothing(1e-7)], ids=str)


@REMEDIES
@pytest.mark.parametrize(
    "loss", [keras.losses.BinaryCrossentropy(True, name="b"), Renamed(True)], ids=["named", "derived"]
)
def test_a_cross_entropy_is_known_by_what_it_computes(recipe, loss):
    same(compiled(loss, 1), recipe)


@REMEDIES
@pytest.mark.parametrize(
    "loss", [Doubled(True, name="binary_crossentropy"), binary_crossentropy], ids=["class", "function"]
)
def test_a_loss_that_is_only_called_a_cross_entropy_is_refused(recipe, loss):
    with pytest.raises(NotApplicable, match="is no cross-entropy"):
        pl.improve(compiled(loss, 1), recipe, train=(X, (Y > 0).astype(int)), progress=False)


@BOTH
def test_smooth_labels(softmax):
    soft = 0.9 * ONE_HOT + 0.1 / 3
    check(pl.LabelSmoothing(0.1), lambda w: -(soft * logs(w)).sum(1).mean(), softmax)


def test_smooth_labels_in_the_focal_loss():
    soft = 0.9 * ONE_HOT + 0.1 / 3
    check(
        pl.Recipe(pl.LabelSmoothing(0.1), pl.FocalLoss(1)),
        lambda w: -(soft * (1 - np.exp(logs(w))) * logs(w)).sum(1).mean(),
    )


def test_rare_classes_count_more():
    weight = (1 - 0.9) / (1 - 0.9 ** np.bincount(Y))
    weight *= 3 / weight.sum()
    check(pl.ClassBalanced(0.9), lambda w: -(weight[Y] * of_label(w)).mean())


def test_weights_are_multiplied_with_those_of_classes_and_examples():
    weight = (1 - 0.9) / (1 - 0.9 ** np.bincount(Y))
    weight *= 3 / weight.sum()
    own, given = np.random.default_rng(1).random(64), np.array([1.0, 2.0, 0.5])
    check(
        pl.ClassBalanced(0.9),
        lambda w: -(weight[Y] * given[Y] * own * of_label(w)).mean(),
        sample_weight=own,
        class_weight=dict(enumerate(given)),
    )


@pytest.mark.parametrize("logits", [True, False])
def test_two_classes_with_one_output(logits):
    """The first step of a logistic regression, by hand."""
    x, y = X, (Y > 0).astype(int)
    start = np.full((4, 1), 0.3, "float32")

    def make():
        net = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, activation=None if logits else "sigmoid")])
        net.set_weights([start, np.zeros(1)])
        net.compile(keras.optimizers.SGD(1.0), keras.losses.BinaryCrossentropy(from_logits=logits), jit_compile=False)
        return net

    one_step = {"epochs": 1, "batch_size": 64, "shuffle": False}
    p = 1 / (1 + np.exp(-(x @ start)[:, 0].astype(float)))
    smooth = 0.9 * y + 0.05
    right = np.where(y == 1, p, 1 - p)
    sign = np.where(y == 1, 1, -1)
    focal = sign * (2 * (1 - right) * right * np.log(right) - (1 - right) ** 2) * (1 - right)  # d loss / d score
    for remedy, back in ((pl.LabelSmoothing(0.1), p - smooth), (pl.FocalLoss(2), focal)):
        run = pl.improve(make, remedy, train=(x, y), fit=one_step, progress=False)
        np.testing.assert_allclose(start - run.model.keras.get_weights()[0], x.T @ back[:, None] / 64, atol=1e-6)


def test_values_are_no_classes():
    def make():
        net = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
        net.compile("sgd", "mse", jit_compile=False)
        return net

    for remedy in (pl.FocalLoss(), pl.LabelSmoothing(), pl.ClassBalanced()):
        with pytest.raises(NotApplicable):
            pl.improve(make, remedy, train=(X, X[:, 0]), fit={"epochs": 1}, progress=False)


def test_bad_options_are_told():
    for make in (lambda: pl.FocalLoss(-1), lambda: pl.ClassBalanced(1.0), lambda: pl.LabelSmoothing(0)):
        with pytest.raises(InvalidOption, match="expected"):
            make()


def test_class_weights_that_miss_a_class_are_told():
    for recipe in (pl.Recipe(), pl.FocalLoss()):
        with pytest.raises(InvalidOption, match="a weight for each class, got none for 2"):
            check(recipe, of_label, class_weight={0: 1.0, 1: 2.0})
