import keras
import numpy as np
import pytest

import pellucid as pl
from pellucid.errors import InvalidOption, NotApplicable

DRAW = np.random.default_rng(0)
X = DRAW.normal(size=(32, 6)).astype("float32")
Y = X[:, 0]
JIT = keras.backend.backend() == "jax"
layers = keras.layers


def compiled(start, end):
    model = keras.Model(start, end)
    model.compile("sgd", "mse", jit_compile=JIT)
    return model


def residual():
    """Three branches around which x flows, one of them written with +; then linear, so that means pass through."""
    start = keras.Input((6,))
    hidden = start
    for i in range(3):
        branch = layers.Dense(6, bias_initializer="random_normal", name=f"branch_{i}")(hidden)
        hidden = branch + hidden if i == 1 else layers.Add()([hidden, branch])
    return compiled(start, layers.Dense(1)(hidden))


def network():
    """As He et al.: two blocks, the second with a projection beside it, one inside a model of its own.

    The projection has 16 channels: of fewer, oneDNN in PyTorch writes beyond its memory on some processors.
    """
    start = keras.Input((8, 8, 3))
    inner = keras.Input((8, 8, 16))
    branch = layers.Conv2D(4, 3, padding="same")(layers.ReLU()(layers.BatchNormalization()(inner)))
    block = keras.Model(inner, layers.add([inner, layers.Conv2D(16, 3, padding="same")(branch)]), name="block")
    hidden = block(layers.Conv2D(16, 3, padding="same")(start))
    branch = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu")(hidden)
    around = layers.BatchNormalization()(layers.Conv2D(8, 1, strides=2)(hidden))
    hidden = layers.add([layers.Conv2D(8, 3, padding="same")(branch), around])
    return compiled(start, layers.Dense(1)(layers.GlobalAveragePooling2D()(hidden)))


def ends(model):
    found = [layer for layer in model._flatten_layers() if layer.name.startswith("recipe_stochastic_depth")]
    drops = [d for d in found if isinstance(d, layers.Dropout)]
    return drops, [s for s in found if isinstance(s, layers.Rescaling)]


@pytest.mark.parametrize("build", [residual, network])
def test_survival_falls_linearly_from_input_to_output(build):
    drops, shares = ends(pl.StochasticDepth(0.4).rebuild(build()))
    count = 3 if build is residual else 2
    expected = [1 - (i / count) * 0.6 for i in range(1, count + 1)]
    order = sorted(range(count), key=lambda i: drops[i].name)
    np.testing.assert_allclose([1 - drops[i].rate for i in order], expected)
    np.testing.assert_allclose([s.scale for s in sorted(shares, key=lambda s: s.name)], expected)
    np.testing.assert_allclose(pl.StochasticDepth(0.4).survivals(count), expected)


def by_hand(model, kept):
    """The residual model in NumPy, each branch times a number."""
    w = [np.asarray(a, float) for a in model.get_weights()]
    hidden = X.astype(float)
    for i, share in enumerate(kept):
        hidden = hidden + share * (hidden @ w[2 * i] + w[2 * i + 1])
    return (hidden @ w[-2] + w[-1])[:, 0]


def test_in_use_each_branch_counts_by_its_survival():
    model = residual()
    rebuilt = pl.StochasticDepth(0.4).rebuild(model)
    np.testing.assert_allclose(
        rebuilt.predict(X, verbose=0)[:, 0], by_hand(model, [0.8, 0.6, 0.4]), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("per", ["batch", "example"])
def test_in_training_branches_are_there_or_not(per):
    """Every output is one of the eight that all or some branches give, each as often as it should be."""
    model = residual()
    rebuilt = pl.StochasticDepth(0.4, per=per).rebuild(model)
    choices = [(a, b, c) for a in (0, 1) for b in (0, 1) for c in (0, 1)]
    table = np.array([by_hand(model, kept) for kept in choices])
    runs = 400 if per == "batch" else 40
    drawn = np.array([keras.ops.convert_to_numpy(rebuilt(X, training=True))[:, 0] for _ in range(runs)])
    gaps = np.abs(drawn[:, None] - table).max(-1) if per == "batch" else np.abs(drawn[:, None] - table)
    assert gaps.min(1).max() < 1e-4
    which = gaps.argmin(1).ravel()
    chance = np.array([np.prod([s if k else 1 - s for k, s in zip(kept, (0.8, 0.6, 0.4))]) for kept in choices])
    found = np.bincount(which, minlength=8) / which.size
    assert (np.abs(found - chance) < 4.5 * np.sqrt(chance * (1 - chance) / which.size)).all()


def test_the_mean_over_draws_is_what_is_used():
    """Branches that do not feed each other and a linear end: the mean over draws is the output in use."""
    start = keras.Input((6,))
    model = compiled(start, layers.Dense(1)(layers.add([start, layers.Dense(6)(start)])))
    rebuilt = pl.StochasticDepth(0.3, per="example").rebuild(model)
    many = np.repeat(X[:1], 20000, axis=0)
    drawn = keras.ops.convert_to_numpy(rebuilt(many, training=True))[:, 0].astype(float)
    used = rebuilt.predict(X[:1], verbose=0)[0, 0]
    assert drawn.mean() == pytest.approx(used, abs=4.5 * drawn.std() / np.sqrt(len(drawn)))


def test_training_and_saving(tmp_path):
    images = DRAW.normal(size=(32, 8, 8, 3)).astype("float32")
    run = pl.improve(network, pl.StochasticDepth(0.7), train=(images, Y), fit={"epochs": 2}, progress=False)
    run.save(tmp_path / "run")
    back = type(run).load(tmp_path / "run")
    np.testing.assert_allclose(back.model.predict(images), run.model.predict(images), rtol=1e-5, atol=1e-6)


def plain():
    start = keras.Input((6,))
    return compiled(start, layers.Dense(1)(layers.Dense(5)(start)))


def two_alike():
    """A sum of two layers of the same depth: neither goes around the other."""
    start = keras.Input((6,))
    return compiled(start, layers.Dense(1)(layers.add([layers.Dense(5)(start), layers.Dense(5)(start)])))


def two_inputs():
    one, two = keras.Input((6,)), keras.Input((6,))
    return compiled([one, two], layers.Dense(1)(layers.add([one, layers.Dense(6)(two)])))


def positions():
    start = keras.Input((6,), dtype="int32")
    both = layers.add([layers.Embedding(9, 4)(start), layers.Embedding(9, 4)(start)])
    return compiled(start, layers.Dense(1)(layers.Flatten()(both)))


@pytest.mark.parametrize("build", [plain, two_alike, two_inputs, positions])
def test_what_has_no_branch_is_refused(build):
    with pytest.raises(NotApplicable, match="no residual branch"):
        pl.StochasticDepth(0.5).rebuild(build())


def test_bad_options():
    for options in ({"survival": 1.0}, {"per": "layer"}):
        with pytest.raises(InvalidOption, match="StochasticDepth"):
            pl.StochasticDepth(**options)
