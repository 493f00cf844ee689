"""Models whose attention is known: they put out the token that they attend to."""

import keras
import numpy as np
import pytest
from keras import layers, ops


class Pick(layers.Layer):
    """Attends by the first feature of a token, and gives the others: softmax(gain x_0) x_1.. ; masks honoured."""

    def __init__(self, gain=8.0, **options):
        super().__init__(**options)
        self.gain, self.supports_masking = gain, True

    def call(self, inputs, mask=None):
        scores = self.gain * inputs[:, None, None, :, 0]
        if mask is not None:
            scores = ops.where(ops.cast(mask, "bool")[:, None, None, :], scores, -1e9)
        return self.attend(ops.softmax(scores), inputs[:, None, :, 1:])[:, 0, 0]

    def attend(self, weights, values):
        return ops.matmul(weights, values)

    def compute_mask(self, inputs, mask=None):
        return None

    def compute_output_shape(self, input_shape):
        return (input_shape[0], input_shape[-1] - 1)


@pytest.fixture
def picking():
    """Makes a Keras model of tokens (T, 1 + D) whose head works on the attended token's D last features."""

    def make(positions, features, head, gain=8.0, masked=False):
        tokens = keras.Input((positions, features + 1))
        hidden = layers.Masking()(tokens) if masked else tokens
        return keras.Model(tokens, head(Pick(gain, name="pick")(hidden)))

    return make


@pytest.fixture
def flagged():
    """Makes tokens (B, T, 1 + D): the first feature is 1 at one position and 0 elsewhere, the others are normal."""

    def make(examples, positions, features, *, equal=False, seed=0):
        draw = np.random.default_rng(seed)
        values = draw.normal(size=(examples, 1 if equal else positions, features))
        flags = np.eye(positions)[draw.integers(positions, size=examples)][..., None]
        return np.concatenate([flags, np.broadcast_to(values, (examples, positions, features))], -1).astype("float32")

    return make
