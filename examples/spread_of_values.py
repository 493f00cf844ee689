"""Values that come with a spread: one network and five together, on scikit-learn's diabetes data.

    python examples/spread_of_values.py [--splits 10] [--epochs 40]

Each network gives a mean and the logarithm of a variance, and learns by the likelihood of a normal distribution. Five of them
are a mixture, which is taken for a normal distribution of the same mean and variance:

    mean = 1/M sum_m mean_m,    variance = 1/M sum_m (variance_m + mean_m^2) - mean^2

So Lakshminarayanan, Pritzel and Blundell 2017, arXiv:1612.01474, who found that five together know better how unsure they are
(likelihood), and need not be nearer to the truth (root mean squared error).
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from sklearn.datasets import load_diabetes

import pellucid as pl
from pellucid.core.resampling import student

WIDTH, FLOOR = 50, 1e-3


def likelihood(y: Any, told: Any) -> Any:
    """Minus the logarithm of the normal density of labels (B, 1), the constant left out, at means and log-variances (B, 2)."""
    from keras import ops

    mean, log = told[:, :1], told[:, 1:]
    return ops.mean(log + ops.square(ops.reshape(y, (-1, 1)) - mean) / (ops.exp(log) + FLOOR)) / 2  # type: ignore[operator]


def build() -> Any:
    """One hidden layer of 50 units, as published."""
    import keras

    net = keras.Sequential(
        [
            keras.Input((10,)),
            keras.layers.Dense(WIDTH, activation="relu"),
            keras.layers.Dense(2, name="mean_and_spread"),
        ]
    )
    net.compile(keras.optimizers.Adam(0.01), likelihood, jit_compile=keras.backend.backend() == "jax")  # type: ignore[arg-type]
    return net


def distribution(members: list[pl.Model], x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance (B,) of the mixture of what several networks say."""
    told = np.array([m.scores(x) for m in members], float)
    means, variances = told[:, :, 0], np.exp(told[:, :, 1]) + FLOOR
    mean = means.mean(axis=0)
    return mean, (variances + means**2).mean(axis=0) - mean**2


def judged(members: list[pl.Model], x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Root mean squared error, and minus the mean log-density of the labels."""
    mean, variance = distribution(members, x)
    density = (np.log(2 * np.pi * variance) + (y - mean) ** 2 / variance) / 2
    return float(np.sqrt(np.mean((y - mean) ** 2))), float(density.mean())


def compared(splits: int, epochs: int, members: int = 5) -> np.ndarray:
    """Of each split (S, 2, 2): one network and several; root mean squared error in spreads of the label, and likelihood."""
    x, y = load_diabetes(return_X_y=True)
    x, y = ((x - x.mean(axis=0)) / x.std(axis=0)).astype("float32"), ((y - y.mean()) / y.std()).astype("float32")
    found = []
    for split in range(splits):
        rows = np.random.default_rng(split).permutation(len(x))
        train, test = rows[len(x) // 10 :], rows[: len(x) // 10]
        fit = {"epochs": epochs, "batch_size": 32}
        run = pl.improve(
            build, pl.DeepEnsemble(members), train=(x[train], y[train]), fit=fit, seed=split, progress=False
        )
        every = pl.members(run.model)
        found.append([judged(some, x[test], y[test]) for some in (every[:1], every)])
    return np.array(found)


def main() -> None:
    """Compare over splits, and tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--splits", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=40)
    asked = parser.parse_args()
    found = compared(asked.splits, asked.epochs)
    for i, name in enumerate(("root mean squared error", "minus log-likelihood")):
        one, five = found[:, :, i].mean(axis=0)
        apart = student(found[:, 1, i] - found[:, 0, i])
        print(
            f"{name}: one {one:.3f}, five {five:.3f}, difference {five - one:+.3f} [{apart.low:+.3f} to {apart.high:+.3f}]"
        )


if __name__ == "__main__":
    main()
