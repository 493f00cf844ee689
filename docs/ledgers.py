"""What recipes do on seven sets of data, five seeds each: `python docs/ledgers.py NAME ... --out docs/ledgers`.

The trainings are kept in the folder given by `--kept`, so that a page can be written again, or gone on with after a stop.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import polars

import pellucid as pl
from pellucid.core.splitting import holdout
from pellucid.improve.base import Remedy

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))
from loaders import Absent, encoded, gtsrb, hospitals, path, sst2

SEEDS = 5


@dataclass(frozen=True)
class Subject:
    """Data in three parts, a model for them, the recipes that are tried, and what a reader has to know."""

    title: str
    parts: Callable[[], tuple[pl.Dataset, pl.Dataset, pl.Dataset]]
    build: Callable[[pl.Dataset], Callable[[], Any]]
    recipes: Callable[[pl.Dataset], dict[str, pl.Recipe]]
    lead: str
    fit: dict[str, Any] = field(default_factory=lambda: {"epochs": 30, "batch_size": 32})
    measures: tuple[Any, ...] | None = None


def thirds(train: pl.Dataset, test: pl.Dataset, share: float = 0.25) -> tuple[pl.Dataset, pl.Dataset, pl.Dataset]:
    """Training data of which a share is held out for validation; the test data as they are."""
    kept, held = holdout(train.y, share, groups=train.groups, seed=0)
    return train.take(kept), train.take(held), test


# -- models ----------------------------------------------------------------------------------------------------------


def table_model(train: pl.Dataset) -> Callable[[], Any]:
    """Standardized columns and two hidden layers without any penalty: a model with room to overfit."""
    mean, variance = train.x.mean(0), np.maximum(train.x.var(0), 1e-6)

    def build() -> Any:
        import keras

        layers = keras.layers
        net = keras.Sequential([
            keras.Input(train.x.shape[1:]), layers.Normalization(mean=mean, variance=variance),
            layers.Dense(64, activation="relu"), layers.Dense(32, activation="relu"), layers.Dense(1, activation="sigmoid"),
        ])  # fmt: skip
        net.compile(keras.optimizers.Adam(0.003), "binary_crossentropy", metrics=["accuracy"], jit_compile=False)
        return net

    return build


def image_model(train: pl.Dataset) -> Callable[[], Any]:
    """Two convolutions and a hidden layer."""

    def build() -> Any:
        import keras

        layers, side = keras.layers, train.x.shape[1]
        net = keras.Sequential([
            keras.Input(train.x.shape[1:]), layers.Conv2D(16, 3, activation="relu"), layers.MaxPooling2D(),
            layers.Conv2D(32, 3, activation="relu", padding="same"), *([layers.MaxPooling2D()] if side > 8 else []),
            layers.Flatten(), layers.Dense(64, activation="relu"), layers.Dense(int(train.y.max()) + 1, activation="softmax"),
        ])  # fmt: skip
        net.compile(
            keras.optimizers.Adam(0.002), "sparse_categorical_crossentropy", metrics=["accuracy"], jit_compile=False
        )
        return net

    return build


def text_model(train: pl.Dataset) -> Callable[[], Any]:
    """Embeddings, their mean, and a hidden layer."""

    def build() -> Any:
        import keras

        layers = keras.layers
        net = keras.Sequential([
            keras.Input(train.x.shape[1:], dtype="int32"), layers.Embedding(len(train.vocabulary), 32, mask_zero=True),
            layers.GlobalAveragePooling1D(), layers.Dense(32, activation="relu"), layers.Dense(1, activation="sigmoid"),
        ])  # fmt: skip
        net.compile(keras.optimizers.Adam(0.002), "binary_crossentropy", metrics=["accuracy"], jit_compile=False)
        return net

    return build


# -- recipes ---------------------------------------------------------------------------------------------------------


def usual(train: pl.Dataset, **more: pl.Recipe) -> dict[str, pl.Recipe]:
    """What is tried on any data."""
    return {
        "plain": pl.Recipe(), "L2": pl.Recipe(pl.L2(0.001)), "dropout": pl.Recipe(pl.Dropout(0.3)),
        "early stopping": pl.Recipe(pl.EarlyStopping(5)), "half the width": pl.Recipe(pl.ReduceWidth(0.5)),
        "sharpness": pl.Recipe(pl.SharpnessAware(0.05)), "smooth labels": pl.Recipe(pl.LabelSmoothing(0.1)), **more,
        "temperature": pl.Recipe(pl.TemperatureScaling()), "ensemble": pl.Recipe(pl.DeepEnsemble(5)),
    }  # fmt: skip


def tabular(train: pl.Dataset) -> dict[str, pl.Recipe]:
    """And on tables."""
    return usual(train, mixup=pl.Recipe(pl.MixUp(0.2)), swaps=pl.Recipe(pl.ColumnSwap(0.1)))


def pictures(train: pl.Dataset) -> dict[str, pl.Recipe]:
    """And on images."""
    return usual(train, mixup=pl.Recipe(pl.MixUp(0.2)), crops=pl.Recipe(pl.Crop(1 if train.x.shape[1] < 20 else 2)))


def sentences(train: pl.Dataset) -> dict[str, pl.Recipe]:
    """And on texts."""
    return usual(train, **{"deleted words": pl.Recipe(pl.TokenDeletion(0.1))})


@dataclass(frozen=True, eq=False)
class Hidden(Remedy):
    """Other hidden layers than the model has: so many of 64 units."""

    slot = "hidden"
    count: int = 2

    def rebuild(self, model: Any) -> Any:
        """The same inputs and output, with other layers between."""
        import keras

        layers = keras.layers
        between = [layers.Dense(64, activation="relu") for _ in range(self.count)]
        net = keras.Sequential(
            [keras.Input(model.input_shape[1:]), model.layers[0], *between, layers.Dense(1, "sigmoid")]
        )
        net.compile(**model._compile_config.config)
        return net


def simpler(train: pl.Dataset) -> dict[str, pl.Recipe]:
    """Width, depth, small weights and few weights, one at a time."""
    return {
        "plain": pl.Recipe(), **{f"width x {f:g}": pl.Recipe(pl.ReduceWidth(f)) for f in (0.5, 0.25, 0.125)},
        **{f"{n} hidden": pl.Recipe(Hidden(n)) for n in (0, 1, 4)},
        **{f"L2 {s:g}": pl.Recipe(pl.L2(s)) for s in (0.0001, 0.001, 0.01)},
        **{f"{100 * s:g} % pruned": pl.Recipe(pl.Prune(s)) for s in (0.5, 0.8, 0.95)},
    }  # fmt: skip


COMPLEXITY = (pl.CalibrationError(), pl.Faithfulness(), pl.Faithfulness(pl.EffectiveComplexity()))


# -- data ------------------------------------------------------------------------------------------------------------


def breast_cancer() -> tuple[pl.Dataset, pl.Dataset, pl.Dataset]:
    """Tumours from scikit-learn's set, as the package ships it."""
    return thirds(*pl.data.load("breast-cancer", seed=0))


