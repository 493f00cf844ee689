"""Every builder learns a small planted problem, reads its data in the order that it says, and saves and loads."""

import subprocess
import sys

import numpy as np
import pytest

import pellucid as pl
from pellucid.errors import InvalidOption


def array(tensor):
    from keras import ops

    return ops.convert_to_numpy(tensor)


def table(count, rng):
    """Whether column 0 is positive, turned round where the category in column 3 is 1."""
    x = rng.normal(size=(count, 5)).astype("float32")
    x[:, 3] = rng.integers(0, 3, count)
    return x, ((x[:, 0] > 0) ^ (x[:, 3] == 1)).astype(int)


def text(count, rng):
    """Which of two words is somewhere in a text of 4 to 12 words."""
    x, y, length = rng.integers(1, 30, (count, 12)), rng.integers(0, 2, count), rng.integers(4, 13, count)
    x[np.isin(x, (5, 7))] = 1
    x[np.arange(count), rng.integers(0, length)] = np.where(y, 5, 7)
    x[np.arange(12) >= length[:, None]] = 0
    return x, y


def sequence(count, rng):
    """Whether a bump somewhere in noise goes up or down."""
    x, y = rng.normal(0, 0.3, (count, 48, 2)).astype("float32"), rng.integers(0, 2, count)
    for one, up, start in zip(x, y, rng.integers(0, 40, count)):
        one[start : start + 8, 0] += (2 * up - 1) * 1.5 * np.hanning(8)
    return x, y


def digits(count, rng):
    train, test = pl.data.load("digits")
    return np.concatenate([train.x, test.x])[:count], np.concatenate([train.y, test.y])[:count]


def audio(count, rng):
    data = pl.data.tones(count, 0).data
    return data.x, data.y


def video(count, rng):
    data = pl.data.moving_shapes(count, 0).data
    return data.x, data.y


CASES = {
    "tabular": (lambda **o: pl.models.tabular_transformer(5, 2, {3: 3}, width=16, depth=1, **o), table, 512, 12),
    "text": (lambda **o: pl.models.text_transformer(12, 30, 2, width=16, depth=1, **o), text, 512, 6),
    "sequence": (lambda **o: pl.models.sequence_transformer((48, 2), 2, 4, width=16, depth=1, **o), sequence, 512, 6),
    "vision": (lambda **o: pl.models.vision_transformer((8, 8, 1), 10, 2, depth=1, **o), digits, 800, 8),
    "audio": (lambda **o: pl.models.audio_transformer((64, 32), 2, (4, 32), depth=1, **o), audio, 600, 6),
    "video": (lambda **o: pl.models.video_transformer((12, 16, 16, 1), 4, (3, 4, 4), depth=1, **o), video, 800, 12),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", CASES)
def test_a_builder_learns(kind):
    """Loss falls to less than half, and the accuracy on 200 others is far above guessing."""
    import keras

    build, make, count, epochs = CASES[kind]
    x, y = make(count + 200, np.random.default_rng(0))
    keras.utils.set_random_seed(0)
    model = build()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(4e-3), loss, metrics=["accuracy"])
    before = model.evaluate(x[:count], y[:count], verbose=0)[0]
    model.fit(x[:count], y[:count], epochs=epochs, batch_size=32, verbose=0)
    after, right = (
        model.evaluate(x[:count], y[:count], verbose=0)[0],
        model.evaluate(x[count:], y[count:], verbose=0)[1],
    )
    chance = 1 / model.output_shape[-1]
    print(f"{kind}: loss {before:.2f} to {after:.2f}, accuracy {right:.3f} of {chance:.2f} by chance")
    assert after < before / 2
    assert right > chance + 5 * np.sqrt(chance * (1 - chance) / 200)


@pytest.mark.parametrize("pool", ["class", "mean", "attention"])
@pytest.mark.parametrize("kind", CASES)
def test_a_model_saves_and_loads(kind, pool, tmp_path):
    import keras

    build, make, _, _ = CASES[kind]
    x, _ = make(4, np.random.default_rng(0))
    model = build(pool=pool, alpha={"class": 1.0, "mean": 1.5, "attention": 2.0}[pool])
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_array_equal(array(loaded(x)), array(model(x)))
    again = type(model).from_config(model.get_config())
    again.set_weights(model.get_weights())
    np.testing.assert_array_equal(array(again(x)), array(model(x)))


