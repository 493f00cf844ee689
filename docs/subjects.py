"""What the gallery is about: data, a small model trained on them, and one held-out example that it gets right."""

from __future__ import annotations

import gzip
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

import pellucid as pl
from pellucid import training

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))
from loaders import HEART, Absent, cleveland, ecg5000, gtsrb, parted, path, sst2

__all__ = ["SUBJECTS", "Absent", "Subject"]

WORDS = 28
"""Tokens of a sentence; shorter ones are padded with token 0, token 1 is any word that is not known."""


@dataclass(frozen=True)
class Subject:
    """One example and the model that is asked about it.

    Attributes:
        title: What it is.
        source: Where the data come from, in a sentence.
        model: The wrapped model.
        train, test: The data.
        row: Which held-out example is explained.
        nothing: What stands for "nothing", as a baseline and in words.
        layers: A convolution (None where there is none) and a dense layer.
        tokens: The words of the example, if it is a text.
    """

    title: str
    source: str
    model: Any
    train: pl.Dataset
    test: pl.Dataset
    row: int
    nothing: tuple[Any, str]
    layers: tuple[str | None, str]
    tokens: Sequence[str] | None = None

    @property
    def example(self) -> pl.Dataset:
        """The example, alone."""
        return self.test.take([self.row])

    @property
    def background(self) -> np.ndarray:
        """Training rows to compare with."""
        rows = np.random.default_rng(0).permutation(len(self.train.x))[:40]
        return self.train.x[np.sort(rows)]

    @cached_property
    def attending(self) -> Any:
        """A small transformer for the same data; the methods that read attention are asked about it."""
        epochs = int(np.clip(60_000 / len(self.train), 2, 60))
        return trained(self.train, epochs, 64, attender(self.train))


def trained(data: pl.Dataset, epochs: int, batch: int = 64, build: Callable[[], Any] | None = None) -> Any:
    """A model, or the library's small default one, after a fixed number of epochs."""
    net = training.fresh(build or training.default_model(data), seed=0)
    training.fit(net, data, settings={"epochs": epochs, "batch_size": batch}, seed=0, progress=False)
    return pl.wrap(net)


def seer(shape: tuple[int, int, int], classes: int) -> Callable[[], Any]:
    """A builder of a small convolutional network for images between 0 and 1."""

    def build() -> Any:
        from keras import Input, Sequential, layers, optimizers

        net = Sequential(
            [
                Input(shape),
                layers.Conv2D(16, 5, padding="same", activation="relu", name="convolution_1"),
                layers.MaxPooling2D(),
                layers.Conv2D(32, 3, padding="same", activation="relu", name="convolution_2"),
                layers.MaxPooling2D(),
                layers.Conv2D(48, 3, padding="same", activation="relu", name="convolution_3"),
                layers.MaxPooling2D(),
                layers.Flatten(),
                layers.Dropout(0.4),
                layers.Dense(64, activation="relu", name="hidden"),
                layers.Dense(classes, activation="softmax"),
            ]
        )
        net.compile(optimizers.Adam(0.002), "sparse_categorical_crossentropy", metrics=["accuracy"], jit_compile=False)
        return net

    return build