def digits() -> tuple[pl.Dataset, pl.Dataset, pl.Dataset]:
    """Handwritten digits of 8 x 8 pixels, as the package ships them."""
    return thirds(*pl.data.load("digits", seed=0))


def german_credit() -> tuple[pl.Dataset, pl.Dataset, pl.Dataset]:
    """A thousand borrowers of a German bank: will the credit go bad?"""
    table = polars.read_csv(path("german_credit/german.data"), separator=" ")
    table = table.with_columns(bad=polars.col("CLASSIFICATION") - 1).drop("CLASSIFICATION")
    found = encoded(table, holdout(table["bad"].to_numpy(), 0.3, seed=0), "german credit", target="bad")
    return thirds(_unnamed(found.train), _unnamed(found.test))


def _unnamed(data: pl.Dataset) -> pl.Dataset:
    """Data without the names of rows, which are those of files that are no more."""
    return replace(data, ids=None)


def heart() -> tuple[pl.Dataset, pl.Dataset, pl.Dataset]:
    """Patients of Cleveland to learn from, those of Hungary, Switzerland and VA Long Beach to judge by."""
    found, where = hospitals()
    elsewhere = np.flatnonzero(where != "Cleveland")
    return thirds(_unnamed(found.train), replace(_unnamed(found.test.take(elsewhere)), groups=where[elsewhere]))


