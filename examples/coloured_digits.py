"""Coloured digits: while training colour tells the label better than shape, later it misleads. How one selects decides.

    python examples/coloured_digits.py [--seeds 3] [--steps 400] [--kept FOLDER]

Two environments are learnt from: colour agrees with the label in 90 and in 80 of 100 images. The label itself, whether a digit
is at least 5, is wrong in 25 of 100, so that shape is right in 75. In the environment that judges, colour agrees in 10 of 100.
"""

from __future__ import annotations

import argparse
import gzip
from pathlib import Path
from typing import Any

import numpy as np
from loaders import Absent, path

import pellucid as pl


def images(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Digits of MNIST, every other pixel of every other row (B, 14, 14), and which digit it is."""
    with gzip.open(path(f"mnist/{name}-images-idx3-ubyte.gz")) as file:
        x = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 28, 28)[:, ::2, ::2]
    with gzip.open(path(f"mnist/{name}-labels-idx1-ubyte.gz")) as file:
        return (x / 255).astype(np.float32), np.frombuffer(file.read(), np.uint8, offset=8)


def coloured(
    x: np.ndarray, digit: np.ndarray, agree: float, draw: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Images in two colours (B, 14, 14, 2), and labels; colour agrees with the label in so large a share."""
    y = (digit >= 5) ^ (draw.random(len(x)) < 0.25)
    colour = y ^ (draw.random(len(x)) >= agree)
    return np.stack([x * ~colour[:, None, None], x * colour[:, None, None]], axis=-1).astype(np.float32), y.astype(int)


def environments(seed: int = 0) -> dict[str, pl.Dataset]:
    """Two environments to learn from, more of the same to choose by, and another to judge by."""
    draw = np.random.default_rng(seed)
    x, digit = images("train")
    rows = draw.permutation(len(x))
    parts: dict[str, pl.Dataset] = {}
    for part, start, count in (("train", 0, 10_000), ("validation", 20_000, 2_000)):
        pairs = [
            coloured(x[rows[at : at + count]], digit[rows[at : at + count]], agree, draw)
            for at, agree in ((start, 0.9), (start + count, 0.8))
        ]
        joined = [np.concatenate(both) for both in zip(*pairs, strict=True)]
        parts[part] = pl.Dataset(*joined, groups=np.repeat(["90 %", "80 %"], count), name=f"coloured digits ({part})")
    parts["test"] = pl.Dataset(*coloured(*images("t10k"), 0.1, draw), name="coloured digits (10 %)")
    return parts


def build() -> Any:
    """Two hidden layers, as published."""
    import keras

    layers = keras.layers
    calm = keras.regularizers.L2(0.001)
    net = keras.Sequential([
        keras.Input((14, 14, 2)), layers.Flatten(), layers.Dense(128, activation="relu", kernel_regularizer=calm),
        layers.Dense(128, activation="relu", kernel_regularizer=calm), layers.Dense(1, kernel_regularizer=calm),
    ])  # fmt: skip
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    net.compile(keras.optimizers.Adam(0.001), loss, metrics=["accuracy"], jit_compile=False)
    return net


def recipes(groups: np.ndarray, steps: int) -> dict[str, pl.Recipe]:
    """Plain training, the worst group first, and prices of several strengths on what differs between environments."""
    found = {"plain": pl.Recipe(), "GroupDRO": pl.Recipe(pl.GroupDro(groups))}
    for strength in (100, 1_000, 10_000):
        for kind, name in (("irm", "IRM"), ("vrex", "V-REx")):
            found[f"{name} {strength}"] = pl.Recipe(pl.InvariantRisk(groups, strength, kind, warm_up=steps // 4))
    return found


def main() -> None:
    """Compare, and select twice."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--kept", type=Path)
    asked = parser.parse_args()
    try:
        parts = environments()
    except Absent as reason:
        print(f"left out: {reason}")
        return
    fit = {"epochs": asked.steps // 4, "batch_size": 5_000}
    plans = recipes(parts["train"].groups, asked.steps)
    found = pl.compare(build, plans, **parts, seeds=asked.seeds, fit=fit, measures=(), folder=asked.kept, workers=1)
    print(found)
    print(found.selected(on="validation", quantity="accuracy"))
    print(found.selected(on="test", quantity="accuracy", oracle=True))


if __name__ == "__main__":
    main()
