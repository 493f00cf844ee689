"""The three models of the benchmark, as Keras builders, and the data they are trained and explained on.

Only Keras and NumPy are needed here, so that every library that runs Keras models builds the very same one.
"""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

HELD = 64
"""Examples that no model is trained on."""

NOISE = 0.2
"""Standard deviation of SmoothGrad's noise, in the units of the inputs."""

TOKENS, VOCABULARY, WIDTH, HEADS = 64, 64, 32, 4
Data = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Case:
    """A model, its data, and how long it is trained."""

    name: str
    title: str
    build: Callable[[], Any]
    data: Callable[[], Data]
    epochs: int
    hidden: tuple[str, str] | None
    """A hidden layer that methods are asked about: its name in Keras, and in the torch twin."""
    occlude: tuple[int, ...]
    """The window of Occlusion, one number an axis (channels left out); windows do not overlap."""
    tokens: bool = False
    examples: int = 64
    """How many everybody explains, the held-out ones first; a table has more rows than a folder has images."""


def image_model() -> Any:
    """28 x 28 x 1 to ten logits: two ReLU convolutions and a hidden layer."""
    from keras import Input, Sequential, layers

    return Sequential([
        Input((28, 28, 1)), layers.Conv2D(16, 3, activation="relu"), layers.MaxPooling2D(),
        layers.Conv2D(32, 3, activation="relu", name="hidden"), layers.MaxPooling2D(), layers.Flatten(),
        layers.Dense(64, activation="relu"), layers.Dense(10),
    ])  # fmt: skip


def table_model() -> Any:
    """30 columns to two logits: two hidden layers of 128."""
    from keras import Input, Sequential, layers

    hidden = [layers.Dense(128, activation="relu", name=name) for name in ("first", "hidden")]
    return Sequential([Input((30,)), *hidden, layers.Dense(2)])


def token_model() -> Any:
    """64 tokens to two logits: embedding, positions, two transformer blocks, mean over tokens."""
    import keras
    from keras import layers, ops

    class Positions(layers.Layer):
        def build(self, shape: Any) -> None:
            self.table = self.add_weight(shape=shape[1:], initializer="random_normal", name="table")

        def call(self, x: Any) -> Any:
            return x + self.table

    tokens = keras.Input((TOKENS,), dtype="int32")
    x = Positions()(layers.Embedding(VOCABULARY, WIDTH, name="embedding")(tokens))
    for _ in range(2):
        y = layers.LayerNormalization(epsilon=1e-5)(x)
        x = x + layers.MultiHeadAttention(HEADS, WIDTH // HEADS)(y, y)
        y = layers.LayerNormalization(epsilon=1e-5)(x)
        x = x + layers.Dense(WIDTH)(layers.Dense(4 * WIDTH, activation="relu")(y))
    return keras.Model(tokens, layers.Dense(2)(ops.mean(x, axis=1)))


def images() -> Data:
    """MNIST where the folder of PELLUCID_DATA has it, else scikit-learn's digits scaled up to 28 x 28."""
    folder = Path(os.environ.get("PELLUCID_DATA", Path(__file__).parents[2] / "shared" / "data")) / "mnist"
    if (folder / "t10k-images-idx3-ubyte.gz").exists():
        x = _idx(folder / "t10k-images-idx3-ubyte.gz", 16).reshape(-1, 28, 28, 1)
        return x.astype(np.float32) / 255, _idx(folder / "t10k-labels-idx1-ubyte.gz", 8).astype(int)
    from scipy.ndimage import zoom
    from sklearn.datasets import load_digits

    digits = load_digits()
    return zoom(digits.images / 16, (1, 3.5, 3.5), order=1)[..., None].astype(np.float32), digits.target


def _idx(path: Path, header: int) -> np.ndarray:
    with gzip.open(path) as file:
        return np.frombuffer(file.read(), np.uint8, offset=header)


def table() -> Data:
    """The breast-cancer data of scikit-learn, standardized."""
    from sklearn.datasets import load_breast_cancer

    found = load_breast_cancer()
    return ((found.data - found.data.mean(0)) / found.data.std(0)).astype(np.float32), found.target


def sentences() -> Data:
    """Random tokens 1 to 63; the label says whether tokens below 8 outnumber those from 8 to 15."""
    x = np.random.default_rng(0).integers(1, VOCABULARY, (4096, TOKENS))
    return x.astype(np.int32), ((x < 8).sum(1) > ((x >= 8) & (x < 16)).sum(1)).astype(int)


CASES = {
    case.name: case
    for case in (
        Case("image", "CNN, 28 x 28 x 1 images", image_model, images, 3, ("hidden", "4"), (4, 4)),
        Case("table", "MLP, 30 columns", table_model, table, 10, ("hidden", "3"), (1,), examples=512),
        Case("tokens", "Transformer, 64 tokens", token_model, sentences, 8, None, (1,), tokens=True),
    )
}


@dataclass(frozen=True)
class Prepared:
    """A trained case: the examples that everybody explains, and what is true of them."""

    case: Case
    x: np.ndarray
    target: np.ndarray
    weights: list[np.ndarray]
    reference: np.ndarray
    smooth: np.ndarray | None
    logits: np.ndarray

    def first(self, count: int) -> Data:
        """So many examples and their classes, going round where there are fewer."""
        return np.resize(self.x, (count, *self.x.shape[1:])), np.resize(self.target, count)

    @property
    def hidden(self) -> tuple[str, str]:
        """The hidden layer's name in Keras, and in the torch twin."""
        return self.case.hidden or ("", "")

    @property
    def background(self) -> np.ndarray:
        """Examples for baselines."""
        return self.x[:32]

    def model(self) -> Any:
        """The Keras model with these weights."""
        model = self.case.build()
        model.set_weights(self.weights)
        return model

    def halves(self, model: Any) -> tuple[Callable[[Any], Any], Any]:
        """Where a gradient can be taken: what makes that of the input, and the rest of the model."""
        if not self.case.tokens:
            return lambda x: x, model
        import keras

        embedding = model.get_layer("embedding")
        return embedding, keras.Model(embedding.output, model.output)


def load(name: str, folder: Path) -> Prepared:
    """A case that `benchmarks.prepare` has written."""
    with np.load(folder / f"{name}.npz") as f:
        weights = [f[f"weight_{i}"] for i in range(sum(key.startswith("weight_") for key in f.files))]
        smooth = f["smooth"] if "smooth" in f.files else None
        return Prepared(CASES[name], f["x"], f["target"], weights, f["reference"], smooth, f["logits"])
