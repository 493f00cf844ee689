"""Do explanations agree with people? Movie reviews of ERASER, in which people marked the reasons for the label.

A model that pools the words of a review by attention is trained on the labels alone, with the marks, and with a price on spread
attention, each from several seeds. On the test reviews each method ranks the words, and its ranking is compared with what one
person marked there. A second person, who marked far fewer words, is the ceiling for as many words.

The last words of a review are read: they hold more of the marks than the first, since reviews end in a judgement.

Usage: python -m benchmarks.rationales [--seeds 5] [--epochs 5] [--reviews 60]
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import pellucid as pl
from benchmarks import machine
from benchmarks.agreeing import MEASURES, Scored, ceiling, scored, stretched
from benchmarks.texts import Review, Vocabulary, dataset, phrases, reviews
from pellucid import training
from pellucid.core.randomness import stream
from pellucid.core.resampling import Interval, studentized
from pellucid.measure.estimates import mean_interval
from pellucid.study.paired import Quantity, Row, table

LENGTH, WIDTH, PHRASE = 768, 32, 48
"""Words of a review that are read (87 % of all marks lie in them), the width of the model, and words of a phrase of SST-2."""

STRETCH, BUDGET = 24, 3000
"""Words that are one player of the Shapley values, and the scores that a review may cost: with each word a player, one order
alone takes 1,534."""


def network(length: int, words: Vocabulary) -> Any:
    """Embeddings, their neighbourhoods of five words, pooled by attention. What it costs is linear in the length."""
    import keras
    from keras import layers

    tokens = keras.Input((length,), dtype="int32", name="tokens")
    h = layers.Dropout(0.3)(layers.Embedding(len(words), WIDTH, name="embedding")(tokens))
    h = layers.Dropout(0.3)(layers.Conv1D(WIDTH, 5, padding="same", activation="gelu", name="neighbourhood")(h))
    pooled = pl.layers.AttentionPooling(name="pool")(h, mask=tokens != 0)
    net = keras.Model(tokens, layers.Dense(2, name="logits")(pooled))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    net.compile(keras.optimizers.Adam(1e-3), loss, metrics=["accuracy"])
    return net


def builder(words: Vocabulary) -> Callable[[], Any]:
    """Builds models that start from embeddings and neighbourhoods learnt on the phrases of SST-2; the rest is the seed's."""
    net = training.fresh(lambda: network(PHRASE, words), 0)
    training.fit(net, dataset(*phrases("train"), words, PHRASE), settings={"epochs": 1, "batch_size": 128}, seed=0)
    learnt = {name: net.get_layer(name).get_weights() for name in ("embedding", "neighbourhood")}

    def build() -> Any:
        made = network(LENGTH, words)
        for name, weights in learnt.items():
            made.get_layer(name).set_weights(weights)
        return made

    return build


def recipes(train: Sequence[Review]) -> dict[str, pl.Recipe]:
    """What is compared, in words."""
    marks = np.zeros((len(train), LENGTH), np.float32)
    for row, review in zip(marks, train, strict=True):
        row[: len(review.marks)] = review.marks
    return {
        "labels alone": pl.Recipe(),
        "labels and marks, 0.2": pl.Recipe(pl.AttentionSupervision(marks, 0.2)),
        "labels and marks, 1": pl.Recipe(pl.AttentionSupervision(marks, 1.0)),
        "labels and entropy, 0.1": pl.Recipe(pl.AttentionEntropy(0.1)),
    }


def methods() -> Mapping[str, Any]:
    """By name, each asked about the label."""
    return {
        "attention weights": pl.AttentionWeights(), "attention x gradient": pl.GradientAttention(),
        "gradient, its length": pl.Gradient(), "gradient x input": pl.GradientInput(),
        "integrated gradients": pl.IntegratedGradients(tolerance=0.05),
    }  # fmt: skip


