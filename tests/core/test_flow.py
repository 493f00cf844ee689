"""No zeros in place of an answer: what no gradient gets through is named."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import pellucid as pl
from pellucid.errors import InvalidInput, NotApplicable, NotDifferentiable

X = np.random.default_rng(0).normal(size=(3, 6)).astype(np.float32)


def cut(h):
    return ops.one_hot(ops.argmax(h, axis=1), 4)


def functional(*, around):
    x = keras.Input((6,))
    h = layers.Dense(4, name="first")(x)
    out = layers.Dense(2, name="last")(cut(h))
    return keras.Model(x, out + layers.Dense(2, name="beside")(h) if around else out)


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.first, self.last = layers.Dense(4, name="first"), layers.Dense(2, name="last")

    def call(self, x):
        return self.last(cut(self.first(x)))


@pytest.mark.parametrize("method", [pl.Gradient(), pl.IntegratedGradients(), pl.SmoothGrad()])
def test_an_argmax_is_named(method):
    with pytest.raises(NotDifferentiable, match="'argmax"):
        pl.explain(functional(around=False), X, method)


def test_an_argmax_in_a_models_own_call_is_located():
    with pytest.raises(NotDifferentiable, match=r"between layer 'first' .* and layer 'last'"):
        pl.explain(Subclassed(), X, pl.Gradient())


def test_a_cast_to_whole_numbers_in_a_callable_is_named():
    f = lambda x: ops.sum(ops.cast(ops.cast(3 * x, "int32"), "float32"), axis=1)  # noqa: E731
    with pytest.raises(NotDifferentiable, match="'cast"):
        pl.explain(f, X, pl.Gradient())


def test_a_cut_on_one_of_two_ways_is_noted():
    e = pl.explain(functional(around=True), X, pl.Gradient())
    assert any("'argmax" in note for note in e.provenance.notes)
    assert np.abs(e.values).max() > 0


@pytest.mark.parametrize("seed", range(6))
def test_a_target_without_a_gradient_is_named(seed):
    keras.utils.set_random_seed(seed + 9)  # among them such as need many disturbances before the class changes
    net = keras.Sequential([keras.Input((6,)), layers.Dense(3)])
    with pytest.raises(NotDifferentiable, match="target"):
        pl.explain(net, X * 5, pl.Gradient(), lambda s: ops.cast(ops.argmax(s + 3 * s**3, axis=1), "float32"))


def test_a_score_that_ignores_the_input_is_no_row_of_zeros():
    with pytest.raises(InvalidInput, match="does not depend on the input"):
        pl.explain(lambda x: ops.ones((ops.shape(x)[0],)), X, pl.Gradient())


def test_a_flat_place_is_noted():
    e = pl.explain(lambda x: ops.sum(ops.relu(x - 100), axis=1), X, pl.Gradient())
    assert not e.values.any()
    assert any("all maps are zero everywhere: the score is flat there" in note for note in e.provenance.notes)


def test_a_flat_place_of_one_column_is_noted():
    for seed in range(6):  # a disturbance is as often on the flat side as not
        x = np.random.default_rng(seed).normal(size=(1, 1)).astype(np.float32)
        e = pl.explain(lambda x: ops.relu(x[:, 0] - 100), x, pl.Gradient())
        assert any("the score is flat there" in note for note in e.provenance.notes)
        e = pl.explain(lambda x: ops.relu(-x[:, 0] - 100), x, pl.Gradient())
        assert any("the score is flat there" in note for note in e.provenance.notes)


def test_a_score_that_turns_out_constant_says_so():
    e = pl.explain(lambda x: ops.sum(0 * x, axis=1), X, pl.Gradient())
    assert any("does not depend on the input, whatever" in note for note in e.provenance.notes)


def test_methods_that_need_no_gradient_still_answer():
    keras.utils.set_random_seed(0)
    assert pl.explain(functional(around=False), X * 10, pl.Occlusion()).values.any()


def test_a_target_that_is_always_the_same_is_told():
    net = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    with pytest.raises(InvalidInput, match="target: the callable gives the same number whatever the scores are"):
        pl.explain(net, np.ones((2, 3)), pl.Gradient(), lambda scores: keras.ops.ones((len(scores),)))


@pytest.mark.parametrize("method", [pl.SmoothGrad(), pl.SmoothGrad(pl.IntegratedGradients())], ids=repr)
def test_the_method_that_was_asked_for_is_named(method):
    given = keras.Input((3,))
    place = keras.ops.cast(keras.ops.argmax(given, axis=1, keepdims=True), "float32")
    with pytest.raises(NotDifferentiable, match="SmoothGrad needs gradients"):
        pl.explain(keras.Model(given, keras.layers.Dense(2)(place)), np.ones((2, 3)), method, 0)


def test_guided_grad_cam_is_named_and_not_its_parts():
    net = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    with pytest.raises(NotApplicable, match=r"GuidedGradCam: .* has no convolution"):
        pl.explain(net, np.ones((2, 3)), pl.GuidedGradCam(), 0)
