"""Each backend function against a closed form, on a model small enough to differentiate by hand."""

import gc
import weakref

import keras
import numpy as np
import pytest
from keras import ops

from pellucid import _backend

backend = _backend.current()
SHAPE = (4, 3)


@pytest.fixture
def logistic():
    """A logistic regression and data: weights w (3,), bias, x (4, 3), labels (4,)."""
    draw = np.random.default_rng(0)
    net = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    net.set_weights([draw.normal(size=(3, 1)), draw.normal(size=1)])
    return net, draw.normal(size=SHAPE).astype(np.float32), np.array([0, 1, 1, 0], np.float32)


def losses(net):
    """Logistic loss of each example."""

    def each(x, y):
        z = net(x, training=False)[:, 0]
        return ops.softplus(z) - y * z

    return each


def by_hand(net, x, y):
    """Residuals p - y and design matrix with the bias column."""
    w, b = net.get_weights()
    p = 1 / (1 + np.exp(-(x @ w + b)[:, 0].astype(float)))
    return p, np.column_stack([x, np.ones(len(x))]).astype(float)


def test_compile_follows_later_changes_of_the_weights(logistic):
    net, x, _ = logistic
    step = backend.compile(lambda t: net(t, training=False), net.variables)
    before = step(x)
    backend.assign(net.trainable_variables, [np.zeros((3, 1), np.float32), np.full(1, 2.0, np.float32)])
    np.testing.assert_allclose(step(x), np.full((4, 1), 2.0), rtol=1e-6)
    assert np.abs(before - 2).max() > 0.1


def test_what_is_observed_has_the_values_of_its_run(logistic):
    net, x, _ = logistic
    look = backend.observe(lambda t: (inner := t * 2, [net(inner, training=False), "said", inner]), net.variables)
    for given in (x, x + 1, x[:2]):
        inner, (out, word, again) = look(given)
        assert (word, again is inner) == ("said", True)
        np.testing.assert_allclose(ops.convert_to_numpy(inner), given * 2, rtol=1e-6)
        by_hand = net.predict(given * 2, verbose=0)
        np.testing.assert_allclose(ops.convert_to_numpy(out), by_hand, rtol=1e-5, atol=1e-6)
        backend.assign(net.trainable_variables, [w * 0.5 for w in net.get_weights()])


def test_what_is_observed_inside_a_loop_has_its_shape():
    seen = []

    def summed(t):
        seen.clear()
        total, _ = ops.scan(lambda so_far, row: (seen.append(so_far + row) or seen[-1], row), ops.zeros(3), t)
        return total, list(seen)

    x = np.arange(12, dtype=np.float32).reshape(SHAPE)
    total, inside = backend.observe(summed, [])(x)
    np.testing.assert_allclose(ops.convert_to_numpy(total), x.sum(axis=0))
    assert inside
    assert all(tuple(t.shape) == (3,) for t in inside)


