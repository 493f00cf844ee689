import keras
import numpy as np
import pytest

import pellucid as pl

layers = keras.layers


def size(start, *body):
    return pl.size_of(keras.Sequential([keras.Input(start), *body]))


def test_weights_and_those_that_are_not_zero():
    net = keras.Sequential([keras.Input((4,)), layers.Dense(3), layers.BatchNormalization(), layers.Dense(2)])
    kernel = np.ones((4, 3), "float32")
    kernel[:, 1] = 0
    net.layers[0].set_weights([kernel, np.zeros(3)])
    found = pl.size_of(pl.wrap(net))
    assert found.weights == net.count_params() == 15 + 12 + 8
    assert found.nonzero == 8 + 6 + 6  # of the normalization only gamma and the moving variance
    assert found.multiply_adds == 12 + 6


@pytest.mark.parametrize(
    ("start", "layer", "expected"),
    [
        ((5,), layers.Dense(3), 15),
        ((7, 5), layers.Dense(3), 7 * 15),
        ((7, 5), layers.EinsumDense("abc,cde->abde", (None, 2, 4)), 7 * 5 * 8),
        ((9, 9, 2), layers.Conv2D(4, 3, strides=2), 16 * 9 * 2 * 4),
        ((9, 9, 4), layers.Conv2D(6, 3, padding="same", groups=2), 81 * 9 * 2 * 6),
        ((9, 9, 2), layers.DepthwiseConv2D(3, depth_multiplier=3), 49 * 9 * 2 * 3),
        ((9, 9, 2), layers.SeparableConv2D(5, 3), 49 * (9 * 2 + 2 * 5)),
        ((4, 4, 3), layers.Conv2DTranspose(5, 2, strides=2), 16 * 4 * 3 * 5),
        ((8, 3), layers.Conv1D(2, 3), 6 * 3 * 3 * 2),
        ((6, 6, 6, 1), layers.Conv3D(2, 3), 64 * 27 * 2),
        ((7, 5), layers.LSTM(3), 7 * 4 * (5 * 3 + 3 * 3)),
        ((7, 5), layers.GRU(3, return_sequences=True), 7 * 3 * (5 * 3 + 3 * 3)),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_multiply_adds_by_the_loops_that_would_do_them(start, layer, expected):
    assert size(start, layer).multiply_adds == expected


def test_attention_multiplies_inputs_with_inputs():
    """Queries, keys, values and output: 4 T F^2; weights and what they are laid on: 2 T^2 F."""
    start = keras.Input((6, 8))
    net = keras.Model(start, layers.MultiHeadAttention(2, 4)(start, start))
    assert pl.size_of(net).multiply_adds == 4 * 6 * 64 + 2 * 36 * 8
    tokens = keras.Input((6,), dtype="int32")
    net = keras.Model(tokens, pl.layers.TransformerBlock(2, hidden=16)(layers.Embedding(9, 8)(tokens)))
    assert pl.size_of(net).multiply_adds == 4 * 6 * 64 + 2 * 36 * 8 + 2 * 6 * 8 * 16


def test_a_layer_that_serves_twice_counts_twice():
    one, two = keras.Input((3,)), keras.Input((3,))
    shared = layers.Dense(4)
    net = keras.Model([one, two], layers.add([shared(one), shared(two)]))
    assert pl.size_of(net).multiply_adds == 24
    assert pl.size_of(net).weights == 16


class Own(keras.layers.Layer):
    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1], 2))

    def call(self, x):
        return keras.ops.matmul(x, self.kernel)


def test_what_cannot_be_counted_is_not_told():
    assert size((3,), Own()).multiply_adds is None
    net = keras.Sequential([keras.Input((None, 3)), layers.Dense(2)])
    assert pl.size_of(net).multiply_adds is None
    assert pl.size_of(net, np.zeros((4, 5, 3), "float32")).multiply_adds == 30
    assert "30 multiply-adds" in str(pl.size_of(net, np.zeros((4, 5, 3), "float32")))
