"""One small Keras model of every kind: what a method has to get along with, or refuse."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

CLASSES = 3
VOCABULARY = 12
TOKENS = 5
HEADS = 2


@dataclass(frozen=True)
class Kind:
    """A kind of model.

    Attributes:
        name: For files.
        title: For the table.
        build: Gives the Keras model, with weights that are overwritten.
        shapes: The shape of one example of every input, by name.
        convolutions: Whether a class activation map can be made of the layer called "middle".
        tokens: Whether the input is whole numbers that an embedding is read by.
        biases: Whether layers have biases; without, relevance adds up to the score.
        bypassed: Whether something goes around the layer called "middle", so that its values need not add up.
    """

    name: str
    title: str
    build: Callable[[], Any]
    shapes: Mapping[str, tuple[int, ...]]
    convolutions: bool = False
    tokens: bool = False
    biases: bool = True
    bypassed: bool = False


def mlp() -> Any:
    """MLP."""
    from keras import Input, Sequential, layers

    return Sequential([
        Input((6,)), layers.Dense(8, "relu"), layers.Dense(7, "relu", name="middle"), layers.Dense(CLASSES),
    ])  # fmt: skip


def smooth_mlp() -> Any:
    """Smooth MLP."""
    from keras import Input, Sequential, layers

    return Sequential([
        Input((6,)), layers.Dense(8, "tanh"), layers.Dense(8, "softplus", name="middle"), layers.Dense(7, "elu"),
        layers.Dense(6, "sigmoid"), layers.Dense(CLASSES),
    ])  # fmt: skip


def cnn() -> Any:
    """CNN."""
    from keras import Input, Sequential, layers

    return Sequential([
        Input((9, 8, 2)), layers.Conv2D(4, 3, activation="relu"), layers.MaxPooling2D(),
        layers.Conv2D(5, 2, padding="valid", activation="relu", name="middle"), layers.Flatten(), layers.Dense(CLASSES),
    ])  # fmt: skip


def average_cnn() -> Any:
    """CNN without bias."""
    from keras import Input, Sequential, layers

    return Sequential([
        Input((8, 8, 2)), layers.Conv2D(4, 3, activation="relu", use_bias=False), layers.AveragePooling2D(2),
        layers.Conv2D(5, 3, padding="same", activation="relu", use_bias=False, name="middle"),
        layers.GlobalAveragePooling2D(), layers.Dense(CLASSES, use_bias=False),
    ])  # fmt: skip


def normalized_cnn() -> Any:
    """BatchNorm."""
    from keras import Input, Sequential, layers

    return Sequential([
        Input((8, 8, 2)), layers.Conv2D(4, 3), layers.BatchNormalization(), layers.ReLU(), layers.MaxPooling2D(),
        layers.Conv2D(5, 2, use_bias=False), layers.BatchNormalization(), layers.ReLU(name="middle"),
        layers.GlobalAveragePooling2D(), layers.Dense(CLASSES),
    ])  # fmt: skip


def residual() -> Any:
    """Residual."""
    import keras
    from keras import layers

    x = keras.Input((7, 7, 2))
    h = layers.Conv2D(4, 3, activation="relu")(x)
    y = layers.Conv2D(4, 3, padding="same", activation="relu", name="middle")(h)
    h = layers.ReLU()(h + layers.Conv2D(4, 3, padding="same")(y))
    return keras.Model(x, layers.Dense(CLASSES)(layers.GlobalAveragePooling2D()(h)))


def depthwise() -> Any:
    """Depthwise."""
    from keras import Input, Sequential, layers

    return Sequential([
        Input((7, 7, 3)), layers.DepthwiseConv2D(3, depth_multiplier=2, activation="relu"),
        layers.Conv2D(5, 1, activation="relu", name="middle"), layers.GlobalAveragePooling2D(), layers.Dense(CLASSES),
    ])  # fmt: skip


def separable() -> Any:
    """Separable."""
    from keras import Input, Sequential, layers

    return Sequential([
        Input((7, 7, 3)), layers.SeparableConv2D(4, 3, depth_multiplier=2, activation="relu"),
        layers.SeparableConv2D(5, 3, activation="relu", name="middle"), layers.GlobalAveragePooling2D(), layers.Dense(CLASSES),
    ])  # fmt: skip


def conv1d() -> Any:
    """Conv1D."""
    from keras import Input, Sequential, layers

    return Sequential([
        Input((14, 3)), layers.Conv1D(4, 3, dilation_rate=2, activation="relu"), layers.MaxPooling1D(),
        layers.Conv1D(5, 3, activation="relu", name="middle"), layers.GlobalAveragePooling1D(), layers.Dense(CLASSES),
    ])  # fmt: skip


def conv3d() -> Any:
    """Conv3D."""
    from keras import Input, Sequential, layers

    return Sequential([
        Input((5, 5, 5, 1)), layers.Conv3D(3, 2, activation="relu"), layers.MaxPooling3D(),
        layers.Conv3D(4, 2, activation="relu", name="middle"), layers.Flatten(), layers.Dense(CLASSES),
    ])  # fmt: skip


def normalized_mlp() -> Any:
    """LayerNorm."""
    from keras import Input, Sequential, layers

    return Sequential([
        Input((6,)), layers.Dense(8), layers.LayerNormalization(epsilon=1e-5), layers.ReLU(),
        layers.Dense(7, "relu", name="middle"), layers.Dense(CLASSES),
    ])  # fmt: skip


def lstm() -> Any:
    """LSTM."""
    from keras import Input, Sequential, layers

    return Sequential([Input((TOKENS, 3)), layers.LSTM(6, name="middle"), layers.Dense(CLASSES)])


def gru() -> Any:
    """GRU."""
    from keras import Input, Sequential, layers

    return Sequential([Input((TOKENS, 3)), layers.GRU(6, name="middle"), layers.Dense(CLASSES)])


def embedding() -> Any:
    """Embedding."""
    from keras import Input, Sequential, layers

    return Sequential([
        Input((TOKENS,), dtype="int32"), layers.Embedding(VOCABULARY, 6, name="embedding"),
        layers.Conv1D(7, 2, activation="relu", name="middle"), layers.GlobalAveragePooling1D(), layers.Dense(CLASSES),
    ])  # fmt: skip


def attention() -> Any:
    """Attention."""
    import keras
    from keras import layers

    x = keras.Input((TOKENS, 4))
    h = layers.Dense(6)(x)
    h = h + layers.MultiHeadAttention(HEADS, 3, name="middle")(h, h)
    h = layers.LayerNormalization(epsilon=1e-5)(h)
    h = h + layers.Dense(6)(layers.Dense(8, "relu")(h))
    return keras.Model(x, layers.Dense(CLASSES)(layers.GlobalAveragePooling1D()(h)))


def two_inputs() -> Any:
    """Two inputs."""
    import keras
    from keras import layers

    a, b = keras.Input((5,), name="a"), keras.Input((6, 6, 2), name="b")
    left = layers.Dense(6, "relu")(a)
    right = layers.Flatten()(layers.Conv2D(3, 3, activation="relu")(b))
    h = layers.Dense(7, "relu", name="middle")(layers.Concatenate()([left, right]))
    return keras.Model({"a": a, "b": b}, layers.Dense(CLASSES)(h))


def shared() -> Any:
    """Shared layer."""
    import keras
    from keras import layers

    x, twice = keras.Input((6,)), layers.Dense(6)
    h = layers.ReLU(name="middle")(twice(layers.ReLU()(twice(x))))
    return keras.Model(x, layers.Dense(CLASSES)(h))


def gated() -> Any:
    """Gate."""
    import keras
    from keras import layers

    x = keras.Input((6,))
    h = layers.Multiply()([layers.Dense(8, "sigmoid")(x), layers.Dense(8, "tanh")(x)])
    return keras.Model(x, layers.Dense(CLASSES)(layers.Dense(7, "relu", name="middle")(h)))


def nested() -> Any:
    """A model in a model."""
    import keras
    from keras import layers

    inner = keras.Sequential([keras.Input((6,)), layers.Dense(7, "relu"), layers.Dense(6, "relu", name="middle")])
    x = keras.Input((6,))
    return keras.Model(x, layers.Dense(CLASSES)(inner(layers.Dense(6, "relu")(x))))


def subclassed() -> Any:
    """A model with a call of its own, and operations in it."""
    import keras
    from keras import layers, ops

    class Subclassed(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = layers.Dense(7, name="middle"), layers.Dense(CLASSES)

        def call(self, x: Any) -> Any:
            h = ops.relu(self.first(x))
            return self.last(h + 0.5 * ops.flip(h, axis=1))

    net = Subclassed()
    net(ops.zeros((1, 6)))
    return net


def operations() -> Any:
    """A functional model with nodes of `keras.ops`."""
    import keras
    from keras import layers, ops

    x = keras.Input((6,))
    h = ops.relu(layers.Dense(8, name="middle")(x))
    h = ops.concatenate([h[:, :4], h[:, 4:] * 2], axis=1) - ops.mean(h, axis=1, keepdims=True)
    return keras.Model(x, layers.Dense(CLASSES)(ops.gelu(h)))


def vision_transformer() -> Any:
    """Patches of an image as tokens, one block of attention."""
    import keras
    from keras import layers

    x = keras.Input((8, 8, 1))
    h = layers.Reshape((16, 6))(layers.Conv2D(6, 2, strides=2)(x))
    h = layers.LayerNormalization(name="middle")(h)
    h = h + layers.MultiHeadAttention(HEADS, 3)(h, h)
    return keras.Model(x, layers.Dense(CLASSES)(layers.GlobalAveragePooling1D()(h)))


KINDS = {
    kind.name: kind
    for kind in (
        Kind("mlp", "MLP", mlp, {"x": (6,)}),
        Kind("smooth_mlp", "Smooth MLP", smooth_mlp, {"x": (6,)}),
        Kind("cnn", "CNN", cnn, {"x": (9, 8, 2)}, convolutions=True),
        Kind(
            "average_cnn",
            "CNN without bias",
            average_cnn,
            {"x": (8, 8, 2)},
            convolutions=True,
            biases=False,
        ),
        Kind("normalized_cnn", "BatchNorm", normalized_cnn, {"x": (8, 8, 2)}, convolutions=True),
        Kind("residual", "Residual", residual, {"x": (7, 7, 2)}, convolutions=True, bypassed=True),
        Kind("depthwise", "Depthwise", depthwise, {"x": (7, 7, 3)}, convolutions=True),
        Kind("separable", "Separable", separable, {"x": (7, 7, 3)}, convolutions=True),
        Kind("conv1d", "Conv1D", conv1d, {"x": (14, 3)}, convolutions=True),
        Kind("conv3d", "Conv3D", conv3d, {"x": (5, 5, 5, 1)}, convolutions=True),
        Kind("normalized_mlp", "LayerNorm", normalized_mlp, {"x": (6,)}),
        Kind("lstm", "LSTM", lstm, {"x": (TOKENS, 3)}),
        Kind("gru", "GRU", gru, {"x": (TOKENS, 3)}),
        Kind("embedding", "Embedding", embedding, {"x": (TOKENS,)}, convolutions=True, tokens=True),
        Kind("attention", "Attention", attention, {"x": (TOKENS, 4)}, bypassed=True),
        Kind("two_inputs", "Two inputs", two_inputs, {"a": (5,), "b": (6, 6, 2)}),
        Kind("shared", "Shared layer", shared, {"x": (6,)}),
        Kind("gated", "Gate", gated, {"x": (6,)}),
        Kind("nested", "Nested", nested, {"x": (6,)}),
        Kind("subclassed", "Subclassed", subclassed, {"x": (6,)}),
        Kind("operations", "keras.ops", operations, {"x": (6,)}),
        Kind("vision_transformer", "ViT", vision_transformer, {"x": (8, 8, 1)}, convolutions=True, bypassed=True),
    )
}
"""Every kind there is, by name."""
