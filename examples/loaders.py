"""Real data that lie beside the checkout, as `pl.Dataset`s: `python examples/loaders.py` says which of them are there."""

from __future__ import annotations

import csv
import gzip
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars

import pellucid as pl
from pellucid.core.splitting import holdout

DATA = Path(os.environ.get("PELLUCID_DATA") or Path(__file__).parents[2] / "shared" / "data")
"""The folder with data sets that are not part of the package."""

Pair = tuple[pl.Dataset, pl.Dataset]
"""Data to learn from, and data held out."""


class Absent(Exception):
    """Data that are not there."""


def path(name: str) -> Path:
    """A file of the data folder.

    Raises:
        Absent: It is not there.
    """
    if not (DATA / name).exists():
        raise Absent(f"no {name} in {DATA}; PELLUCID_DATA names the folder that holds it")
    return DATA / name


# -- texts ----------------------------------------------------------------------------------------------------------

PADDING, UNKNOWN = 0, 1
"""Tokens that stand for nothing, and for any word that is not in the vocabulary."""


@dataclass(frozen=True)
class Vocabulary:
    """Words by number, the first two for padding and for all others."""

    words: tuple[str, ...]

    @classmethod
    def of(cls, texts: Sequence[Sequence[str]], least: int = 2) -> Vocabulary:
        """The words that are used at least so often."""
        count = Counter(word for text in texts for word in text)
        return cls(("", "[UNK]", *sorted(word for word, times in count.items() if times >= least)))

    def __len__(self) -> int:
        return len(self.words)

    def numbers(self, texts: Sequence[Sequence[str]], length: int) -> np.ndarray:
        """Texts as token numbers (B, T), cut or padded at the end."""
        at = {word: i for i, word in enumerate(self.words)}
        found = np.full((len(texts), length), PADDING, np.int32)
        for row, text in zip(found, texts, strict=True):
            known = [at.get(word, UNKNOWN) for word in text[:length]]
            row[: len(known)] = known
        return found


def phrases(part: str) -> tuple[list[list[str]], np.ndarray]:
    """SST-2: words and labels (1: positive) of "train", "dev" or "test"."""
    with gzip.open(path(f"sst2/{part}.tsv.gz"), "rt", encoding="utf-8") as file:
        rows = list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))[1:]  # a quotation mark is a word
    return [text.split() for _, text in rows], np.array([int(label) for label, _ in rows])


def sst2(count: int = 40_000, length: int = 32) -> Pair:
    """Phrases of film reviews to learn from, whole sentences to test on: is it positive?"""
    (texts, labels), (held, truth) = phrases("train"), phrases("dev")
    chosen = np.random.default_rng(0).permutation(len(texts))[:count]
    words = Vocabulary.of([texts[i] for i in chosen], least=3)

    def made(texts: Sequence[Sequence[str]], labels: np.ndarray, part: str) -> pl.Dataset:
        x, names = words.numbers(texts, length), ["negative", "positive"]
        return pl.Dataset(x, labels, kind="text", class_names=names, vocabulary=words.words, name=f"SST-2 ({part})")

    return made([texts[i] for i in chosen], labels[chosen], "train"), made(held, truth, "dev")


# -- signals, patients, traffic -------------------------------------------------------------------------------------


def ecg5000() -> Pair:
    """Heartbeats of one patient, 140 samples each: is it a normal one? Four rare kinds are one class, "abnormal"."""
    table = np.loadtxt(path("ecg5000_train/ECG5000_TRAIN.txt.gz"))  # NumPy unpacks it
    x, y = table[:, 1:, None].astype(np.float32), (table[:, 0] > 1).astype(int)
    names = {"feature_names": ["ECG"], "class_names": ["normal", "abnormal"]}
    return parted(pl.Dataset(x, y, kind="sequence", name="ECG5000", **names))