def test_a_model_file_opens_where_nothing_was_imported(tmp_path):
    path = tmp_path / "model.keras"
    pl.models.tabular_transformer(3, 2, width=8).save(path)
    code = f"from pellucid.core.model_files import load_model; print(load_model({str(path)!r}).name)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert found.strip() == "tabular_transformer"


@pytest.mark.parametrize("shape, patch, build", [
    ((6, 2), (3,), lambda: pl.models.sequence_transformer((6, 2), 2, patch=3)),
    ((4, 6, 3), (2, 3), lambda: pl.models.vision_transformer((4, 6, 3), 2, patch=(2, 3))),
    ((6, 4), (3, 2), lambda: pl.models.audio_transformer((6, 4), 2, patch=(3, 2))),
    ((4, 4, 6, 2), (2, 1, 3), lambda: pl.models.video_transformer((4, 4, 6, 2), 2, patch=(2, 1, 3))),
])  # fmt: skip
def test_patches_are_cut_in_order(shape, patch, build, generator):
    """Token by token: the last axis goes round first, and a token is one linear map of its own patch."""
    import keras

    model = build()
    x = generator.normal(size=(2, *shape)).astype("float32")
    grid = x if len(shape) > len(patch) else x[..., None]
    kernel, bias = model.get_layer("patches").get_weights()
    pieces = tuple(s // p for s, p in zip(shape, patch))
    wanted = []
    for place in np.ndindex(pieces):
        window = tuple(slice(i * p, (i + 1) * p) for i, p in zip(place, patch))
        wanted.append(grid[(slice(None), *window)].reshape(2, -1) @ kernel + bias)
    tokens = keras.Model(model.input, model.get_layer("positions").input)(x)
    np.testing.assert_allclose(array(tokens), np.stack(wanted, 1), atol=1e-5)


@pytest.mark.parametrize("pool", ["class", "mean", "attention"])
def test_padding_of_a_text_does_not_matter(pool):
    """A text has the same logits whatever vector the padding has and however much of it there is."""
    model = pl.models.text_transformer(12, 30, 3, width=16, pool=pool)
    x, _ = text(5, np.random.default_rng(0))
    before = array(model(x))
    table = model.get_layer("embedding").embeddings
    changed = array(table).copy()
    changed[0] = 50.0
    table.assign(changed)
    np.testing.assert_array_equal(array(model(x)), before)
    short = pl.models.text_transformer(9, 30, 3, width=16, pool=pool)
    weights = model.get_weights()
    short.set_weights([w[:9] if w.shape == (12, 16) else w for w in weights])
    x[:, 9:] = 0
    np.testing.assert_allclose(array(short(x[:, :9])), array(model(x)), atol=1e-5)


def test_a_sequence_may_have_any_length(generator):
    model = pl.models.sequence_transformer((None, 2), 3, patch=4)
    for length in (8, 20):
        assert model(generator.normal(size=(2, length, 2)).astype("float32")).shape == (2, 3)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_stays_near(policy, generator):
    import keras

    x, _ = text(5, np.random.default_rng(0))
    full = pl.models.text_transformer(12, 30, 3, width=16)
    keras.config.set_dtype_policy(policy)
    try:
        half = pl.models.text_transformer(12, 30, 3, width=16)
    finally:
        keras.config.set_dtype_policy("float32")
    half.set_weights(full.get_weights())
    gap = np.abs(array(half(x)).astype("float32") - array(full(x))).max()
    assert gap < (0.01 if policy == "mixed_float16" else 0.08), "eight times, for three bits fewer"


@pytest.mark.parametrize("build, told", [
    (lambda: pl.models.vision_transformer((8, 8, 1), 10, patch=3), "does not divide"),
    (lambda: pl.models.video_transformer((8, 8, 8, 1), 10, patch=(2, 2)), "expected 3 whole numbers"),
    (lambda: pl.models.tabular_transformer(5, 2, widht=8), "width"),
    (lambda: pl.models.tabular_transformer(5, 2, width=30, heads=4), "divisor"),
    (lambda: pl.models.tabular_transformer(5, 0), "classes"),
    (lambda: pl.models.tabular_transformer(5, 2, {7: 2}), "columns are 0 to 4"),
    (lambda: pl.models.tabular_transformer(5, 2, pool="last"), "pool"),
    (lambda: pl.models.tabular_transformer(5, 2, alpha=1.2), "alpha"),
])  # fmt: skip
def test_wrong_options_are_refused(build, told):
    with pytest.raises(InvalidOption, match=told):
        build()
