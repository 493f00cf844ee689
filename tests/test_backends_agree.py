"""The same model gives the same explanations on every installed backend, to 1e-4."""

import importlib.util
import os
import subprocess
import sys

import numpy as np
import pytest

PACKAGES = {"tensorflow": "tensorflow", "jax": "jax", "torch": "torch"}
SCRIPT = """
import sys
import keras, numpy as np
from keras import layers
import pellucid as pl

draw = np.random.default_rng(0)


def filled(net):
    draw = np.random.default_rng(1)
    for v in net.weights:
        w = draw.normal(size=v.shape) / np.sqrt(max(1, np.prod(v.shape[:-1])))
        v.assign(np.abs(w) + 0.5 if "variance" in v.path else w)
    return net


def mlp():
    middle = [layers.Dense(9, "tanh"), layers.BatchNormalization(), layers.Dropout(0.3)]
    return keras.Sequential([keras.Input((7,)), *middle, layers.Dense(3, "softmax")])


def cnn():
    middle = [layers.Conv2D(4, 3, activation="relu"), layers.MaxPooling2D(), layers.Flatten()]
    return keras.Sequential([keras.Input((8, 8, 2)), *middle, layers.Dense(3)])


def text():
    tokens = keras.Input((6,), dtype="int32")
    e = layers.Embedding(11, 4, mask_zero=True)(tokens)
    return keras.Model(tokens, layers.Dense(1, "sigmoid")(layers.GRU(5)(e)))


def attention():
    x = keras.Input((5, 4))
    a = layers.LayerNormalization()(layers.MultiHeadAttention(2, 3)(x, x) + x)
    return keras.Model(x, layers.Dense(2)(layers.GlobalAveragePooling1D()(a)))


def two():
    a, b = keras.Input((3,), name="a"), keras.Input((4,), name="b")
    return keras.Model([a, b], layers.Dense(2)(layers.Dense(6, "gelu")(layers.Concatenate()([a, b]))))


inputs = {
    "mlp": draw.normal(size=(5, 7)), "cnn": draw.random((3, 8, 8, 2)), "text": draw.integers(1, 11, size=(4, 6)),
    "attention": draw.normal(size=(3, 5, 4)), "two": {"a": draw.normal(size=(4, 3)), "b": draw.normal(size=(4, 4))},
}
methods = {
    "gradient": pl.Gradient(), "product": pl.GradientInput(), "path": pl.IntegratedGradients(tolerance=1e-4, max_evaluations=63),
    "smooth": pl.SmoothGrad(tolerance=1e-3, max_evaluations=20), "occlusion": pl.Occlusion(),
    "shapley": pl.PermutationShapley(tolerance=1e-6, max_evaluations=400),
    "relevance": pl.LayerRelevance(), "gamma": pl.LayerRelevance(pl.Gamma()),
    "rescale": pl.DeepLift(), "reveal": pl.DeepLift("reveal_cancel"),
}
found = {}
for name, x in inputs.items():
    model = pl.wrap(filled(globals()[name]()))
    found[f"{name}-scores"] = model.scores(x)
    for label, method in methods.items():
        try:
            values = pl.explain(model, x, method, target=0, seed=3).values
        except pl.errors.UnsupportedLayer:
            found[f"{name}-{label}-refused"] = np.ones(1)
            continue
        for part, array in (values.items() if isinstance(values, dict) else [("", values)]):
            found[f"{name}-{label}{part}"] = array
np.savez(sys.argv[1], **found)
"""


def on(backend, folder):
    path = folder / f"{backend}.npz"
    world = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    subprocess.run([sys.executable, "-W", "ignore", "-c", SCRIPT, str(path)], check=True, env=world, timeout=600)
    return dict(np.load(path))


@pytest.mark.slow
def test_every_installed_backend_gives_the_same_numbers(tmp_path):
    installed = [name for name, package in PACKAGES.items() if importlib.util.find_spec(package)]
    if len(installed) < 2:
        pytest.skip(f"only {installed[0]} is installed here: nothing to compare it with")
    first, *others = [on(backend, tmp_path) for backend in installed]
    for backend, other in zip(installed[1:], others, strict=True):
        assert set(first) == set(other)
        for name, expected in first.items():
            scale = np.abs(expected).max()
            far = np.abs(expected - other[name]).max() / scale
            assert np.isfinite(expected).all()
            assert far < 1e-4, f"{name}: {installed[0]} and {backend} differ by {far:.1e} of the largest value"