HEART = {
    "age": None, "sex": None, "chest pain": {1: "typical", 2: "atypical", 3: "other", 4: "none"}, "blood pressure": None,
    "cholesterol": None, "sugar above 120": None, "resting ECG": {0: "normal", 1: "ST-T", 2: "hypertrophy"},
    "highest pulse": None, "pain on exercise": None, "ST depression": None, "ST slope": {1: "up", 2: "flat", 3: "down"},
    "vessels coloured": None, "thallium": {3: "normal", 6: "fixed defect", 7: "reversible"},
}  # fmt: skip
"""Columns of the heart-disease table, and what the numbers of those that are codes stand for."""


def heart() -> Pair:
    """Patients of one hospital, Cleveland: has a coronary vessel narrowed?"""
    x, y = cleveland()
    return parted(pl.Dataset(
        x, y, feature_names=list(HEART), class_names=["healthy", "heart disease"], name="heart disease",
    ))  # fmt: skip


def cleveland() -> tuple[np.ndarray, np.ndarray]:
    """Columns (B, 13) and labels (B,) of the patients; rows with a missing value are left out."""
    table = np.genfromtxt(path("heart_disease/processed.cleveland.data"), delimiter=",", missing_values="?")
    table = table[np.isfinite(table).all(1)]
    return table[:, :-1].astype(np.float32), (table[:, -1] > 0).astype(int)


SIGNS = {
    12: "priority road", 13: "yield", 14: "stop", 17: "no entry", 25: "road works", 33: "turn right", 35: "ahead only",
    38: "keep right",
}  # fmt: skip
"""Kinds of traffic signs that are told apart, by their number in GTSRB."""


def gtsrb() -> Pair:
    """Traffic signs of eight kinds, stretched from dark to light; tested on other tracks than those learned from.

    Two in three are stored small, in a corner of a black image; they are enlarged, and those of fewer than 16 pixels left out.
    """

    def part(name: str, word: str) -> pl.Dataset:
        with np.load(path(f"gtsrb/{name}_32x32.npz")) as found:
            chosen = np.isin(found["y"], list(SIGNS))
            x, labels = found["x"][chosen], np.searchsorted(list(SIGNS), found["y"][chosen])
        sizes = np.stack([extent(x, axis) for axis in (1, 2)], axis=1)
        large = sizes.min(1) >= 16
        x = np.stack([enlarged(image, size) for image, size in zip(x[large], sizes[large], strict=True)])
        return pl.Dataset(lit(x), labels[large], class_names=list(SIGNS.values()), name=f"GTSRB ({word})")

    return part("train_every6th", "train"), part("test_full", "test")


def extent(images: np.ndarray, axis: int) -> np.ndarray:
    """Rows (axis 1) or columns (2) of each image (B, H, W, C), up to the last one that is not all black."""
    there: np.ndarray = np.any(images, axis=(3 - axis, 3))
    return there.shape[1] - there[:, ::-1].argmax(1)


