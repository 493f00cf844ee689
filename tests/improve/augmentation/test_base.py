"""What all augmentations share: they act in training alone, draw anew at every step, and the seed decides all of it."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import pellucid as pl
from pellucid.core.registry import entries
from pellucid.core.tensors import to_array
from pellucid.improve.step import Step
from pellucid.training import fresh

DRAW = np.random.default_rng(0)
Y = np.arange(40) % 3
WORDS = ["", "[UNK]", "film", "movie", "good", "bad", "great", "plot", "dull", "was"]
IMAGES = pl.Dataset(DRAW.random((40, 8, 8, 3)).astype("float32"), Y)
TABLE = pl.Dataset(DRAW.normal(size=(40, 4)).astype("float32"), Y)
TEXT = pl.Dataset(DRAW.integers(2, 10, (40, 8)).astype("int32"), Y, vocabulary=WORDS)
SERIES = pl.Dataset(DRAW.normal(size=(40, 12, 2)).astype("float32"), Y)
SPECTRA = pl.Dataset(DRAW.normal(size=(40, 12, 10)).astype("float32"), Y, kind="audio")
WAVES = pl.Dataset(DRAW.normal(size=(40, 20)).astype("float32"), Y, kind="audio")

USES = {
    "images": (IMAGES, (pl.Flip(), pl.Crop(2), pl.Erasing(), pl.MixUp(each="example"))),
    "policies": (IMAGES, (pl.RandAugment(1), pl.AugMix(2, 1), pl.CutMix())),
    "tables": (TABLE, (pl.TableNoise(), pl.ColumnSwap(), pl.MixUp())),
    "texts": (TEXT, (pl.TokenDeletion(), pl.TokenSwap(), pl.Typos(), pl.Synonyms({"film": ["movie"]}))),
    "series": (SERIES, (pl.Jitter(), pl.Scaling(), pl.TimeWarp(), pl.WindowSlice())),
    "sounds": (SPECTRA, (pl.SpecAugment(), pl.TimeShift(around=True))),
    "waves": (WAVES, (pl.WaveformNoise(), pl.TimeShift())),
}
FIT = {"epochs": 2, "batch_size": 16}


def build(data):
    def make():
        text = data.kind == "text"
        start = keras.Input(data.x.shape[1:], dtype="int32" if text else "float32")
        hidden = layers.Flatten()(layers.Embedding(len(WORDS), 4)(start) if text else start)
        net = keras.Model(start, layers.Dense(3, activation="softmax")(hidden))
        jit = keras.backend.backend() == "jax"
        net.compile(
            keras.optimizers.SGD(0.05), "sparse_categorical_crossentropy", metrics=["accuracy"], jit_compile=jit
        )
        return net

    return make


def test_every_augmentation_is_among_them():
    used = {type(remedy).__name__ for _, remedies in USES.values() for remedy in remedies} | {"Smote"}
    assert used == {e.name for e in entries("improve") if ".augmentation." in e.module}


@pytest.mark.parametrize("use", USES)
def test_they_train_together_and_the_seed_decides(use):
    data, remedies = USES[use]
    recipe = pl.Recipe(*remedies)
    one = pl.improve(build(data), recipe, train=data, fit=FIT, seed=0, progress=False)
    if use in ("images", "texts"):
        two = pl.improve(build(data), pl.Recipe(*remedies[::-1]), train=data, fit=FIT, seed=0, progress=False)
        weights = [run.model.keras.get_weights() for run in (one, two)]
        assert all(np.array_equal(a, b) for a, b in zip(*weights, strict=True))
    assert np.isfinite(one.history["loss"]).all()
    np.testing.assert_allclose(one.history["loss"], one.history["data_loss"])
    p = one.model.predict(data.x)[np.arange(40), Y]
    np.testing.assert_allclose(one.history["data_loss"][-1], -np.log(p).mean(), rtol=1e-4)  # of the data as they are
    assert len(one.model.keras.weights) == len(build(data)().weights)  # nothing of them stays


@pytest.mark.parametrize("use", ["images", "tables", "texts"])
def test_every_step_of_a_compiled_training_draws_anew(use):
    """A model that puts out what it is given, and a metric that keeps a number of it for every step."""
    data, remedies = USES[use]
    seen = []

    class Watch(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append(logs["loss"])

    def make():
        net = build(data)()
        jit = keras.backend.backend() != "torch" and (use == "tables" or keras.backend.backend() == "jax")
        net.compile(keras.optimizers.SGD(0.0), net.loss, jit_compile=jit)
        return net

    step = Step(fresh(make, 0), remedies, data, seed=0)
    step.model.fit(step.given(), Y, batch_size=40, epochs=6, shuffle=False, verbose=0, callbacks=[Watch()])
    assert len({round(float(s), 6) for s in seen}) == 6  # nothing is learnt, so only the draws differ
    state = to_array(step.held[remedies[0].slot].generator.state.value)
    assert state[1] > 0


def test_evaluation_sees_the_data_as_they_are():
    data, remedies = USES["images"]
    step = Step(fresh(build(data), 0), remedies, data)
    inputs = {name: ops.convert_to_tensor(a) for name, a in step.given().items()}
    expected = step.native.predict(data.x, verbose=0)
    np.testing.assert_allclose(to_array(step.model(inputs, training=False)), expected, rtol=1e-5)


def test_several_inputs_by_name_are_mixed_in_training_too():
    x = {"rows": TABLE.x, "pictures": IMAGES.x}

    def make():
        rows, pictures = keras.Input((4,), name="rows"), keras.Input((8, 8, 3), name="pictures")
        joined = layers.Concatenate()([rows, layers.Flatten()(pictures)])
        net = keras.Model({"rows": rows, "pictures": pictures}, layers.Dense(3, activation="softmax")(joined))
        net.compile("sgd", "sparse_categorical_crossentropy", jit_compile=keras.backend.backend() == "jax")
        return net

    options = {
        "train": pl.Dataset(x, Y),
        "fit": {"epochs": 1, "sample_weight": np.linspace(0, 1, 40)},
        "progress": False,
    }
    one, plain = (pl.improve(make, r, **options) for r in (pl.MixUp(1.0), pl.Recipe()))
    assert np.isfinite(one.history["loss"]).all()
    assert not np.array_equal(one.model.keras.get_weights()[0], plain.model.keras.get_weights()[0])


def test_they_go_with_what_weighs_or_softens_labels():
    """Weights and shares are mixed like everything else: the loss of a step is the same, whichever remedy made them."""
    recipe = [pl.ClassBalanced(0.9), pl.LabelSmoothing(0.1), pl.FocalLoss(0.0), pl.MixUp(0.5)]
    y = np.minimum(Y, 1)  # two of three are of class 1
    step = Step(fresh(build(TABLE), 0), recipe, pl.Dataset(TABLE.x, y), seed=0)
    inputs = {name: ops.convert_to_tensor(a) for name, a in step.given().items()}
    batch = step.batch(inputs)
    for remedy in step.remedies:
        batch = remedy.change(batch, step, step.held[remedy.slot])
    p = step.native.predict(to_array(batch.x), verbose=0)
    expected = np.mean(to_array(batch.weight) * -(to_array(batch.y) * np.log(p)).sum(1))
    np.testing.assert_allclose(to_array(step.loss(batch)[0]), expected, rtol=1e-4)
    np.testing.assert_allclose(to_array(batch.y).sum(1), 1, rtol=1e-5)
    own = (1 - 0.9) / (1 - 0.9 ** np.bincount(y))
    np.testing.assert_allclose(to_array(batch.weight).sum(), (2 * own / own.sum())[y].sum(), rtol=1e-4)


def test_what_mixes_comes_after_what_does_not():
    order = [type(r).__name__ for r in pl.Recipe(*USES["images"][1], pl.RandAugment()).remedies]
    assert order == ["Crop", "Flip", "RandAugment", "Erasing", "MixUp"]


def test_types_of_inputs_stay():
    x = (IMAGES.x * 255).astype("uint8")
    draws = pl.RandAugment().attach(None, pl.Dataset(x, Y), 0)
    from pellucid.improve.base import Batch

    found = pl.RandAugment().change(Batch(ops.convert_to_tensor(x), ops.zeros((40,))), None, draws).x
    assert keras.backend.standardize_dtype(found.dtype) == "uint8"


def test_a_run_says_what_was_assumed():
    run = pl.improve(build(IMAGES), pl.Erasing(), train=IMAGES, fit={"epochs": 1}, progress=False)
    assert run.provenance.notes == ("Erasing took the values of images to lie between 0 and 1",)