def test_a_directional_derivative_is_the_closed_form():
    draw = np.random.default_rng(1)
    x, y, a, b = (draw.normal(size=(2, 3)).astype(np.float32) for _ in range(4))

    def step(x, y, a, b):
        def function(x, y):
            return [ops.tanh(x) * y, ops.sum(ops.square(x), axis=1), ops.ones_like(y)]

        return tuple(backend.jacobian_vector(function, [x, y], [a, b]))

    product, squares, nothing = backend.compile(step, [])(x, y, a, b)
    np.testing.assert_allclose(product, (1 - np.tanh(x) ** 2) * a * y + np.tanh(x) * b, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(squares, 2 * (x * a).sum(1), rtol=1e-5)
    np.testing.assert_array_equal(nothing, 0)


def test_compile_takes_any_batch_and_gives_tuples(logistic):
    net, x, _ = logistic
    step = backend.compile(lambda t: (net(t, training=False), t * 2), net.variables)
    for count in (1, 3, 4):
        scores, doubled = step(x[:count])
        assert scores.shape == (count, 1)
        np.testing.assert_array_equal(doubled, x[:count] * 2)


def test_input_gradient_is_the_closed_form(logistic):
    net, x, y = logistic
    each = losses(net)

    def step(t):
        def total(a):
            v = each(a, ops.convert_to_tensor(y))
            return ops.sum(v), v

        value, grads = backend.gradient(total, [t])
        return value, grads[0]

    value, grad = backend.compile(step, net.variables)(x)
    p, _ = by_hand(net, x, y)
    np.testing.assert_allclose(grad, (p - y)[:, None] * net.get_weights()[0].T, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(value, -np.log(np.where(y == 1, p, 1 - p)), rtol=1e-4, atol=1e-6)


def test_an_input_that_does_not_matter_has_zero_gradient():
    def step(a, b):
        _, grads = backend.gradient(lambda s, t: (ops.sum(s * 3), s), [a, b])
        return tuple(grads)

    x = np.ones((2, 2), np.float32)
    first, second = backend.compile(step, [])(x, x)
    np.testing.assert_array_equal(first, np.full((2, 2), 3.0))
    np.testing.assert_array_equal(second, np.zeros((2, 2)))


def test_vector_jacobian_is_the_product_with_the_dense_jacobian():
    matrix = np.random.default_rng(1).normal(size=(3, 2)).astype(np.float32)
    x = np.random.default_rng(2).normal(size=(5, 3)).astype(np.float32)
    v = np.random.default_rng(3).normal(size=(5, 2)).astype(np.float32)

    def step(t, cotangent):
        value, grads = backend.vector_jacobian(lambda a: ops.tanh(ops.matmul(a, matrix)), [t], cotangent)
        return value, grads[0]

    value, grad = backend.compile(step, [])(x, v)
    slope = 1 - np.tanh(x @ matrix) ** 2
    jacobian = slope[:, :, None] * matrix.T[None]
    np.testing.assert_allclose(value, np.tanh(x @ matrix), rtol=1e-5)
    np.testing.assert_allclose(grad, np.einsum("bk,bkf->bf", v, jacobian), rtol=1e-4, atol=1e-6)


def test_parameter_gradient_whole_and_by_example(logistic):
    net, x, y = logistic
    p, design = by_hand(net, x, y)
    each = losses(net)
    value, grads = backend.parameter_gradient(lambda a, b: ops.mean(each(a, b)), net.trainable_variables)([x, y])
    expected = design.T @ (p - y) / len(y)
    np.testing.assert_allclose(np.concatenate([g.ravel() for g in grads]), expected, rtol=1e-4, atol=1e-6)
    assert value == pytest.approx(-np.log(np.where(y == 1, p, 1 - p)).mean(), rel=1e-4)
    rows = backend.example_gradients(each, net.trainable_variables, [x, y])
    assert [r.shape for r in rows] == [(4, 3, 1), (4, 1)]
    np.testing.assert_allclose(
        np.concatenate([r.reshape(4, -1) for r in rows], axis=1), design * (p - y)[:, None], rtol=1e-4, atol=1e-6
    )


def test_hessian_vector_product_is_the_closed_form(logistic):
    net, x, y = logistic
    p, design = by_hand(net, x, y)
    vector = [np.array([[1.0], [-2.0], [0.5]], np.float32), np.array([3.0], np.float32)]
    each = losses(net)
    found = backend.hessian_vector(lambda a, b: ops.mean(each(a, b)), net.trainable_variables)([x, y], vector)
    hessian = design.T @ (design * (p * (1 - p))[:, None]) / len(y)
    expected = hessian @ np.concatenate([v.ravel() for v in vector])
    np.testing.assert_allclose(np.concatenate([f.ravel() for f in found]), expected, rtol=1e-3, atol=1e-6)


def test_hessian_of_something_linear_is_zero(logistic):
    net, x, _ = logistic
    vector = [np.ones((3, 1), np.float32), np.ones(1, np.float32)]
    found = backend.hessian_vector(lambda a: ops.sum(net(a, training=False)), net.trainable_variables)([x], vector)
    assert all(np.abs(f).max() == 0 for f in found)


def test_attention_of_rows_that_are_masked_whole_has_the_right_gradient():
    """By the values, of which attention is linear; a fused kernel was wrong here by a factor of the positions."""
    draw = np.random.default_rng(0)
    attention, x, way, weigh = keras.layers.MultiHeadAttention(2, 3), *draw.normal(size=(3, 1, 5, 4)).astype(np.float32)
    mask = np.zeros((1, 5, 5), bool)
    mask[:, :2, :2] = True
    attention(x, x)

    def total(values):
        scalar = ops.sum(attention(x, values, x, attention_mask=mask) * ops.convert_to_tensor(weigh))
        return scalar, scalar

    step = backend.compile(lambda t: backend.gradient(total, [t])[1][0], attention.variables)
    value = backend.compile(lambda t: total(t)[0], attention.variables)
    np.testing.assert_allclose(np.sum(step(x) * way), value(x + way) - value(x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("repeated", [False, True])
def test_a_program_that_is_gone_leaves_none_of_its_gradients_behind(repeated):
    class Held:
        """What a gradient needs."""

    def made():
        held = Held()

        def forward(x):
            def back(*args, upstream=None):
                return (args[-1] if upstream is None else upstream) * (3.0 if held else 0.0)

            return x * 1, back

        def tripled(x):
            changed = ops.custom_gradient(forward)
            if not repeated:
                return ops.sum(changed(x)), None
            return ops.sum(ops.scan(lambda total, row: (total + changed(row), row), ops.zeros(4), x)[0]), None

        program = backend.compile(lambda x: backend.gradient(tripled, [x])[1][0], [])
        np.testing.assert_array_equal(program(np.ones((2, 4), "float32")), np.full((2, 4), 3.0))
        return weakref.ref(held)

    gone = made()
    gc.collect()
    assert gone() is None


@pytest.mark.skipif(backend.name != "tensorflow", reason="functions of TensorFlow")
def test_a_function_that_others_call_keeps_its_gradient():
    import tensorflow as tf

    own = tf.function(tf.nn.silu, input_signature=[tf.TensorSpec([None, 3])])
    program = backend.compile(lambda x: backend.gradient(lambda x: (ops.sum(own(x)), None), [x])[1][0], [])
    x = np.ones((2, 3), "float32")
    found, given = program(x), tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(given)
        value = own(given)
    np.testing.assert_allclose(tape.gradient(value, given), found, rtol=1e-6)
