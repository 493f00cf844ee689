"""A comparison that trains in no time: a plane of two classes, and one layer."""

import keras
import numpy as np
import pytest

import pellucid as pl

DRAW = np.random.default_rng(0)
X = DRAW.normal(size=(150, 3)).astype("float32")
Y = (X[:, 0] + 0.5 * DRAW.normal(size=150) > 0).astype(int)


def parts():
    """Data of its own for every part."""
    return {"train": (X[:60], Y[:60]), "validation": (X[60:90], Y[60:90]), "test": (X[90:], Y[90:])}


def builder(rate=0.05):
    """A closure, as builders mostly are: it has to reach other processes as it is."""

    def build():
        net = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, activation="sigmoid")])
        optimizer = keras.optimizers.SGD(rate)
        net.compile(optimizer, "binary_crossentropy", jit_compile=keras.backend.backend() == "jax")
        return net

    return build


@pytest.fixture(scope="session")
def data():
    return parts()


@pytest.fixture(scope="session")
def build():
    return builder()


@pytest.fixture(scope="session")
def recipes():
    return {"small": pl.Recipe(pl.L2(0.5)), "plain": pl.Recipe()}


@pytest.fixture(scope="session")
def quick(build, recipes, data):
    """Arguments of a quick comparison; others replace them."""

    def run(**other):
        asked = {"seeds": 2, "fit": {"epochs": 2}, "measures": (), "workers": 1, "progress": False, **data, **other}
        return pl.compare(asked.pop("build", build), asked.pop("recipes", recipes), **asked)

    return run


@pytest.fixture(scope="session")
def found(quick):
    """With the measures that are usual."""
    return quick(measures=None, seeds=[3, 5])
