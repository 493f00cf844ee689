"""The inputs of the last layer give the model's scores by its weights, whatever stands around it."""

import keras
import numpy as np
import pytest

import pellucid as pl
from pellucid.core.features import features, kernel_and_bias, last_dense
from pellucid.errors import NotApplicable

X = np.random.default_rng(0).normal(size=(70, 6, 6, 2)).astype(np.float32)


def models():
    layers = keras.layers
    body = [layers.Conv2D(3, 3, activation="relu"), layers.GlobalAveragePooling2D()]
    yield keras.Sequential([keras.Input((6, 6, 2)), *body, layers.Dense(5, "tanh"), layers.Dense(4, "softmax")])
    yield keras.Sequential([keras.Input((6, 6, 2)), layers.Flatten(), layers.Dense(4), layers.Activation("softmax")])
    inside = keras.Sequential([keras.Input((72,)), layers.Dense(3, "relu"), layers.Dense(1, "sigmoid")])
    yield keras.Sequential([keras.Input((6, 6, 2)), layers.Flatten(), inside])


@pytest.mark.parametrize("net", list(models()), ids=["convolution", "activation apart", "nested"])
def test_scores_are_linear_in_features(net):
    model = pl.wrap(net)
    inputs = model.prepare(X)
    kernel, bias = kernel_and_bias(model, last_dense(model, inputs))
    np.testing.assert_allclose(features(model, inputs) @ kernel + bias, model.scores(X), rtol=1e-4, atol=1e-5)


def test_a_model_that_ends_otherwise_has_none():
    net = keras.Sequential([keras.Input((6, 6, 2)), keras.layers.Conv2D(3, 6), keras.layers.Flatten()])
    model = pl.wrap(net, output="logits")
    with pytest.raises(NotApplicable, match="does not end in a dense layer"):
        features(model, model.prepare(X))
    model = pl.wrap(lambda x: x.reshape(len(x), -1)[:, :2], output="logits")
    with pytest.raises(NotApplicable):
        features(model, model.prepare(X))


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="a module of torch")
def test_a_torch_module():
    import torch

    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(72, 5), torch.nn.ReLU(), torch.nn.Linear(5, 3))
    model = pl.wrap(net, output="logits")
    inputs = model.prepare(X)
    kernel, bias = kernel_and_bias(model, last_dense(model, inputs))
    np.testing.assert_allclose(features(model, inputs) @ kernel + bias, model.scores(X), rtol=1e-4, atol=1e-5)