def mnist() -> tuple[pl.Dataset, pl.Dataset, pl.Dataset]:
    """5,000 of the handwritten digits of MNIST to learn from, 1,000 to choose by, its test images to judge by."""
    import gzip

    def read(name: str) -> tuple[np.ndarray, np.ndarray]:
        with (
            gzip.open(path(f"mnist/{name}-images-idx3-ubyte.gz")) as images,
            gzip.open(path(f"mnist/{name}-labels-idx1-ubyte.gz")) as labels,
        ):
            x = np.frombuffer(images.read(), np.uint8, offset=16).reshape(-1, 28, 28, 1)
            return (x / 255).astype(np.float32), np.frombuffer(labels.read(), np.uint8, offset=8).astype(int)

    (x, y), (x_test, y_test) = read("train"), read("t10k")
    rows = np.random.default_rng(0).permutation(len(x))[:6000]
    whole = pl.Dataset(x[rows], y[rows], name="MNIST")
    return (
        whole.take(slice(0, 5000)),
        whole.take(slice(5000, 6000)),
        pl.Dataset(x_test[:4000], y_test[:4000], name="MNIST"),
    )


def signs() -> tuple[pl.Dataset, pl.Dataset, pl.Dataset]:
    """Traffic signs of eight kinds; tested on other tracks."""
    train, test = gtsrb()
    return thirds(train, test.take(np.random.default_rng(0).permutation(len(test))[:2000]))


def reviews() -> tuple[pl.Dataset, pl.Dataset, pl.Dataset]:
    """5,000 phrases of film reviews to learn from, 1,250 to choose by, whole sentences to judge by."""
    return thirds(*sst2(6250), share=0.2)


FEW = {"epochs": 12, "batch_size": 64}
SUBJECTS = {
    "breast-cancer": Subject(
        "Breast cancer", breast_cancer, table_model, tabular, "Is a tumour malignant? 30 measurements of cell nuclei.",
    ),
    "complexity": Subject(
        "Complexity and interpretability", breast_cancer, table_model, simpler,
        "Must a model be complex to be right, and does a simpler one explain itself better? One network for breast cancer, made "
        "narrower, shallower, smaller in its weights and sparser: against held-out error, faithfulness of its explanations, and "
        "how many inputs they need to account for an answer.", measures=COMPLEXITY,
    ),
    "german-credit": Subject(
        "German credit", german_credit, table_model, tabular, "Will a credit go bad? A thousand borrowers, 20 columns.",
    ),
    "heart-disease": Subject(
        "Heart disease in other hospitals", heart, table_model, tabular,
        "Learnt from patients of Cleveland, judged on those of three other hospitals, where values are recorded otherwise: "
        "validation data come from Cleveland and know nothing of it.",
    ),
    "digits": Subject(
        "Digits", digits, image_model, pictures, "Handwritten digits of 8 x 8 pixels.", {"epochs": 20, "batch_size": 32},
    ),
    "mnist": Subject(
        "MNIST, 5,000 images", mnist, image_model, pictures,
        "Handwritten digits of 28 x 28 pixels, a twelfth of the training set.", {"epochs": 8, "batch_size": 64},
    ),
    "traffic-signs": Subject(
        "Traffic signs", signs, image_model, pictures,
        "Eight kinds of German traffic signs, tested on tracks that were not learnt from.", FEW,
    ),
    "sst2": Subject(
        "Film reviews", reviews, text_model, sentences, "Is a review positive? Learnt from phrases, judged on sentences.", FEW,
    ),
}  # fmt: skip


def page(name: str, out: Path, kept: Path, workers: int | None) -> str:
    """Compare, and write the page and its picture, light and dark."""
    subject = SUBJECTS[name]
    train, validation, test = subject.parts()
    found = pl.compare(
        subject.build(train), subject.recipes(train), train=train, validation=validation, test=test, seeds=SEEDS,
        fit=subject.fit, measures=subject.measures, folder=kept / name, workers=workers,
    )  # fmt: skip
    picture = pl.plot.ledger(found, title=f"{subject.title}: what each recipe changes")
    out.mkdir(parents=True, exist_ok=True)
    picture.save(out / f"{name}.svg")
    text = found.markdown(f"{name}.svg")
    _, _, rest = text.partition("\n")
    (out / f"{name}.md").write_text(
        f"# {subject.title}\n\n{subject.lead} `python docs/ledgers.py {name}`\n{rest}", encoding="utf-8"
    )
    return str(found)


def main() -> None:
    """One page a subject."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help=f"any of {', '.join(SUBJECTS)}; all where none is named")
    parser.add_argument("--out", type=Path, default=Path("docs/ledgers"))
    parser.add_argument("--kept", type=Path, default=Path("reports/ledgers"))
    parser.add_argument("--workers", type=int, default=1)
    asked = parser.parse_args()
    for name in asked.names or SUBJECTS:
        try:
            print(page(name, asked.out, asked.kept, asked.workers))
        except Absent as reason:
            print(f"{name}: {reason}")


if __name__ == "__main__":
    main()
