"""Members with rank-one factors against whole kernels, written out in NumPy."""

import keras
import numpy as np
import pytest
from scipy.special import softmax

import pellucid as pl
from pellucid.core.model_files import load_model
from pellucid.errors import InvalidOption, NotApplicable

DRAW = np.random.default_rng(0)
X = DRAW.normal(size=(60, 4)).astype("float32")
Y = (X[:, 0] > 0).astype(int)
FAST = {"jit_compile": keras.backend.backend() == "jax"}


def build():
    net = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(6, activation="relu", name="hidden"),
            keras.layers.Dense(2, activation="softmax", name="last"),
        ]
    )
    net.compile(keras.optimizers.Adam(0.02), "sparse_categorical_crossentropy", **FAST)
    return net


def array(variable):
    return np.array(keras.ops.convert_to_numpy(variable.value), float)


def by_hand(model, x, member):
    """The probabilities of one member, with a whole kernel for each layer."""
    hidden = x.astype(float)
    for name, activation in (("hidden", lambda z: np.maximum(z, 0)), ("last", lambda z: softmax(z, axis=1))):
        before, after = (model.get_layer(f"{name}_{side}_{member}") for side in ("inputs", "outputs"))
        kernel = array(model.get_layer(name).kernel) * np.outer(array(before.kernel), array(after.kernel))
        hidden = activation(hidden @ kernel + array(after.bias))
    return hidden


@pytest.fixture(scope="module")
def run():
    return pl.improve(build, pl.BatchEnsemble(3), train=(X, Y), fit={"epochs": 8, "batch_size": 30}, progress=False)


def test_members_have_kernels_of_their_own(run):
    parts = pl.members(run.model)
    for m, part in enumerate(parts):
        np.testing.assert_allclose(part.probabilities(X), by_hand(run.model.keras, X, m + 1), atol=1e-5)
    mean = np.mean([by_hand(run.model.keras, X, m + 1) for m in range(3)], axis=0)
    np.testing.assert_allclose(run.model.probabilities(X), mean, atol=1e-5)
    assert np.abs(parts[0].scores(X) - parts[1].scores(X)).max() > 0.01


def test_kernels_are_held_once(run):
    assert run.model.keras.count_params() == 4 * 6 + 6 * 2 + 3 * (4 + 6 + 6) + 3 * (6 + 2 + 2)


def test_it_learns(run):
    assert run.history["loss"][-1] < run.history["loss"][0]


def test_it_comes_back_from_its_file(run, tmp_path):
    run.save(tmp_path / "run")
    again = load_model(tmp_path / "run" / "model.keras")
    np.testing.assert_array_equal(again.predict(X, verbose=0), run.model.keras.predict(X, verbose=0))


def test_rows_are_learnt_by_members_in_turn():
    keras.utils.set_random_seed(0)
    net = pl.BatchEnsemble(3).rebuild(build())
    got = keras.ops.convert_to_numpy(net(X[:7], training=True))
    finished = pl.BatchEnsemble(3).finish(net, None, None)
    for i in range(7):
        np.testing.assert_allclose(got[i], by_hand(finished, X[i : i + 1], i % 3 + 1)[0], atol=1e-5)


def test_factors_begin_as_signs_and_weights_stay():
    keras.utils.set_random_seed(0)
    plain = build()
    net = pl.BatchEnsemble(2).rebuild(plain)
    for name in ("hidden_inputs", "hidden_outputs", "last_inputs", "last_outputs"):
        assert set(np.unique(array(net.get_layer(name).scale))) <= {-1.0, 1.0}
    np.testing.assert_array_equal(array(net.get_layer("hidden").kernel), array(plain.get_layer("hidden").kernel))


def test_convolutions_are_shared_too():
    def images():
        x = keras.Input((6, 6, 2))
        h = keras.layers.Conv2D(4, 3, activation="relu", name="hidden")(x)
        net = keras.Model(x, keras.layers.Dense(1, name="last")(keras.layers.GlobalAveragePooling2D()(h)))
        net.compile("adam", "mse", **FAST)
        return net

    x = np.random.default_rng(2).normal(size=(12, 6, 6, 2)).astype("float32")
    run = pl.improve(images, pl.BatchEnsemble(2), train=(x, x.mean(axis=(1, 2, 3))), fit={"epochs": 1}, progress=False)
    model, total = run.model.keras, 0
    patches = np.lib.stride_tricks.sliding_window_view(x.astype(float), (3, 3), axis=(1, 2))  # B H W C i j
    for m in (1, 2):
        before, after = (model.get_layer(f"hidden_{side}_{m}") for side in ("inputs", "outputs"))
        kernel = array(model.get_layer("hidden").kernel) * np.multiply.outer(array(before.kernel), array(after.kernel))
        h = np.maximum(np.einsum("bhwcij,ijco->bhwo", patches, kernel) + array(after.bias), 0).mean(axis=(1, 2))
        before, after = (model.get_layer(f"last_{side}_{m}") for side in ("inputs", "outputs"))
        total = (
            total
            + (h * array(before.kernel) @ array(model.get_layer("last").kernel)) * array(after.kernel)
            + array(after.bias)
        )
    np.testing.assert_allclose(run.model.predict(x), total / 2, atol=1e-5)


