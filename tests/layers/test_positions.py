"""Positions against their formulas."""

import numpy as np
import pytest

import pellucid as pl
from pellucid.errors import InvalidInput


@pytest.mark.parametrize("width", [1, 5, 8])
def test_waves_equal_the_formula(width, as_array, generator, round_trip):
    x = generator.normal(size=(2, 30, width)).astype("float32")
    wanted = np.empty((30, width))
    for t, i in np.ndindex(wanted.shape):
        angle = t / 100 ** ((i - i % 2) / width)
        wanted[t, i] = np.cos(angle) if i % 2 else np.sin(angle)
    layer = pl.layers.SinusoidalPositions(wavelength=100)
    np.testing.assert_allclose(as_array(layer(x)), x + wanted, atol=5e-6)
    round_trip(layer, x)


def test_learned_positions_are_added(as_array, generator, round_trip):
    x = generator.normal(size=(2, 4, 3)).astype("float32")
    layer = pl.layers.LearnedPositions(length=6)
    layer.build(x.shape)
    table = generator.normal(size=(6, 3)).astype("float32")
    layer.set_weights([table])
    np.testing.assert_allclose(as_array(layer(x)), x + table[:4], atol=1e-6)
    round_trip(pl.layers.LearnedPositions(), x)


def test_more_tokens_than_positions_are_refused(generator):
    layer = pl.layers.LearnedPositions(length=3)
    with pytest.raises(InvalidInput, match="4 tokens but 3 positions"):
        layer(np.zeros((1, 4, 2), "float32"))
    with pytest.raises(InvalidInput, match="any length"):
        pl.layers.LearnedPositions().build((None, None, 2))


@pytest.mark.parametrize("name", ["SinusoidalPositions", "LearnedPositions"])
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float32"])
def test_masks_and_precision_are_kept(name, policy):
    import keras

    tokens = keras.layers.Embedding(4, 5, mask_zero=True, dtype=policy)(np.array([[1, 2, 0]]))
    y = getattr(pl.layers, name)(dtype=policy)(tokens)
    assert policy.removeprefix("mixed_") in str(y.dtype)
    mask = keras.ops.convert_to_numpy(keras.src.backend.get_keras_mask(y))
    assert mask.tolist() == [[True, True, False]]


@pytest.mark.parametrize("name", ["SinusoidalPositions", "LearnedPositions"])
def test_gradient_is_that_of_a_sum(name, jacobian, generator):
    upstream = generator.normal(size=(2, 3, 4))
    layer = getattr(pl.layers, name)()
    layer.build((2, 3, 4))
    np.testing.assert_allclose(jacobian(layer, np.ones((2, 3, 4)), upstream), upstream, atol=1e-6)
