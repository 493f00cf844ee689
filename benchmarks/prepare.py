"""Train a case and write what everybody starts from: weights, examples, classes, and reference maps.

Usage: python -m benchmarks.prepare NAME FOLDER    (Keras on TensorFlow)
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from benchmarks.cases import CASES, HELD, NOISE, Case, Prepared

POINTS, DRAWS = 2048, 1024


def train(case: Case) -> tuple[Any, np.ndarray]:
    """A trained model, and the examples to explain."""
    import keras

    keras.utils.set_random_seed(0)
    x, y = case.data()
    order = np.random.default_rng(0).permutation(len(x))
    held, rest = order[:HELD], order[HELD:]
    model = case.build()
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    model.fit(x[rest], y[rest], epochs=case.epochs, batch_size=32, verbose=0)
    if case.tokens:  # token 0 is never seen: it is the padding that stands for nothing, so nothing is what it gives
        table = model.get_layer("embedding").embeddings
        table.assign(np.concatenate([np.zeros_like(table[:1]), np.asarray(table)[1:]]))
    loss, accuracy = model.evaluate(x[held], y[held], verbose=0)
    print(f"{case.name}: held-out loss {loss:.3f}, accuracy {accuracy:.3f}", file=sys.stderr)
    return model, x[order[: case.examples]]


def mean_gradients(head: Any, starts: np.ndarray, target: np.ndarray, make: Callable, total: int) -> np.ndarray:
    """Mean gradient of each example over `total` points that `make(example, first, last)` gives, in float64."""

    @tf.function(reduce_retracing=True)
    def summed(points: tf.Tensor, column: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(points)
            score = tf.gather(head(points, training=False), column, axis=1)
        return tf.reduce_sum(tf.cast(tape.gradient(score, points), tf.float64), axis=0)

    size, means = 256, []
    for start, column in zip(starts, target, strict=True):
        parts = [summed(make(start, i, i + size).astype(np.float32), int(column)) for i in range(0, total, size)]
        means.append(np.sum(parts, axis=0) / total)
    return np.stack(means)


def path_reference(head: Any, starts: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Integrated gradients from zero by the midpoint rule with 2,048 points."""

    def make(start: np.ndarray, first: int, last: int) -> np.ndarray:
        return np.multiply.outer((np.arange(first, last) + 0.5) / POINTS, start)

    return starts * mean_gradients(head, starts, target, make, POINTS)


def smooth_reference(head: Any, starts: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The gradient's mean over 1,024 draws of noise."""
    generator = np.random.default_rng(1)

    def make(start: np.ndarray, first: int, last: int) -> np.ndarray:
        return start + NOISE * generator.standard_normal((last - first, *start.shape))

    return mean_gradients(head, starts, target, make, DRAWS)


def prepare(name: str, folder: Path) -> None:
    """Write `folder/name.npz`."""
    case = CASES[name]
    model, x = train(case)
    logits = np.asarray(model(x, training=False))
    target = logits.argmax(1)
    weights = model.get_weights()
    none = np.empty(0)
    embed, head = Prepared(case, x, target, weights, none, None, logits).halves(model)
    starts = np.asarray(embed(x))
    reference = path_reference(head, starts, target)
    held = {"reference": reference.sum(-1) if case.tokens else reference}
    if not case.tokens:
        held["smooth"] = smooth_reference(head, starts, target)
    held |= {f"weight_{i}": w for i, w in enumerate(weights)}
    np.savez(folder / f"{name}.npz", x=x, target=target, logits=logits, **held)


if __name__ == "__main__":
    prepare(sys.argv[1], Path(sys.argv[2]))