def explained(model: Any, data: pl.Dataset, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Explanations by method."""
    return {name: pl.explain(model, data, m, target="label", progress=False) for name, m in asked.items()}


def by_chance(data: pl.Dataset) -> np.ndarray:
    """Values that know nothing."""
    return stream(0, "chance").random(data.x.shape)


def number(values: np.ndarray) -> str:
    """A mean over reviews with its 95 % interval."""
    return f"{values.mean():.3f} {between(studentized(values, stream(0, 'interval')))}"


def between(interval: Interval, sign: str = "") -> str:
    """An interval in brackets."""
    return f"({interval.low:{sign}.3f} to {interval.high:{sign}.3f})"


# -- the three tables ----------------------------------------------------------------------------------------------


def of_words(found: Mapping[str, Mapping[str, Scored]], chance: Scored, test: Sequence[Review]) -> list[str]:
    """Every recipe and method, the mean over seeds of each review; intervals over reviews."""
    lines = [f"| trained on | ranked by | {' | '.join(MEASURES)} |", "|:--|:--|" + "--:|" * len(MEASURES)]
    for title, ranked in [*found.items(), ("", {"chance": chance})]:
        for name, scores in ranked.items():
            cells = (number(column[~np.isnan(column)]) for column in scores.mean(0).T)
            lines.append(f"| {title} | {name} | {' | '.join(cells)} |")
    f1, share, count = ceiling(test)
    lines.append(f"| | the second person ({count} reviews) | | | {share.mean():.3f} (F1 {f1.mean():.3f}) |")
    return lines


def of_recipes(hits: Mapping[str, np.ndarray], found: Mapping[str, Mapping[str, Scored]]) -> list[str]:
    """What each recipe changes: accuracy and average precision, seed by seed and review by review."""
    names = list(hits)
    each = {"accuracy": hits, **{m: {n: found[n][m][:, :, 0] for n in names} for m in found[names[0]]}}
    means = np.stack([[values[n].mean(1) for n in names] for values in each.values()], axis=-1)
    rows = table(names, [Quantity(name, "higher") for name in each], means, 0)
    lines = [
        "| trained on | of | mean | difference | over seeds, 95 % | over reviews, 95 % | adjusted p (seeds) |",
        "|:--|:--|--:|--:|--:|--:|--:|",
    ]
    return lines + [_change(row, each[row.metric], names[0]) for row in rows]


def _change(row: Row, values: Mapping[str, np.ndarray], reference: str) -> str:
    start = f"| {row.recipe} | {row.metric} | {row.value:.3f} |"
    if row.difference is None or row.difference_interval is None:
        return f"{start} | | | |"
    gaps = (values[row.recipe] - values[reference]).mean(0)
    over = mean_interval(gaps, 0.95, stream(0, "interval"))
    return (
        f"{start} {row.difference:+.3f} | {between(row.difference_interval, '+')} | {between(over, '+')} | "
        f"{row.adjusted:.2g} |"
    )


def of_stretches(models: Mapping[str, Any], data: pl.Dataset, test: Sequence[Review]) -> list[str]:
    """Shapley values of stretches of words, beside the other methods' values averaged over the same stretches."""
    shapley = pl.PermutationShapley(patch=STRETCH, tolerance=0.1, max_evaluations=BUDGET)
    lines = [
        f"| trained on | ranked by, {STRETCH} words each | average precision | error of the map, median | scores a review |",
        "|:--|:--|--:|--:|--:|",
    ]
    for title, model in models.items():
        for name, e in explained(model, data, {**methods(), "Shapley values": shapley}).items():
            precision = scored(stretched(e.values, STRETCH), test)[:, 0]
            error = "" if e.error is None else f"{100 * np.median(e.error):.0f} %"
            lines.append(f"| {title} | {name} | {number(precision)} | {error} | {np.mean(e.evaluations):,.0f} |")
    precision = scored(stretched(by_chance(data), STRETCH), test)[:, 0]
    return [*lines, f"| | chance | {number(precision)} | | |"]


def told(train: Sequence[Review], test: Sequence[Review], given: argparse.Namespace) -> list[str]:
    """What was done, and how the second person's figures are to be read."""
    both = [(r.marks.sum(), r.others.sum()) for r in test if r.others is not None and r.others.any()]
    (first, second), some = np.mean(both, 0), np.mean([r.marks.sum() for r in train])
    return [
        f"Embeddings learnt on SST-2, a convolution over five words and attention pooling, trained on {len(train):,} reviews for "
        f"{given.epochs} epochs, {given.seeds} seeds each; the last {LENGTH} words are read; {len(test)} test reviews.",
        f"On the test reviews a person marked all reasons there are, {first:.0f} words on average; on the training reviews "
        f"only some ({some:.0f} words). The second person marked {second:.0f} words: what they chose is the ceiling for as many "
        "words, not for as many as the first person marked.",
    ]


def main() -> None:
    """Train, explain, compare, and write `results/rationales.json`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--reviews", type=int, default=60, help="test reviews whose Shapley values are found")
    given, start = parser.parse_args(), time.perf_counter()
    train, validation, test = ([r.last(LENGTH) for r in reviews(part)] for part in ("train", "val", "test"))
    test = [r for r in test if r.marks.any()]
    words = Vocabulary.of([*phrases("train")[0], *(r.words for r in train)], least=4)
    parts = [
        dataset([r.words for r in p], np.array([r.label for r in p]), words, LENGTH) for p in (train, validation, test)
    ]
    build, asked, hits, found, first = builder(words), recipes(train), {}, {}, {}
    for title, recipe in asked.items():
        hits[title], found[title] = [], {name: [] for name in methods()}
        for seed in range(given.seeds):
            run = pl.improve(
                build, recipe, train=parts[0], validation=parts[1], fit={"epochs": given.epochs}, seed=seed
            )
            first.setdefault(title, run.model)
            hits[title].append((run.model.scores(parts[2]).argmax(1) == parts[2].y).astype(float))
            for name, e in explained(run.model, parts[2], methods()).items():
                found[title][name].append(scored(e.values, test))
            print(f"{title}, {seed}: {hits[title][-1].mean():.3f}, {time.perf_counter() - start:.0f} s", flush=True)
        hits[title], found[title] = np.array(hits[title]), {n: np.array(s) for n, s in found[title].items()}
    chance = scored(by_chance(parts[2]), test)[None]
    few = slice(0, given.reviews)
    taught = {title: first[title] for title in list(asked)[:2]}
    lines = [
        *told(train, test, given), "",
        "What training with marks, or with a price on spread attention, changes (average precision of each method):", "",
        *of_recipes(hits, found), "",
        "Agreement with the person who marked the test reviews (means over seeds; 95 % over reviews):", "",
        *of_words(found, chance, test), "",
        f"Shapley values, of the first seed and {len(test[few])} reviews, beside the others averaged over the same words:", "",
        *of_stretches(taught, parts[2].take(few), test[few]),
    ]  # fmt: skip
    title = f"Agreement with people: the last {LENGTH} words of movie reviews ({os.environ['KERAS_BACKEND']})"
    result = {
        "title": title,
        "machine": machine.describe(),
        "minutes": (time.perf_counter() - start) / 60,
        "table": lines,
    }
    (Path(__file__).parent / "results" / "rationales.json").write_text(json.dumps(result, indent=1) + os.linesep)
    print("\n".join(lines))


if __name__ == "__main__":
    main()