def one_layer(**options):
    """A layer of 3 units on 4 inputs, "own", with options of the user."""
    net = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="own", **options)])
    net.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True), **FAST)
    return net


def test_offsets_begin_as_the_bias_and_are_charged_as_it():
    net = pl.BatchEnsemble(2).rebuild(
        one_layer(bias_initializer=keras.initializers.Constant(-3.0), bias_regularizer="l2")
    )
    np.testing.assert_array_equal(array(net.get_layer("own_outputs").bias), np.full((2, 3), -3.0))
    assert float(keras.ops.convert_to_numpy(net.losses[0])) == pytest.approx(
        0.01 * 3 * 9
    )  # of each member, and so of their mean
    net.get_layer("own_outputs").bias.assign([[1.0, 0.0, 0.0], [0.0, 2.0, 1.0]])
    assert float(keras.ops.convert_to_numpy(net.losses[0])) == pytest.approx(0.01 * (1 + 5) / 2)


def test_offsets_begin_as_a_bias_that_was_set():
    plain = one_layer()
    plain.layers[0].bias.assign([1.0, 2.0, 3.0])
    net = pl.BatchEnsemble(2).rebuild(plain)
    np.testing.assert_array_equal(array(net.get_layer("own_outputs").bias), [[1.0, 2.0, 3.0]] * 2)


def test_the_bias_of_each_member_keeps_its_constraint():
    run = pl.improve(
        lambda: one_layer(bias_constraint=keras.constraints.UnitNorm(axis=0)),
        pl.BatchEnsemble(2), train=(X, Y), fit={"epochs": 1}, progress=False,
    )  # fmt: skip
    found = [array(run.model.keras.get_layer(f"own_outputs_{m}").bias) for m in (1, 2)]
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-4)


@pytest.mark.parametrize("activation", ["relu", None])
def test_what_a_layer_puts_out_is_charged(activation):
    net = pl.BatchEnsemble(2).rebuild(one_layer(activation=activation, activity_regularizer=keras.regularizers.L1(0.5)))
    net.get_layer("own_outputs").bias.assign(np.arange(6.0).reshape(2, 3))
    out = keras.ops.convert_to_numpy(net(X)).astype(float)
    (charged,) = net.losses
    assert float(keras.ops.convert_to_numpy(charged)) == pytest.approx(0.5 * np.abs(out).sum() / len(X), rel=1e-5)


def test_a_layer_that_is_not_trained_stays():
    plain = build()
    plain.layers[0].trainable = False
    net = pl.BatchEnsemble(2).rebuild(plain)
    assert [layer.name for layer in net.layers] == ["hidden", "last_inputs", "last", "last_outputs", "last_activation"]


def test_what_cannot_be_is_told():
    with pytest.raises(InvalidOption, match="count"):
        pl.BatchEnsemble(1)

    def nothing():
        net = keras.Sequential([keras.Input((4,)), keras.layers.Rescaling(2.0)])
        net.compile("sgd", "mse")
        return net

    with pytest.raises(NotApplicable, match="no dense or convolution"):
        pl.improve(nothing, pl.BatchEnsemble(2), train=(X, X[:, 0]), progress=False)

    for options in ({"kernel_constraint": "non_neg"}, {"lora_rank": 1}):
        (named,) = options
        with pytest.raises(NotApplicable, match=f"own has .*{named}"):
            pl.BatchEnsemble(2).rebuild(one_layer(**options))
    for rows, batch in ((60, 2), (2, 32)):
        with pytest.raises(InvalidOption, match=r"3 members .* batches have 2: set batch_size to at least 3"):
            pl.improve(
                build, pl.BatchEnsemble(3), train=(X[:rows], Y[:rows]), fit={"batch_size": batch}, progress=False
            )
