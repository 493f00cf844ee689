"""Do explanations agree with people? Movie reviews of ERASER, in which one person marked the reasons, and for some a second.

A text transformer is trained on the reviews' labels alone. On test reviews each method ranks the words, and its ranking is
compared with what the first person marked: area under the precision-recall curve (the share of marked words is what chance
gives), and the F1 of as many words as the person marked. The second person's F1 with the first is the ceiling.

Usage: python -m benchmarks.rationales [--reviews 60] [--epochs 8] [--supervised]
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import machine
from benchmarks.texts import Review, Vocabulary, dataset, reviews, second_person

LENGTH, WIDTH = 512, 32
"""Words of a review that are read (the mean review has 774), and the width of the model."""


def trained(
    train: Sequence[Review], validation: Sequence[Review], words: Vocabulary, epochs: int, strength: float
) -> Any:
    """A model that attends once, over the words; with a strength above 0, taught to attend to what was marked."""
    import keras

    import pellucid as pl

    def build() -> Any:
        net = pl.models.text_transformer(LENGTH, len(words), 2, width=WIDTH, depth=1, dropout=0.3, pool="attention")
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        net.compile(keras.optimizers.Adam(2e-3), loss, metrics=["accuracy"])
        return net

    given, held = (dataset([r.words for r in part], _labels(part), words, LENGTH) for part in (train, validation))
    recipe = pl.AttentionSupervision(_marks(train), strength) if strength else pl.Recipe()
    return pl.improve(build, recipe, train=given, validation=held, fit={"epochs": epochs, "batch_size": 32}, seed=0)


def _labels(part: Sequence[Review]) -> np.ndarray:
    return np.array([r.label for r in part])


def _marks(part: Sequence[Review]) -> np.ndarray:
    found = np.zeros((len(part), LENGTH), np.float32)
    for row, review in zip(found, part, strict=True):
        cut = review.marks[:LENGTH]
        row[: len(cut)] = cut
    return found


def precision_recall(values: np.ndarray, marks: np.ndarray) -> float:
    """Area under the precision-recall curve (average precision)."""
    from sklearn.metrics import average_precision_score

    return float(average_precision_score(marks, values))


def f1(chosen: np.ndarray, marks: np.ndarray) -> float:
    """Twice the common words over the words of both."""
    return float(2 * (chosen & marks).sum() / max(1, chosen.sum() + marks.sum()))


def top(values: np.ndarray, count: int) -> np.ndarray:
    """The words with the highest values."""
    found = np.zeros(len(values), bool)
    found[np.argsort(-values, kind="stable")[:count]] = True
    return found


def methods() -> Mapping[str, Any]:
    """What is compared, in words."""
    import pellucid as pl

    return {
        "attention (weights)": pl.AttentionWeights(), "attention times gradient": pl.GradientAttention(),
        "gradient times input": pl.GradientInput(), "integrated gradients": pl.IntegratedGradients(tolerance=0.1),
        "Shapley values": pl.PermutationShapley(tolerance=0.5, max_evaluations=2 * LENGTH + 2),
    }  # fmt: skip


def agreement(model: Any, test: Sequence[Review], words: Vocabulary) -> dict[str, list[tuple[float, float]]]:
    """(average precision, F1) of each review, by method; and of random values."""
    import pellucid as pl

    data = dataset([r.words for r in test], _labels(test), words, LENGTH)
    lengths = [min(LENGTH, len(r.words)) for r in test]
    found = {name: pl.explain(model, data, method, progress=False).values for name, method in methods().items()}
    found["random"] = np.random.default_rng(0).random(data.x.shape)
    scored: dict[str, list[tuple[float, float]]] = {}
    for name, values in found.items():
        scored[name] = []
        for row, review, length in zip(values, test, lengths, strict=True):
            marks, said = review.marks[:length], np.asarray(row[:length], float)
            scored[name].append((precision_recall(said, marks), f1(top(said, int(marks.sum())), marks)))
    return scored


def ceiling(test: Sequence[Review]) -> tuple[float, int]:
    """Mean F1 of the second person with the first, on the reviews that both have read; and their number."""
    spans, found = second_person(), []
    for review in test:
        if review.name in spans:
            chosen = np.zeros(len(review.words), bool)
            for first, last in spans[review.name]:
                chosen[first:last] = True
            found.append(f1(chosen[:LENGTH], review.marks[:LENGTH]))
    return float(np.mean(found)), len(found)


def interval(values: Sequence[float]) -> str:
    """A mean with its 95 % interval from Student's t."""
    from scipy.stats import t

    half = t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values))
    return f"{np.mean(values):.3f} ± {half:.3f}"


def main() -> None:
    """Train with and without marks, compare, and write `results/rationales.json`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reviews", type=int, default=60, help="test reviews that are explained")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--strength", type=float, default=0.5, help="of the supervision")
    given = parser.parse_args()
    train, validation, test = (reviews(part) for part in ("train", "val", "test"))
    words = Vocabulary.of([r.words for r in train], least=4)
    whole = dataset([r.words for r in test], _labels(test), words, LENGTH)
    asked = [r for r in test if r.marks[:LENGTH].any()]
    asked = sorted(asked, key=lambda r: r.name not in second_person())[: given.reviews]
    lines = ["| | test accuracy | average precision | F1 |", "|:--|--:|--:|--:|"]
    for title, strength in (("labels alone", 0.0), ("labels and marks", given.strength)):
        model = trained(train, validation, words, given.epochs, strength).model
        hits = (model.scores(whole).argmax(1) == whole.y).astype(float)
        for name, scores in agreement(model, asked, words).items():
            precision, common = zip(*scores, strict=True)
            lines.append(f"| {title}: {name} | {interval(hits)} | {interval(precision)} | {interval(common)} |")
    both, count = ceiling(test)
    lines.append(f"| a second person ({count} reviews) | | | {both:.3f} |")
    result = {
        "title": f"Agreement with people: {len(asked)} movie reviews", "machine": machine.describe(), "table": lines,
    }  # fmt: skip
    (Path(__file__).parent / "results" / "rationales.json").write_text(json.dumps(result, indent=1) + os.linesep)
    print("\n".join(lines))


if __name__ == "__main__":
    main()
