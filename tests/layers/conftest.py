"""What the tests of layers share."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest


def array(tensor: Any) -> np.ndarray:
    """A tensor as a NumPy array in float64."""
    from keras import ops

    return ops.convert_to_numpy(ops.cast(tensor, "float32")).astype("float64")


@pytest.fixture
def as_array() -> Callable[[Any], np.ndarray]:
    return array


@pytest.fixture
def randomize() -> Callable[[Any], None]:
    """Overwrites every weight of a layer by numbers that are the same on every framework."""

    def overwrite(layer: Any) -> None:
        rng = np.random.default_rng(7)
        layer.set_weights([rng.normal(0, 0.4, w.shape) for w in layer.get_weights()])

    return overwrite


@pytest.fixture
def jacobian() -> Callable[..., np.ndarray]:
    """d sum(upstream * f(x)) / dx by the framework's own differentiation."""
    import keras

    def gradient(f: Callable, x: np.ndarray, upstream: np.ndarray) -> np.ndarray:
        backend = keras.backend.backend()
        if backend == "tensorflow":
            import tensorflow as tf

            v = tf.constant(x, "float32")
            with tf.GradientTape() as tape:
                tape.watch(v)
                y = tf.reduce_sum(f(v) * upstream.astype("float32"))
            return tape.gradient(y, v).numpy()
        if backend == "jax":
            import jax
            import jax.numpy as jnp

            return np.asarray(jax.grad(lambda v: jnp.sum(f(v) * upstream.astype("float32")))(jnp.asarray(x, "float32")))
        import torch

        v = torch.tensor(x, dtype=torch.float32, requires_grad=True)
        (f(v) * torch.tensor(upstream, dtype=torch.float32)).sum().backward()
        return v.grad.numpy()

    return gradient


@pytest.fixture
def round_trip(tmp_path) -> Callable[..., Any]:
    """Saves and loads a functional model around a layer; checks that the configuration is plain and complete."""
    import keras

    def check(layer: Any, x: np.ndarray, **more: Any) -> Any:
        again = type(layer).from_config(json.loads(json.dumps(layer.get_config())))
        assert again.get_config() == layer.get_config()
        inputs = keras.Input(x.shape[1:], dtype=x.dtype.name)
        model = keras.Model(inputs, layer(inputs, **more))
        model.save(tmp_path / "model.keras")
        loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
        np.testing.assert_array_equal(array(loaded(x)), array(model(x)))
        return loaded

    return check
