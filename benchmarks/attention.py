"""A text transformer trained on SST-2: how good it gets and how fast, and what reading its attention costs.

Usage: python -m benchmarks.attention [--epochs 2] [--repeats 15]
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import machine
from benchmarks.process import THREADS, affinity, environment
from benchmarks.texts import Vocabulary, dataset, phrases

LENGTH = 48
"""Tokens of a phrase; the longest of the dev set has 47."""

NEEDED, MINUTES = 0.78, 10
"""Dev accuracy that two layers have to reach, and within how long."""

READ, EXPLAIN = 1.2, 1.3
"""What reading may cost of a forward pass, and GradientAttention of a forward and backward pass."""


def trained(epochs: int) -> tuple[Any, Any, float]:
    """The model, the dev set, and the seconds that training took."""
    import keras

    import pellucid as pl
    from pellucid import training

    texts, labels = phrases("train")
    words = Vocabulary.of(texts)
    train, dev = dataset(texts, labels, words, LENGTH), dataset(*phrases("dev"), words, LENGTH)

    def build() -> Any:
        net = pl.models.text_transformer(LENGTH, len(words), 2, width=64, dropout=0.2, pool="attention")
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        net.compile(keras.optimizers.Adam(1e-3), loss, metrics=["accuracy"])
        return net

    net, start = training.fresh(build, 0), time.perf_counter()
    training.fit(net, train, settings={"epochs": epochs, "batch_size": 128}, seed=0)
    return pl.wrap(net), dev, time.perf_counter() - start


def least(runs: dict[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    """Least seconds of each, taking turns, each warmed up twice."""
    found: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        run(), run()
    for _ in range(repeats):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            found[name].append(time.perf_counter() - start)
    return {name: min(times) for name, times in found.items()}


def compared(model: Any, dev: Any, repeats: int) -> list[str]:
    """Lines of what reading and explaining by attention costs, of 512 phrases."""
    import pellucid as pl

    x = dev.x[:512]
    inputs, target = model.prepare(x), np.asarray(dev.y[:512])
    spent = least(
        {
            "forward": lambda: model.outputs_of(inputs),
            "pl.attention": lambda: pl.attention(model, x),
            "pl.explain, Gradient": lambda: pl.explain(model, x, pl.Gradient(), target=target, progress=False),
            "pl.explain, GradientAttention": lambda: pl.explain(
                model, x, pl.GradientAttention(), target=target, progress=False
            ),
        },
        repeats,
    )
    ratio = lambda name, of: f"{spent[name] / spent[of]:.2f}"  # noqa: E731
    return [
        f"| pl.attention, of a forward pass | {ratio('pl.attention', 'forward')} | {READ} |",
        "| GradientAttention, of Gradient (one forward and backward pass) | "
        f"{ratio('pl.explain, GradientAttention', 'pl.explain, Gradient')} | {EXPLAIN} |",
    ]


def main() -> None:
    """Train, measure, and write `results/attention.json`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=15)
    given = parser.parse_args()
    affinity()
    model, dev, seconds = trained(given.epochs)
    right = int((model.scores(dev).argmax(1) == dev.y).sum())
    from scipy.stats import binomtest

    low, high = binomtest(right, len(dev)).proportion_ci(method="wilson")
    lines = [
        "| | measured | limit |", "|:--|--:|--:|",
        f"| SST-2 dev accuracy, {given.epochs} epochs (95 %: {low:.3f} to {high:.3f}) | {right / len(dev):.3f} | {NEEDED} |",
        f"| training on {THREADS} threads, minutes | {seconds / 60:.1f} | {MINUTES} |",
        *compared(model, dev, given.repeats),
    ]  # fmt: skip
    backend = os.environ["KERAS_BACKEND"]
    title = f"Attention: a text transformer of two layers on SST-2 ({backend})"
    result = {"title": title, "machine": machine.describe(), "table": lines}
    name = "attention" if backend == "tensorflow" else f"attention-{backend}"
    (Path(__file__).parent / "results" / f"{name}.json").write_text(json.dumps(result, indent=1) + os.linesep)
    print("\n".join(lines))


if __name__ == "__main__":
    wanted = environment(os.environ.get("KERAS_BACKEND", "tensorflow"))
    if os.environ.get("OMP_NUM_THREADS") != wanted["OMP_NUM_THREADS"]:  # threads are counted when a framework is loaded
        os.execve(sys.executable, [sys.executable, "-m", "benchmarks.attention", *sys.argv[1:]], wanted)
    main()