def enlarged(image: np.ndarray, size: np.ndarray) -> np.ndarray:
    """The upper left corner of an image, of so many rows and columns, in the size of the whole."""
    rows, columns = (np.arange(side) * n // side for side, n in zip(image.shape, size, strict=False))
    return image[np.ix_(rows, columns)]


def lit(images: np.ndarray) -> np.ndarray:
    """Images stretched so that all but the darkest and lightest 2 % lie between 0 and 1: many were taken in the dark."""
    low, high = np.quantile(images, (0.02, 0.98), axis=(1, 2, 3), keepdims=True)
    return np.clip((images - low) / np.maximum(high - low, 1), 0, 1).astype(np.float32)


def parted(data: pl.Dataset) -> Pair:
    """Seven tenths to learn from, the rest held out."""
    kept, held = holdout(data.y, 0.3, seed=0)
    return data.take(kept), data.take(held)


# -- records with a hospital, a patient, a month, a person ----------------------------------------------------------

PATIENT = [
    "age", "sex", "cp", "trestbps", "chol", "fbs", "restecg", "thalach", "exang", "oldpeak", "slope", "ca", "thal", "num",
]  # fmt: skip
CODED = ("cp", "restecg", "slope", "thal")
"""Columns of the heart-disease table, as its authors call them, and those whose numbers are codes."""

HOSPITALS = {"cleveland": "Cleveland", "hungarian": "Hungary", "switzerland": "Switzerland", "va": "VA Long Beach"}


def hospitals() -> tuple[pl.data.Splits, np.ndarray]:
    """Patients of Cleveland to learn from; the others of Cleveland and those of three more hospitals held out, with theirs.

    Values stay as they were written down: a cholesterol of 0 too, which stands for unknown.
    """
    each = [
        polars.read_csv(
            path(f"heart_disease/processed.{file}.data"), has_header=False, null_values="?", new_columns=PATIENT
        ).with_columns(polars.all().cast(float), hospital=polars.lit(name))
        for file, name in HOSPITALS.items()
    ]
    table = (
        polars.concat(each).with_columns(disease=polars.when(polars.col("num") > 0).then(1).otherwise(0)).drop("num")
    )
    mine = np.flatnonzero(table["hospital"] == "Cleveland")
    kept = mine[holdout(table["disease"].to_numpy()[mine], 0.3, seed=0)[0]]
    held = np.setdiff1d(np.arange(len(table)), kept)
    types = {**dict.fromkeys(CODED, "categorical"), **dict.fromkeys(("ca", "chol"), "numeric")}
    found = encoded(table.drop("hospital"), (kept, held), "heart disease", target="disease", types=types)
    return found, table["hospital"].to_numpy()[held]


def encounters(part: int = 5) -> polars.DataFrame:
    """Stays of one in so many patients with diabetes: are they back within 30 days? `patient_nbr` says whose stay it was."""
    table = polars.read_csv(path("diabetes130/diabetic_data.csv.gz"), null_values="?", infer_schema_length=None)
    table = table.filter(polars.col("patient_nbr") % part == 0).drop("encounter_id")
    codes = [name for name in table.columns if name.endswith("_id")]
    return table.with_columns(
        polars.col(codes).cast(str), readmitted=polars.when(polars.col("readmitted") == "<30").then(1).otherwise(0)
    )


def transactions(count: int = 60_000) -> tuple[pl.data.Splits, np.ndarray]:
    """Payments by card of one month to learn from, of the three that follow held out, with their months: is it fraud?"""
    table = polars.read_parquet(path("fraud_simulated/tx_days031_150.parquet")).drop("TX_FRAUD_SCENARIO")
    table = table.sample(2 * count, seed=0).sort("TX_TIME_SECONDS")
    month = (table["TX_TIME_DAYS"].to_numpy() - 31) // 30
    inputs = table.drop("CUSTOMER_ID", "TERMINAL_ID", "TX_TIME_SECONDS", "TX_TIME_DAYS")
    rows = np.flatnonzero(month == 0), np.flatnonzero(month > 0)
    return encoded(inputs, rows, "card payments", target="TX_FRAUD"), month[rows[1]] + 1


def borrowers() -> pl.data.Splits:
    """Holders of credit cards in Taiwan: will they pay next month?"""
    types = dict.fromkeys(("SEX", "EDUCATION", "MARRIAGE"), "categorical")
    options = {"target": "default.payment.next.month", "ids": "ID", "types": types}
    return pl.data.load(path("uci_credit_default/UCI_Credit_Card.csv.gz"), **options)


def encoded(table: polars.DataFrame, rows: tuple[np.ndarray, np.ndarray], name: str, **options: Any) -> pl.data.Splits:
    """Rows to learn from and rows held out, in this order, as numbers; medians and categories come from the first alone."""
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"{name}.parquet", Path(folder) / "held out.parquet"]
        for part, file in zip(rows, files, strict=True):
            table[part].write_parquet(file)
        return pl.data.load(files[0], test=files[1], **options)


SETS: dict[str, Callable[[], Pair]] = {"sst2": sst2, "ecg5000": ecg5000, "heart": heart, "gtsrb": gtsrb}

if __name__ == "__main__":
    for name, load in SETS.items():
        try:
            train, test = load()
            print(f"{name:8} {len(train)} examples to learn from, {len(test)} held out")
        except Absent as reason:
            print(f"{name:8} {reason}")
