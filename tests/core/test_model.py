"""What `wrap` finds out about a model, and what it refuses."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import pellucid as pl
from pellucid.errors import BackendMismatch, InvalidInput, InvalidOption, NotDifferentiable


def softmax(z):
    e = np.exp(z - z.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.hidden = layers.Dense(5, activation="relu")
        self.norm = layers.BatchNormalization()
        self.drop = layers.Dropout(0.5)
        self.head = layers.Dense(3)
        self.soft = layers.Softmax()

    def call(self, x, training=False):
        return self.soft(self.head(self.drop(self.norm(self.hidden(x), training=training), training=training)))


def functional():
    inputs = keras.Input((4,))
    block = keras.Sequential([keras.Input((4,)), layers.Dense(6, activation="relu"), layers.Dense(3)])
    return keras.Model(inputs, layers.Activation("softmax")(block(inputs)))


def sequential():
    return keras.Sequential([keras.Input((4,)), layers.Dense(3, activation="softmax")])


@pytest.mark.parametrize("build", [Subclassed, functional, sequential])
def test_a_final_softmax_is_taken_off_and_the_record_says_so(build, generator):
    net, x = build(), generator.normal(size=(7, 4)).astype(np.float32)
    model = pl.wrap(net)
    scores = model.scores(x)
    own = ops.convert_to_numpy(net(x, training=False))
    assert model.output == "logits"
    np.testing.assert_allclose(softmax(scores), own, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(model.predict(x), own, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(model.probabilities(x), own, rtol=1e-5, atol=1e-6)
    assert np.abs(scores.sum(1) - 1).max() > 1e-3
    note = pl.explain(model, x, pl.Gradient()).provenance.notes
    assert any("softmax was taken off" in n for n in note)
    np.testing.assert_allclose(ops.convert_to_numpy(net(x, training=False)), own, rtol=1e-6)  # and is put back


def test_probabilities_can_be_kept(generator):
    x = generator.normal(size=(5, 4))
    model = pl.wrap(sequential(), output="probabilities")
    np.testing.assert_allclose(model.scores(x).sum(1), 1, atol=1e-5)
    assert model.output == "probabilities"


def test_a_sigmoid_gives_log_odds_and_two_classes(generator):
    net = keras.Sequential([keras.Input((4,)), layers.Dense(1, activation="sigmoid")])
    x = generator.normal(size=(9, 4)).astype(np.float32)
    model = pl.wrap(net)
    own = net.predict(x, verbose=0)[:, 0]
    scores = model.scores(x)
    np.testing.assert_allclose(1 / (1 + np.exp(-scores[:, 0])), own, rtol=1e-5)
    np.testing.assert_allclose(model.probabilities(x), np.column_stack([1 - own, own]), rtol=1e-4, atol=1e-6)
    assert model.binary
    assert model.classes == 2


@pytest.mark.parametrize(
    ("loss", "units", "output"),
    [
        ("mse", 1, "value"),
        ("mae", 3, "value"),
        (keras.losses.BinaryCrossentropy(from_logits=True), 1, "logits"),
        (keras.losses.SparseCategoricalCrossentropy(from_logits=True), 3, "logits"),
        (None, 1, "value"),
        (None, 3, "logits"),
    ],
)
def test_the_compiled_loss_decides_where_the_last_layer_does_not(loss, units, output, generator):
    net = keras.Sequential([keras.Input((4,)), layers.Dense(units)])
    if loss is not None:
        net.compile(loss=loss)
    model = pl.wrap(net)
    model.scores(generator.normal(size=(3, 4)))
    assert model.output == output


def test_a_softmax_that_is_no_layer_leaves_probabilities(generator):
    class Inside(keras.Model):
        def __init__(self, units):
            super().__init__()
            self.head = layers.Dense(units)

        def call(self, x):
            z = self.head(x)
            return ops.softmax(z) if z.shape[-1] > 1 else ops.sigmoid(z)

    x = generator.normal(size=(5, 4)).astype(np.float32)
    for units, loss in [(3, "sparse_categorical_crossentropy"), (1, "binary_crossentropy")]:
        net = Inside(units)
        net.compile(loss=loss)
        model = pl.wrap(net)
        own = ops.convert_to_numpy(net(x))
        expected = own if units == 3 else np.column_stack([1 - own[:, 0], own[:, 0]])
        np.testing.assert_allclose(model.probabilities(x), expected, rtol=1e-5)
        assert model.output == "probabilities"


def test_several_sigmoids_are_several_questions(generator):
    net = keras.Sequential([keras.Input((4,)), layers.Dense(3, activation="sigmoid")])
    model = pl.wrap(net)
    assert model.scores(generator.normal(size=(2, 4))).shape == (2, 3)
    with pytest.raises(InvalidInput, match="3 yes-or-no questions"):
        model.probabilities(generator.normal(size=(2, 4)))


def test_an_output_said_to_be_a_value_is_left_alone(generator):
    model = pl.wrap(sequential(), output="value")
    np.testing.assert_allclose(model.scores(generator.normal(size=(2, 4))).sum(1), 1, rtol=1e-5)
    assert model.task == "regression"


def test_rows_that_sum_to_one_are_probabilities(generator):
    table = softmax(generator.normal(size=(6, 3)))
    model = pl.wrap(lambda x: table[: len(x)])
    model.scores(generator.normal(size=(6, 2)))
    assert model.output == "probabilities"


def test_batch_norm_and_dropout_are_in_inference_mode(generator):
    net, x = Subclassed(), generator.normal(size=(8, 4)).astype(np.float32)
    net(x)
    net.norm.moving_mean.assign(np.arange(5, dtype=np.float32))
    model = pl.wrap(net)
    first, second = model.scores(x), model.scores(x)
    np.testing.assert_array_equal(first, second)
    np.testing.assert_allclose(model.scores(x[:1]), first[:1], rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(ops.convert_to_numpy(net.norm.moving_mean), np.arange(5))


def test_several_inputs_by_name_or_in_order(generator):
    a, b = keras.Input((2,), name="left"), keras.Input((3,), name="right")
    net = keras.Model([a, b], layers.Dense(2)(layers.Concatenate()([a, b])))
    left, right = generator.normal(size=(5, 2)), generator.normal(size=(5, 3))
    model = pl.wrap(net)
    named = model.scores({"right": right, "left": left})
    np.testing.assert_allclose(named, model.scores([left, right]))
    weights, bias = net.get_weights()
    np.testing.assert_allclose(named, np.hstack([left, right]) @ weights + bias, rtol=1e-4, atol=1e-5)
    e = pl.explain(model, {"left": left, "right": right}, pl.GradientInput(), target=1)
    np.testing.assert_allclose(e.values["right"], right * weights[2:, 1], rtol=1e-4, atol=1e-6)
    with pytest.raises(InvalidInput, match="left, right"):
        model.scores({"left": left})


def test_several_outputs_are_joined_in_order(generator):
    inputs = keras.Input((4,))
    net = keras.Model(inputs, [layers.Dense(2)(inputs), layers.Dense(3)(inputs)])
    x = generator.normal(size=(5, 4)).astype(np.float32)
    first, second = net.predict(x, verbose=0)
    np.testing.assert_allclose(pl.wrap(net).scores(x), np.hstack([first, second]), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("mask_zero", [False, True])
def test_tokens_are_differentiated_at_their_embedding(mask_zero, generator):
    inputs = keras.Input((6,), dtype="int32")
    embedding = layers.Embedding(9, 4, mask_zero=mask_zero)
    pooled = layers.GlobalAveragePooling1D()(embedding(inputs))
    net = keras.Model(inputs, layers.Dense(2)(pooled))
    tokens = generator.integers(1, 9, size=(3, 6))
    e = pl.explain(net, tokens, pl.GradientInput(), target=0)
    table, weights, _ = net.get_weights()
    expected = (table[tokens] @ weights[:, 0]) / 6
    np.testing.assert_allclose(e.values, expected, rtol=1e-4, atol=1e-6)


def test_padding_stays_masked_while_tokens_are_differentiated(generator):
    inputs = keras.Input((5,), dtype="int32")
    hidden = layers.Embedding(9, 4, mask_zero=True)(inputs)
    net = keras.Model(inputs, layers.Dense(1)(layers.GRU(3)(hidden)))
    tokens = np.array([[3, 4, 5, 0, 0]])
    e = pl.explain(net, tokens, pl.Gradient())
    assert np.all(e.values[0, :3] > 0)
    np.testing.assert_array_equal(e.values[0, 3:], 0)


def test_a_callable_in_keras_ops_is_differentiable_and_one_in_numpy_is_not(generator):
    x = generator.normal(size=(4, 3))
    e = pl.explain(lambda t: ops.sin(t[:, 0]) + t[:, 1], x, pl.Gradient())
    expected = np.column_stack([np.cos(x[:, 0]), np.ones(4), np.zeros(4)])
    np.testing.assert_allclose(e.values, expected, rtol=1e-5, atol=1e-6)
    with pytest.raises(NotDifferentiable, match=r"Occlusion"):
        pl.explain(lambda t: np.linalg.norm(t, axis=1), x, pl.Gradient())
    e = pl.explain(lambda t: np.linalg.norm(t, axis=1), x, pl.Occlusion())
    gone = np.sqrt((x**2).sum(1, keepdims=True)) - np.sqrt((x**2).sum(1, keepdims=True) - x**2)
    np.testing.assert_allclose(e.values, gone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.array([[1.0, np.nan, 0, 0]]), r"1 values are NaN or infinite, the first at \(0, 1\)"),
        (np.array([[1.0, np.inf, 0, 0]]), "infinite"),
        (np.zeros((0, 4)), "at least one example"),
        (np.zeros((3, 5)), r"the model takes \(B, 4\), got \(3, 5\)"),
        (np.zeros(4), r"for a single example give x\[None\]"),
        (np.array([["a", "b", "c", "d"]]), "expected numbers"),
        ([[1.0, 2.0], [1.0]], "different shapes"),
    ],
)
def test_bad_inputs_are_refused_with_a_reason(x, message):
    with pytest.raises(InvalidInput, match=message):
        pl.wrap(sequential()).scores(x)


def test_what_cannot_be_wrapped():
    with pytest.raises(InvalidOption, match="expected one of"):
        pl.wrap(sequential(), output="odds")
    with pytest.raises(InvalidOption, match="a callable, got int"):
        pl.wrap(3)


def test_a_value_has_no_probabilities(generator):
    with pytest.raises(InvalidInput, match='output="probabilities"'):
        pl.wrap(lambda x: x[:, 0]).probabilities(generator.normal(size=(3, 2)))


def test_fingerprint_changes_with_any_weight():
    net = sequential()
    before = pl.wrap(net).fingerprint()
    assert before == pl.wrap(net).fingerprint()
    weights = net.get_weights()
    weights[1][2] += 1e-3
    net.set_weights(weights)
    assert pl.wrap(net).fingerprint() != before


def test_a_torch_module_alone(generator):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    module = torch.nn.Sequential(
        torch.nn.Linear(4, 6), torch.nn.BatchNorm1d(6), torch.nn.ReLU(), torch.nn.Dropout(),
        torch.nn.Linear(6, 3), torch.nn.Softmax(dim=1),
    )  # fmt: skip
    x = generator.normal(size=(5, 4)).astype(np.float32)
    if keras.backend.backend() != "torch":
        with pytest.raises(BackendMismatch, match="KERAS_BACKEND=torch"):
            pl.wrap(module)
        return
    model = pl.wrap(module)
    assert module.training
    scores = model.scores(x)
    assert module.training  # its mode is given back
    module.eval()
    with torch.no_grad():
        np.testing.assert_allclose(scores, module[:5](torch.tensor(x)).numpy(), rtol=1e-5, atol=1e-6)
    leaf = torch.tensor(x, requires_grad=True)
    module[:5](leaf)[:, 2].sum().backward()
    e = pl.explain(model, x, pl.Gradient(), target=2)
    np.testing.assert_allclose(e.values, leaf.grad.numpy(), rtol=1e-5, atol=1e-6)
    randomized = pl.verify(model, e, pl.ParameterRandomization(repeats=1))[0]
    assert list(randomized.detail["layers"]) == ["4", "1", "0"]  # from the last to the first
    assert -1 <= randomized.value < 1
    np.testing.assert_allclose(model.scores(x), scores, rtol=1e-6)  # weights are given back
