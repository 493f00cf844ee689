"""What a recipe adds to an epoch of `keras.Model.fit`: `python -m benchmarks.improving [--rounds 3]`.

An epoch's time is that from the end of one to the end of the next, logs and all, so that tracing is left out; fit and the recipes
take turns, and the least of all epochs counts.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

import pellucid as pl
from benchmarks import machine

EPOCHS, BATCH = 5, 64
LIMITS = {
    "plain": 1.05,
    "L2": 1.05,
    "SpectralNorm": 1.05,
    "Orthogonal": 1.05,
    "SharpnessAware": 2.1,
    "RightReasons": 2.5,
}
"""How many times as long as the same fit an epoch may take."""


def cnn() -> Any:
    """A small CNN for images of 28 x 28 pixels."""
    import keras

    layers = keras.layers
    net = keras.Sequential([
        keras.Input((28, 28, 1)), layers.Conv2D(16, 3, activation="relu"), layers.MaxPooling2D(),
        layers.Conv2D(32, 3, activation="relu"), layers.MaxPooling2D(), layers.Flatten(),
        layers.Dense(64, activation="relu"), layers.Dense(10, activation="softmax"),
    ])  # fmt: skip
    net.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"], jit_compile=False)
    return net


def mlp() -> Any:
    """Two hidden layers for a table of 30 columns."""
    import keras

    layers = keras.layers
    net = keras.Sequential([
        keras.Input((30,)), layers.Dense(64, activation="relu"), layers.Dense(32, activation="relu"),
        layers.Dense(10, activation="softmax"),
    ])  # fmt: skip
    net.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"], jit_compile=False)
    return net


class Clock:
    """The least time from the end of an epoch to the end of the next."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def callback(self) -> Any:
        import keras

        clock = self

        class Ends(keras.callbacks.Callback):
            def on_train_begin(self, logs: Any = None) -> None:
                clock.last = None

            def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
                now = time.perf_counter()
                if clock.last is not None:
                    clock.times.append(now - clock.last)
                clock.last = now

        return Ends()


def timed(recipe: pl.Recipe) -> Callable[[Any, Any], Clock]:
    """Times the epochs of a recipe."""
    from pellucid.improve.base import Remedy

    class Timing(Remedy):
        slot = "timing"
        rank = 99

        def __init__(self, clock: Clock) -> None:
            object.__setattr__(self, "clock", clock)

        def callbacks(self, *, validated: bool) -> list[Any]:
            return [self.clock.callback()]

        def __repr__(self) -> str:
            return "timing"

    def run(build: Any, data: Any) -> Clock:
        clock = Clock()
        watched = pl.Recipe(*recipe.remedies, Timing(clock))
        pl.improve(build, watched, train=data, fit={"epochs": EPOCHS, "batch_size": BATCH}, progress=False)
        return clock

    return run


def fitted(build: Any, data: Any) -> Clock:
    """Times the epochs of Keras's own fit."""
    clock = Clock()
    build().fit(*data, epochs=EPOCHS, batch_size=BATCH, verbose=0, callbacks=[clock.callback()])
    return clock


def main() -> None:
    """Take turns, and tell the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    draw, told = np.random.default_rng(0), {}
    for name, build, shape, cause in (
        ("CNN, 4,000 images", cnn, (4000, 28, 28, 1), np.ones((28, 28, 1))),
        ("MLP, 20,000 rows", mlp, (20_000, 30), np.ones(30)),
    ):
        data = draw.normal(size=shape).astype("float32"), draw.integers(0, 10, shape[0])
        cause[: len(cause) // 2] = 0
        recipes = {
            "plain": pl.Recipe(), "L2": pl.Recipe(pl.L2(1e-4)), "SpectralNorm": pl.Recipe(pl.SpectralNorm(1e-4)),
            "Orthogonal": pl.Recipe(pl.Orthogonal(1e-4)), "SharpnessAware": pl.Recipe(pl.SharpnessAware()),
            "RightReasons": pl.Recipe(pl.RightReasons(cause, 0.01)),
        }  # fmt: skip
        runs = {"fit": fitted, **{key: timed(recipe) for key, recipe in recipes.items()}}
        least = dict.fromkeys(runs, np.inf)
        for _ in range(rounds):
            for key, run in runs.items():
                least[key] = min(least[key], *run(build, data).times)
        told[name] = {key: {"seconds": least[key], "ratio": least[key] / least["fit"]} for key in runs}
        for key, found in told[name].items():
            print(
                f"{name}: {key:15} {found['seconds']:.3f} s an epoch, {found['ratio']:.2f} of fit, limit {LIMITS.get(key, 1)}"
            )
    file = Path(__file__).parent / "results" / "improving.json"
    file.write_text(json.dumps({"machine": machine.describe(), "found": told}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
