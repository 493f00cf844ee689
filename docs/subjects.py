"""What the gallery is about: data, a small model trained on them, and one held-out example that it gets right."""

from __future__ import annotations

import gzip
import os
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

import pellucid as pl
from pellucid import training
from pellucid.core.splitting import holdout

ROOT = Path(os.environ.get("PELLUCID_DATA") or Path(__file__).parents[1] / "../shared/data")
"""Where data lie that are not part of the library."""

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


class Absent(Exception):
    """Data that are not there."""


def path(name: str) -> Path:
    """A file of the data folder."""
    if not (ROOT / name).exists():
        raise Absent(f"no {name} in {ROOT}; PELLUCID_DATA names the folder that holds it")
    return ROOT / name


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


SIGNS = {
    12: "priority road", 13: "yield", 14: "stop", 17: "no entry", 25: "road works", 33: "turn right", 35: "ahead only",
    38: "keep right",
}  # fmt: skip
"""Kinds of signs that are told apart, by their number in GTSRB."""


def sign() -> Subject:
    """A traffic sign."""

    def part(word: str) -> pl.Dataset:
        with np.load(path(f"gtsrb/{word}_32x32.npz")) as found:
            chosen = np.isin(found["y"], list(SIGNS))
            x, y = found["x"][chosen], found["y"][chosen]
        return pl.Dataset(lit(x), np.searchsorted(list(SIGNS), y), class_names=list(SIGNS.values()))

    train, test = part("train_every6th"), part("test_full")
    moved = np.concatenate([np.roll(train.x, step, axis) for step in (-2, 2) for axis in (1, 2)])
    model = trained(pl.Dataset(moved, np.tile(train.y, 4)), 8, 32, seer((32, 32, 3), len(SIGNS)))
    edges = np.minimum(test.x[:, -1].mean((1, 2)), test.x[:, :, -1].mean((1, 2)))
    clear = (test.x.mean((1, 2, 3)) > 0.45) & (edges > 0.03)  # many are dark, or cut off by the edge of the photograph
    return Subject(
        title="A traffic sign",
        source="GTSRB (Stallkamp et al. 2012): eight of its 43 kinds, stretched from dark to light, tested on other tracks.",
        model=model,
        train=train,
        test=test,
        row=typical(model, test, list(SIGNS).index(14), 0.5, clear),
        nothing=(float(train.x.mean()), "grey"),
        layers=("convolution_3", "hidden"),
    )


def lit(images: np.ndarray) -> np.ndarray:
    """Images stretched so that all but the darkest and lightest 2 % lie between 0 and 1: many were taken in the dark."""
    low, high = np.quantile(images, (0.02, 0.98), axis=(1, 2, 3), keepdims=True)
    return np.clip((images - low) / np.maximum(high - low, 1), 0, 1).astype(np.float32)


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
    table = np.loadtxt(path("ecg5000_train/ECG5000_TRAIN.txt.gz"))  # NumPy unpacks it
    data = pl.Dataset(
        table[:, 1:, None].astype(np.float32),
        (table[:, 0] > 1).astype(int),
        kind="sequence",
        class_names=["normal", "abnormal"],
        feature_names=["ECG"],
    )
    kept, held = holdout(data.y, 0.3, seed=0)
    train, test = data.take(kept), data.take(held)
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
    training_set, held = (_phrases(path(f"sst2/{name}.tsv.gz")) for name in ("train", "dev"))
    counts = Counter(word for text, _ in training_set for word in text)
    known = {word: i + 2 for i, word in enumerate(sorted(w for w, n in counts.items() if n >= 3))}

    def part(phrases: Sequence[tuple[list[str], int]]) -> pl.Dataset:
        x = np.zeros((len(phrases), WORDS), np.int32)
        for row, (text, _) in enumerate(phrases):
            x[row, : min(len(text), WORDS)] = [known.get(word, 1) for word in text[:WORDS]]
        return pl.Dataset(x, [label for _, label in phrases], kind="text", class_names=["negative", "positive"])

    chosen = np.random.default_rng(0).permutation(len(training_set))[:40_000]
    train, test = part([training_set[i] for i in chosen]), part(held)
    model = trained(train, 3, 128, _reader(len(known) + 2))
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
        tokens=held[row][0][:WORDS],
    )


def _phrases(file: Path) -> list[tuple[list[str], int]]:
    lines = gzip.decompress(file.read_bytes()).decode().splitlines()[1:]
    return [(re.findall(r"\S+", text), int(label)) for label, text in (line.split("\t") for line in lines)]


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

HEART = (
    "age",
    "sex",
    "chest pain",
    "blood pressure",
    "cholesterol",
    "sugar above 120",
    "resting ECG",
    "highest pulse",
    "pain on exercise",
    "ST depression",
    "ST slope",
    "vessels coloured",
    "thallium",
)
CODES = {
    "chest pain": {1: "typical", 2: "atypical", 3: "other pain", 4: "none"},
    "resting ECG": {0: "normal", 1: "ST-T", 2: "hypertrophy"},
    "ST slope": {1: "up", 2: "flat", 3: "down"},
    "thallium": {3: "normal", 6: "fixed defect", 7: "reversible"},
}


def heart() -> Subject:
    """A patient with chest pain."""
    table = np.genfromtxt(path("heart_disease/processed.cleveland.data"), delimiter=",", missing_values="?")
    table = table[np.isfinite(table).all(1)]
    blocks, names, columns = [], [], []
    for values, name in zip(table.T[:-1], HEART, strict=True):
        codes = CODES.get(name)
        blocks += [values == code for code in codes] if codes else [values]
        names += [f"{name}={told}" for told in codes.values()] if codes else [name]
        columns += [name] * (len(codes) if codes else 1)
    data = pl.Dataset(
        np.stack(blocks, 1).astype(np.float32),
        (table[:, -1] > 0).astype(int),
        feature_names=names,
        columns=columns,
        class_names=["healthy", "heart disease"],
    )
    kept, held = holdout(data.y, 0.3, seed=0)
    train, test = data.take(kept), data.take(held)
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