def attender(data: pl.Dataset) -> Callable[[], Any]:
    """A builder of a small transformer for data of any kind, with four heads in each of two blocks."""
    shape, classes = data.x.shape[1:], len(data.class_names or ())
    options = {"width": 32, "dropout": 0.1}

    def build() -> Any:
        from keras import losses, optimizers

        if data.kind == "image":
            net = pl.models.vision_transformer(shape, classes, patch=shape[0] // 7 if shape[0] > 8 else 2, **options)
        elif data.kind == "text":
            net = pl.models.text_transformer(shape[0], int(data.x.max()) + 1, classes, **options)
        elif data.kind == "sequence":
            net = pl.models.sequence_transformer(shape, classes, patch=shape[0] // 28, **options)
        else:
            net = pl.models.tabular_transformer(shape[0], classes, **options)
        loss = losses.SparseCategoricalCrossentropy(from_logits=True)
        net.compile(optimizers.Adam(0.002), loss, metrics=["accuracy"], jit_compile=False)
        return net

    return build


def typical(model: Any, data: pl.Dataset, label: int, place: float = 0.5, among: Any = True) -> int:
    """The example of a class at a place (0 to 1) among those predicted rightly, the least sure first."""
    said = model.probabilities(data)
    right = np.flatnonzero((said.argmax(1) == data.y) & (data.y == label) & among)
    order = right[np.argsort(said[right, label], kind="stable")]
    return int(order[int(place * (len(order) - 1))])


# -- images --------------------------------------------------------------------------------------------------------


def digits() -> Subject:
    """A digit of 8 x 8 pixels."""
    train, test = pl.data.load("digits", seed=0)
    model = trained(train, 25, 32)
    return Subject(
        title="A digit of 8 × 8 pixels",
        source="Built-in data: handwritten digits (Alpaydin and Kaynak 1998).",
        model=model,
        train=train,
        test=test,
        row=typical(model, test, 3),
        nothing=(0.0, "black"),
        layers=("convolution_2", "hidden"),
    )


def mnist() -> Subject:
    """A digit of 28 x 28 pixels."""

    def read(name: str, skip: int) -> np.ndarray:
        return np.frombuffer(gzip.decompress(path(f"mnist/{name}.gz").read_bytes()), np.uint8, offset=skip)

    names = list("0123456789")

    def part(word: str, count: int) -> pl.Dataset:
        x = read(f"{word}-images-idx3-ubyte", 16).reshape(-1, 28, 28, 1)[:count]
        y = read(f"{word}-labels-idx1-ubyte", 8)[:count].astype(int)
        return pl.Dataset(x.astype(np.float32) / 255, y, class_names=names)

    train, test = part("train", 12_000), part("t10k", 2_000)
    model = trained(train, 4, 64, seer((28, 28, 1), 10))
    return Subject(
        title="A digit",
        source="MNIST (LeCun, Cortes and Burges 1998): 12,000 digits to learn from.",
        model=model,
        train=train,
        test=test,
        row=typical(model, test, 7),
        nothing=(0.0, "black"),
        layers=("convolution_3", "hidden"),
    )


def sign() -> Subject:
    """A traffic sign."""
    train, test = gtsrb()
    moved = np.concatenate([np.roll(train.x, step, axis) for step in (-2, 2) for axis in (1, 2)])
    names: list[str] = list(train.class_names or ())
    model = trained(pl.Dataset(moved, np.tile(train.y, 4)), 8, 32, seer((32, 32, 3), len(names)))
    clear = test.x.mean((1, 2, 3)) > 0.45  # many are dark
    return Subject(
        title="A traffic sign",
        source="GTSRB (Stallkamp et al. 2012): eight of its 43 kinds, stretched from dark to light, tested on other tracks.",
        model=model,
        train=train,
        test=test,
        row=typical(model, test, names.index("stop"), 0.5, clear),
        nothing=(float(train.x.mean()), "grey"),
        layers=("convolution_3", "hidden"),
    )


def xray() -> Subject:
    """A chest X-ray."""

    def part(word: str) -> pl.Dataset:
        with np.load(path("pneumoniamnist/pneumoniamnist.npz")) as found:
            x, y = found[f"{word}_images"][..., None], found[f"{word}_labels"][:, 0]
        return pl.Dataset(x.astype(np.float32) / 255, y.astype(int), class_names=["normal", "pneumonia"])

    train, test = part("train"), part("test")
    model = trained(train, 12, 32, seer((28, 28, 1), 2))
    return Subject(
        title="A chest X-ray",
        source="PneumoniaMNIST (Kermany et al. 2018, Yang et al. 2023), re-balanced.",
        model=model,
        train=train,
        test=test,
        row=typical(model, test, 1, 0.4),
        nothing=(float(train.x.mean()), "grey"),
        layers=("convolution_3", "hidden"),
    )


# -- a signal, a sentence --------------------------------------------------------------------------------------------


def ecg() -> Subject:
    """A heartbeat."""
    train, test = ecg5000()
    model = trained(train, 25, 16)
    return Subject(
        title="A heartbeat",
        source="ECG5000 (Goldberger et al. 2000): the 500 beats of its training part, of one patient.",
        model=model,
        train=train,
        test=test,
        row=typical(model, test, 1),
        nothing=(0.0, "a flat line"),
        layers=("convolution_2", "hidden"),
    )


def sentence() -> Subject:
    """A sentence about a film."""
    train, test = sst2(40_000, WORDS)
    words: list[str] = list(train.vocabulary or ())
    model = trained(train, 3, 128, _reader(len(words)))
    length = (test.x > 0).sum(1)
    row = typical(model, test, 0, 0.6, (length >= 9) & (length <= 16) & (test.x != 1).all(1))
    return Subject(
        title="A sentence",
        source="SST-2 (Socher et al. 2013): 40,000 phrases of film reviews to learn from.",
        model=model,
        train=train,
        test=test,
        row=row,
        nothing=(pl.MaskToken(1, keep=(0,)), "unknown words"),
        layers=("convolution", "hidden"),
        tokens=[words[int(token)] for token in test.x[row] if token],
    )


def _reader(vocabulary: int) -> Callable[[], Any]:
    def build() -> Any:
        from keras import Input, Sequential, layers

        net = Sequential(
            [
                Input((WORDS,), dtype="int32"),
                layers.Embedding(vocabulary, 24, name="embedding"),
                layers.Conv1D(32, 3, padding="same", activation="relu", name="convolution"),
                layers.GlobalMaxPooling1D(),
                layers.Dropout(0.4),
                layers.Dense(16, activation="relu", name="hidden"),
                layers.Dense(1, activation="sigmoid"),
            ]
        )
        net.compile("adam", "binary_crossentropy", metrics=["accuracy"], jit_compile=False)
        return net

    return build


# -- patients --------------------------------------------------------------------------------------------------------


def heart() -> Subject:
    """A patient with chest pain."""
    table, y = cleveland()
    blocks, names, columns = [], [], []
    for values, (name, codes) in zip(table.T, HEART.items(), strict=True):
        blocks += [values == code for code in codes] if codes else [values]
        names += [f"{name}={told}" for told in codes.values()] if codes else [name]
        columns += [name] * (len(codes) if codes else 1)
    train, test = parted(
        pl.Dataset(
            np.stack(blocks, 1).astype(np.float32),
            y,
            feature_names=names,
            columns=columns,
            class_names=["healthy", "heart disease"],
        )
    )
    model = trained(train, 40, 16)
    return Subject(
        title="A patient",
        source="Heart disease (Detrano et al. 1989): the 297 complete rows of Cleveland.",
        model=model,
        train=train,
        test=test,
        row=typical(model, test, 1),
        nothing=(train.x.mean(0), "the mean patient"),
        layers=(None, "hidden_2"),
    )


def cancer() -> Subject:
    """A cell sample."""
    train, test = pl.data.load("breast-cancer", seed=0)
    model = trained(train, 40, 16)
    return Subject(
        title="A cell sample",
        source="Built-in data: breast cancer (Wisconsin 1995), 30 measurements of cells.",
        model=model,
        train=train,
        test=test,
        row=typical(model, test, 0),
        nothing=(train.x.mean(0), "the mean sample"),
        layers=(None, "hidden_2"),
    )


SUBJECTS: dict[str, Callable[[], Subject]] = {
    "digits": digits,
    "mnist": mnist,
    "sign": sign,
    "xray": xray,
    "ecg": ecg,
    "sentence": sentence,
    "heart": heart,
    "breast-cancer": cancer,
}
"""What there is, in the order of the page."""
