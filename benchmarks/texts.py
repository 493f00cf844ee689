"""Texts as token numbers: SST-2 phrases, and movie reviews with what people marked in them (ERASER)."""

from __future__ import annotations

import csv
import gzip
import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

import pellucid as pl

DATA = Path(os.environ.get("PELLUCID_DATA") or Path(__file__).parents[2] / "shared" / "data")
"""The folder with the data sets that are not part of the package."""

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
        return cls(("", "[?]", *sorted(word for word, times in count.items() if times >= least)))

    def __len__(self) -> int:
        return len(self.words)

    def numbers(self, texts: Sequence[Sequence[str]], length: int) -> np.ndarray:
        """Texts as token numbers (B, T), cut or padded at the end."""
        at = {word: i for i, word in enumerate(self.words)}
        found = np.zeros((len(texts), length), np.int32)
        for row, text in zip(found, texts, strict=True):
            known = [at.get(word, UNKNOWN) for word in text[:length]]
            row[: len(known)] = known
        return found


def phrases(part: str) -> tuple[list[list[str]], np.ndarray]:
    """SST-2: words and labels (1: positive) of "train", "dev" or "test"."""
    with gzip.open(DATA / "sst2" / f"{part}.tsv.gz", "rt", encoding="utf-8") as file:
        rows = list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))[1:]
    return [text.split() for _, text in rows], np.array([int(label) for label, _ in rows])


@dataclass(frozen=True)
class Review:
    """A movie review: its words, whether it is positive, and what people marked (T,) as the reason: one person in every
    review, another in some."""

    name: str
    words: list[str]
    label: int
    marks: np.ndarray
    others: np.ndarray | None = None

    def last(self, count: int) -> Review:
        """Its last words."""
        others = None if self.others is None else self.others[-count:]
        return replace(self, words=self.words[-count:], marks=self.marks[-count:], others=others)


def reviews(part: str) -> list[Review]:
    """ERASER movies: "train", "val" or "test". The file of training reviews holds the validation reviews too: left out."""
    texts = {d["docid"]: d["text"].split() for d in _lines("docs")}
    held = {e["annotation_id"] for e in _lines("val")} if part == "train" else set()
    others = {e["annotation_id"]: e["rationales"][0] for e in _lines("movies_majority_human_perf")}
    found = []
    for entry in _lines(part):
        name, spans = entry["annotation_id"], [span for group in entry["evidences"] for span in group]
        if name in held:
            continue
        words, other = texts[name], others.get(name)
        marks = _marked(len(words), spans)
        second = None if other is None else _marked(len(words), other["hard_rationale_predictions"])
        found.append(Review(name, words, int(entry["classification"] == "POS"), marks, second))
    return found


def _marked(count: int, spans: Sequence[dict]) -> np.ndarray:
    marks = np.zeros(count, bool)
    for span in spans:
        marks[span["start_token"] : span["end_token"]] = True
    return marks


def _lines(name: str) -> Iterator[dict]:
    with gzip.open(DATA / "eraser_movies" / f"{name}.jsonl.gz", "rt", encoding="utf-8") as file:
        yield from map(json.loads, file)


def dataset(texts: Sequence[Sequence[str]], labels: np.ndarray, words: Vocabulary, length: int) -> pl.Dataset:
    """Texts as a `Dataset` of token numbers."""
    return pl.Dataset(words.numbers(texts, length), labels, kind="text", class_names=["negative", "positive"])
