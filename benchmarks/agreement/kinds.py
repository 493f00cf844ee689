"""One small Keras model of every kind, and what it is asked about. `twins.py` has the same models in torch."""

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
    from keras import Input, Sequential, layers

    return Sequential([
        Input((6,)), layers.Dense(8, "relu"), layers.Dense(7, "relu", name="middle"), layers.Dense(CLASSES),
    ])  # fmt: skip


def smooth_mlp() -> Any:
    from keras import Input, Sequential, layers

    return Sequential([
        Input((6,)), layers.Dense(8, "tanh"), layers.Dense(8, "softplus", name="middle"), layers.Dense(7, "elu"),
        layers.Dense(6, "sigmoid"), layers.Dense(CLASSES),
    ])  # fmt: skip


def cnn() -> Any:
    from keras import Input, Sequential, layers

    return Sequential([
        Input((9, 8, 2)), layers.Conv2D(4, 3, activation="relu"), layers.MaxPooling2D(),
        layers.Conv2D(5, 2, padding="valid", activation="relu", name="middle"), layers.Flatten(), layers.Dense(CLASSES),
    ])  # fmt: skip


def average_cnn() -> Any:
    from keras import Input, Sequential, layers

    return Sequential([
        Input((8, 8, 2)), layers.Conv2D(4, 3, activation="relu", use_bias=False), layers.AveragePooling2D(2),
        layers.Conv2D(5, 3, padding="same", activation="relu", use_bias=False, name="middle"),
        layers.GlobalAveragePooling2D(), layers.Dense(CLASSES, use_bias=False),
    ])  # fmt: skip


def normalized_cnn() -> Any:
    from keras import Input, Sequential, layers

    return Sequential([
        Input((8, 8, 2)), layers.Conv2D(4, 3), layers.BatchNormalization(), layers.ReLU(), layers.MaxPooling2D(),
        layers.Conv2D(5, 2, use_bias=False), layers.BatchNormalization(), layers.ReLU(name="middle"),
        layers.GlobalAveragePooling2D(), layers.Dense(CLASSES),
    ])  # fmt: skip


def residual() -> Any:
    import keras
    from keras import layers

    x = keras.Input((7, 7, 2))
    h = layers.Conv2D(4, 3, activation="relu")(x)
    y = layers.Conv2D(4, 3, padding="same", activation="relu", name="middle")(h)
    h = layers.ReLU()(h + layers.Conv2D(4, 3, padding="same")(y))
    return keras.Model(x, layers.Dense(CLASSES)(layers.GlobalAveragePooling2D()(h)))


def depthwise() -> Any:
    from keras import Input, Sequential, layers

    return Sequential([
        Input((7, 7, 3)), layers.DepthwiseConv2D(3, depth_multiplier=2, activation="relu"),
        layers.Conv2D(5, 1, activation="relu", name="middle"), layers.GlobalAveragePooling2D(), layers.Dense(CLASSES),
    ])  # fmt: skip


def separable() -> Any:
    from keras import Input, Sequential, layers

    return Sequential([
        Input((7, 7, 3)), layers.SeparableConv2D(4, 3, depth_multiplier=2, activation="relu"),
        layers.SeparableConv2D(5, 3, activation="relu", name="middle"), layers.GlobalAveragePooling2D(), layers.Dense(CLASSES),
    ])  # fmt: skip


def conv1d() -> Any:
    from keras import Input, Sequential, layers

    return Sequential([
        Input((14, 3)), layers.Conv1D(4, 3, dilation_rate=2, activation="relu"), layers.MaxPooling1D(),
        layers.Conv1D(5, 3, activation="relu", name="middle"), layers.GlobalAveragePooling1D(), layers.Dense(CLASSES),
    ])  # fmt: skip


def conv3d() -> Any:
    from keras import Input, Sequential, layers

    return Sequential([
        Input((5, 5, 5, 1)), layers.Conv3D(3, 2, activation="relu"), layers.MaxPooling3D(),
        layers.Conv3D(4, 2, activation="relu", name="middle"), layers.Flatten(), layers.Dense(CLASSES),
    ])  # fmt: skip


def normalized_mlp() -> Any:
    from keras import Input, Sequential, layers

    return Sequential([
        Input((6,)), layers.Dense(8), layers.LayerNormalization(epsilon=1e-5), layers.ReLU(),
        layers.Dense(7, "relu", name="middle"), layers.Dense(CLASSES),
    ])  # fmt: skip


def lstm() -> Any:
    from keras import Input, Sequential, layers

    return Sequential([Input((TOKENS, 3)), layers.LSTM(6, name="middle"), layers.Dense(CLASSES)])


def gru() -> Any:
    from keras import Input, Sequential, layers

    return Sequential([Input((TOKENS, 3)), layers.GRU(6, name="middle"), layers.Dense(CLASSES)])


def embedding() -> Any:
    from keras import Input, Sequential, layers

    return Sequential([
        Input((TOKENS,), dtype="int32"), layers.Embedding(VOCABULARY, 6, name="embedding"),
        layers.Conv1D(7, 2, activation="relu", name="middle"), layers.GlobalAveragePooling1D(), layers.Dense(CLASSES),
    ])  # fmt: skip


def attention() -> Any:
    import keras
    from keras import layers

    x = keras.Input((TOKENS, 4))
    h = layers.Dense(6)(x)
    h = h + layers.MultiHeadAttention(HEADS, 3, name="middle")(h, h)
    h = layers.LayerNormalization(epsilon=1e-5)(h)
    h = h + layers.Dense(6)(layers.Dense(8, "relu")(h))
    return keras.Model(x, layers.Dense(CLASSES)(layers.GlobalAveragePooling1D()(h)))


def two_inputs() -> Any:
    import keras
    from keras import layers

    a, b = keras.Input((5,), name="a"), keras.Input((6, 6, 2), name="b")
    left = layers.Dense(6, "relu")(a)
    right = layers.Flatten()(layers.Conv2D(3, 3, activation="relu")(b))
    h = layers.Dense(7, "relu", name="middle")(layers.Concatenate()([left, right]))
    return keras.Model({"a": a, "b": b}, layers.Dense(CLASSES)(h))


def shared() -> Any:
    import keras
    from keras import layers

    x, twice = keras.Input((6,)), layers.Dense(6)
    h = layers.ReLU(name="middle")(twice(layers.ReLU()(twice(x))))
    return keras.Model(x, layers.Dense(CLASSES)(h))


def gated() -> Any:
    import keras
    from keras import layers

    x = keras.Input((6,))
    h = layers.Multiply()([layers.Dense(8, "sigmoid")(x), layers.Dense(8, "tanh")(x)])
    return keras.Model(x, layers.Dense(CLASSES)(layers.Dense(7, "relu", name="middle")(h)))


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
    )
}
