"""Texts as token numbers: SST-2 phrases, and movie reviews with what people marked in them (ERASER)."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from examples.loaders import Vocabulary, path
from examples.loaders import phrases as phrases

import pellucid as pl


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
    with gzip.open(path(f"eraser_movies/{name}.jsonl.gz"), "rt", encoding="utf-8") as file:
        yield from map(json.loads, file)


def dataset(texts: Sequence[Sequence[str]], labels: np.ndarray, words: Vocabulary, length: int) -> pl.Dataset:
    """Texts as a `Dataset` of token numbers."""
    names = ["negative", "positive"]
    return pl.Dataset(words.numbers(texts, length), labels, kind="text", class_names=names, vocabulary=words.words)
