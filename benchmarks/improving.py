"""What a recipe adds to an epoch of `keras.Model.fit`: `python -m benchmarks.improving [--epochs 25]`.

Fit and the recipes do an epoch each in turn, log and all, the first of which (tracing) is left out. The ratio is the median over
rounds of an epoch's time and that of fit in the same round: by the clock, and of the processor.
"""

from __future__ import annotations

import argparse
import json
import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

import pellucid as pl
from benchmarks import machine
from pellucid.improve.base import Remedy

BATCH = 64
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
    net.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return net


def mlp() -> Any:
    """Two hidden layers for a table of 30 columns."""
    import keras

    layers = keras.layers
    net = keras.Sequential([
        keras.Input((30,)), layers.Dense(64, activation="relu"), layers.Dense(32, activation="relu"),
        layers.Dense(10, activation="softmax"),
    ])  # fmt: skip
    net.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return net


class Turns:
    """Trainings in threads that do an epoch each in turn, so that what else the machine does disturbs all of them alike."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names, self._next, self._free = list(names), 0, threading.Condition()
        self.times: dict[str, list[tuple[float, float]]] = {name: [] for name in names}

    def callback(self, name: str) -> Any:
        """Waits for the turn of a training at the start of an epoch; writes down its seconds, and those of the processor."""
        import keras

        turns = self

        class Waiting(keras.callbacks.Callback):
            def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
                with turns._free:
                    turns._free.wait_for(lambda: turns._names[turns._next] == name)
                self.start = time.perf_counter(), time.process_time()

            def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
                turns.times[name].append((time.perf_counter() - self.start[0], time.process_time() - self.start[1]))
                with turns._free:
                    turns._next = (turns._next + 1) % len(turns._names)
                    turns._free.notify_all()

        return Waiting()


class Timing(Remedy):
    """Adds a callback behind all others."""

    slot = "timing"
    rank = 99

    def __init__(self, callback: Any) -> None:
        object.__setattr__(self, "callback", callback)

    def callbacks(self, *, validated: bool) -> list[Any]:
        """The callback."""
        return [self.callback]

    def __repr__(self) -> str:
        return "timing"


def timed(build: Any, data: Any, recipes: dict[str, pl.Recipe], epochs: int) -> dict[str, np.ndarray]:
    """Times (epochs, 2) of Keras's own fit and of the recipes; the first epoch, in which steps are traced, is left out."""
    turns = Turns(["fit", *recipes])

    def fitted() -> None:
        build().fit(*data, epochs=epochs, batch_size=BATCH, verbose=0, callbacks=[turns.callback("fit")])

    def improved(name: str, recipe: pl.Recipe) -> None:
        watched = pl.Recipe(*recipe.remedies, Timing(turns.callback(name)))
        pl.improve(build, watched, train=data, fit={"epochs": epochs, "batch_size": BATCH}, progress=False)

    work = [
        threading.Thread(target=fitted),
        *(threading.Thread(target=improved, args=item) for item in recipes.items()),
    ]
    for thread in work:
        thread.start()
    for thread in work:
        thread.join()
    return {name: np.array(found[1:]) for name, found in turns.times.items()}


def main() -> None:
    """Take turns, and tell the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=25)
    asked = parser.parse_args()
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
        times = timed(build, data, recipes, asked.epochs)
        ratios = {key: np.median(found / times["fit"], axis=0) for key, found in times.items()}
        seconds = {key: np.median(found[:, 0]) for key, found in times.items()}
        told[name] = {
            key: {"seconds": seconds[key], "ratio": wall, "processor": processor}
            for key, (wall, processor) in ratios.items()
        }
        for key, (wall, processor) in ratios.items():
            print(
                f"{name}: {key:15} {seconds[key]:.3f} s an epoch, {wall:.2f} of fit ({processor:.2f} of its processor time), "
                f"limit {LIMITS.get(key, 1)}"
            )
    file = Path(__file__).parent / "results" / "improving.json"
    file.write_text(json.dumps({"machine": machine.describe(), "found": told}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
