"""Random weights and inputs of every kind of model, drawn once and read by everybody.

Usage: python -m benchmarks.agreement.samples FOLDER    (Keras on TensorFlow)
"""

from __future__ import annotations

import sys
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.agreement.kinds import CLASSES, KINDS, VOCABULARY, Kind

EXAMPLES, BACKGROUND = 4, 5
BOUND = 2.0
"""Inputs lie between minus this and this."""

Arrays = tuple[np.ndarray, ...]


@dataclass(frozen=True)
class Sample:
    """A model of a kind with its weights, and what is asked about it.

    `x`, `baseline` and `background` hold one array an input: examples (B, ...), one example (1, ...) and a set of them.
    The scores are those of Keras on TensorFlow.
    """

    kind: Kind
    weights: list[np.ndarray]
    x: Arrays
    baseline: Arrays
    background: Arrays
    target: np.ndarray
    scores: dict[str, np.ndarray]

    def model(self) -> Any:
        """The Keras model with these weights."""
        model = self.kind.build()
        model.set_weights(self.weights)
        return model

    def promised(self, what: str) -> np.ndarray:
        """The asked-about score (B,), less its value at the baseline or its mean over the background."""
        score = self.scores["x"][np.arange(EXAMPLES), self.target]
        if what == "score":
            return score
        return score - self.scores[what][:, self.target].mean(0)


def _weight(path: str, shape: tuple[int, ...], chance: np.random.Generator) -> np.ndarray:
    """A random weight of the size that keeps signals about as large as they came."""
    draw = chance.standard_normal(shape)
    if "variance" in path:
        return chance.uniform(0.5, 1.5, shape)
    if "gamma" in path:
        return 1 + 0.2 * draw
    if "embeddings" in path:
        return draw
    if any(name in path for name in ("bias", "beta", "mean")):
        return 0.2 * draw
    fan_in = shape[0] if len(shape) == 2 else np.prod(shape[:2] if "attention" in path else shape[:-1])
    return draw * np.sqrt(2 / fan_in)


def _inputs(kind: Kind, count: int, chance: np.random.Generator) -> Arrays:
    if kind.tokens:
        return tuple(chance.integers(1, VOCABULARY, (count, *s)).astype(np.int32) for s in kind.shapes.values())
    draws = [chance.standard_normal((count, *s)) for s in kind.shapes.values()]
    return tuple(np.clip(d, -BOUND, BOUND).astype(np.float32) for d in draws)


def _scores(kind: Kind, model: Any, inputs: Arrays) -> np.ndarray:
    given: Any = dict(zip(kind.shapes, inputs, strict=True)) if len(inputs) > 1 else inputs[0]
    return np.asarray(model(given, training=False))


def draw(kind: Kind, folder: Path) -> None:
    """Write `folder/KIND.npz`."""
    chance = np.random.default_rng(zlib.crc32(kind.name.encode()))
    model = kind.build()
    weights = [_weight(w.path, tuple(w.shape), chance).astype(np.float32) for w in model.weights]
    model.set_weights(weights)
    parts = {
        name: _inputs(kind, n, chance) for name, n in (("x", EXAMPLES), ("baseline", 1), ("background", BACKGROUND))
    }
    held = {f"{name}_{i}": a for name, arrays in parts.items() for i, a in enumerate(arrays)}
    scores = {f"scores_{name}": _scores(kind, model, arrays) for name, arrays in parts.items()}
    held |= {f"weight_{i}": w for i, w in enumerate(weights)} | scores
    np.savez(folder / f"{kind.name}.npz", target=np.arange(EXAMPLES) % CLASSES, **held)


def load(name: str, folder: Path) -> Sample:
    """A sample that `draw` has written."""
    with np.load(folder / f"{name}.npz") as f:
        several = lambda what: tuple(f[f"{what}_{i}"] for i in range(sum(k.startswith(f"{what}_") for k in f.files)))  # noqa: E731
        parts = [several(what) for what in ("x", "baseline", "background")]
        scores = {what: f[f"scores_{what}"] for what in ("x", "baseline", "background")}
        return Sample(KINDS[name], list(several("weight")), *parts, target=f["target"], scores=scores)


if __name__ == "__main__":
    for one in KINDS.values():
        draw(one, Path(sys.argv[1]))
