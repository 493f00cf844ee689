"""A small network in NumPy and 64 bits beside the same one in Keras: what a step of training must do, by central differences."""

import keras
import numpy as np

import pellucid as pl

DRAW = np.random.default_rng(0)
X = DRAW.normal(size=(64, 4)).astype("float32")
Y = (X[:, 0] + X[:, 1] > 0).astype(int) + (X[:, 2] > 1)
GROUP = (DRAW.random(64) > 0.5).astype(int)
WEIGHTS = [0.5 * DRAW.normal(size=s).astype("float32") for s in ((4, 8), (8,), (8, 3), (3,))]
ONE_HOT = np.eye(3)[Y]


def build(softmax=True, rate=1.0):
    """Two dense layers with tanh between, at `WEIGHTS`, and plain gradient descent."""

    def make():
        last = keras.layers.Dense(3, activation="softmax" if softmax else None)
        net = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8, activation="tanh"), last])
        net.set_weights(WEIGHTS)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=not softmax)
        net.compile(keras.optimizers.SGD(rate), loss, jit_compile=keras.backend.backend() == "jax")
        return net

    return make


def logs(w, x=X):
    """Log-probabilities (B, K)."""
    scores = np.tanh(x @ w[0] + w[1]) @ w[2] + w[3]
    return scores - np.log(np.exp(scores).sum(1, keepdims=True))


def of_label(w, x=X):
    return logs(w, x)[np.arange(len(x)), Y]


def data_loss(w):
    return -of_label(w).mean()


def slopes(w, along, x=X):
    """The gradient (B, F) of the sum of `along` times the log-probabilities, by the inputs."""
    hidden, p = np.tanh(x @ w[0] + w[1]), np.exp(logs(w, x))
    back = along - p * along.sum(1, keepdims=True)
    return ((back @ w[2].T) * (1 - hidden**2)) @ w[0].T


def gradient(loss, w, width=1e-5):
    """Central differences of a loss by all weights."""
    found = []
    for i, array in enumerate(w):
        g = np.zeros_like(array)
        for at in np.ndindex(array.shape):
            up, down = [a.copy() for a in w], [a.copy() for a in w]
            up[i][at] += width
            down[i][at] -= width
            g[at] = (loss(up) - loss(down)) / (2 * width)
        found.append(g)
    return found


def step_of(recipe, softmax=True, **options):
    """What one step over all rows takes away from the weights, at a rate of 1."""
    whole = {"epochs": 1, "batch_size": 64, "shuffle": False}
    run = pl.improve(build(softmax), recipe, train=options.pop("train", (X, Y)), fit=whole | options, progress=False)
    return [a.astype(float) - b for a, b in zip(WEIGHTS, run.model.keras.get_weights(), strict=True)], run


def check(recipe, loss, softmax=True, **options):
    """The step is the gradient of the loss that was written out."""
    found, run = step_of(recipe, softmax, **options)
    for mine, theirs in zip(found, gradient(loss, [w.astype(float) for w in WEIGHTS]), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=3e-7)
    return run
