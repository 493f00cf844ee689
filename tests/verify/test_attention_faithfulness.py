"""The verdict on attention: models built so that it must be faithful, and so that it must not be."""

import keras
import numpy as np
import pytest
from keras import layers

import pellucid as pl
from pellucid.core.measurement import Measurement
from pellucid.errors import InvalidOption
from pellucid.verify.trust import judge

QUICK = pl.AdversarialAttention(steps=15, restarts=1)


def head(kind):
    return {"softmax": layers.Dense(3), "sigmoid": layers.Dense(1, "sigmoid"), "value": layers.Dense(1)}[kind]


def verdict(net, x, kind=None, **options):
    e = pl.explain(net, pl.Dataset(x, kind=kind) if kind else x, pl.Gradient())
    return pl.verify(net, e, pl.AttentionFaithfulness(adversary=QUICK, **options))[0]


@pytest.mark.parametrize("kind", ["softmax", "sigmoid", "value"])
@pytest.mark.parametrize("examples, positions, features", [(16, 4, 3), (32, 20, 2)])
def test_what_puts_out_the_attended_token_is_faithful(picking, flagged, kind, examples, positions, features):
    keras.utils.set_random_seed(7)
    net = picking(positions, features, head(kind))
    if kind == "value":
        net.compile("sgd", "mse")
    found = verdict(net, flagged(examples, positions, features))
    assert found.verdict == "faithful", found.detail["explanation"]
    assert found.value > 0.7
    equal = verdict(net, flagged(examples, positions, features, equal=True))
    assert equal.verdict == "not faithful", equal.detail["explanation"]
    assert equal.value == 0
    assert equal.detail["adversary"].value > 0.65


@pytest.mark.parametrize("equal", [False, True])
def test_with_padding(picking, flagged, equal):
    keras.utils.set_random_seed(7)
    x = flagged(40, 9, 2, equal=equal)
    draw = np.random.default_rng(1)
    for row, length in enumerate(draw.integers(3, 10, size=40)):
        x[row, length:] = 0
        x[row, :length, 0] = np.eye(length)[draw.integers(length)]
    found = verdict(picking(9, 2, layers.Dense(3), masked=True), x)
    assert found.verdict == ("not faithful" if equal else "faithful"), found.detail["explanation"]


@pytest.mark.parametrize("equal", [False, True])
def test_multi_head_attention_with_a_query_of_its_own(flagged, equal):
    keras.utils.set_random_seed(7)
    tokens = keras.Input((8, 3))
    layer = layers.MultiHeadAttention(1, 3, use_bias=False, name="look")
    asked = layers.Dense(3, use_bias=False, trainable=False, kernel_initializer="zeros")(tokens[:, :1]) + 1
    net = keras.Model(tokens, layers.Dense(3)(layers.Flatten()(layer(asked, tokens))))
    query, key, value = np.zeros((3, 3, 1, 3))
    query[0, 0, 0], key[0, 0, 0], value[1, 0, 1], value[2, 0, 2] = 20, 1, 1, 1
    layer.set_weights([query, key, value, np.eye(3)[None]])
    found = verdict(net, flagged(24, 8, 2, equal=equal))
    assert found.verdict == ("not faithful" if equal else "faithful"), found.detail["explanation"]


def test_a_class_token_after_two_layers(flagged):
    """Both layers leave tokens as they are, but for the row of the class token in the second."""
    keras.utils.set_random_seed(7)
    tokens = keras.Input((6, 3))
    h = pl.layers.ClassToken(name="class")(tokens)
    first, second = (layers.MultiHeadAttention(1, 3, use_bias=False, name=f"look_{i}") for i in (1, 2))
    h = h + first(h, h)
    net = keras.Model(tokens, layers.Dense(3)(second(h, h)[:, 0]))
    net.get_layer("class").set_weights([np.array([[[-1.0, 0, 0]]])])
    none, query, key, value = np.zeros((4, 3, 1, 3))
    query[0, 0, 0], key[0, 0, 0], value[1, 0, 1], value[2, 0, 2] = -20, 1, 1, 1
    first.set_weights([none, none, none, np.eye(3)[None]])
    second.set_weights([query, key, value, np.eye(3)[None]])
    found = verdict(net, flagged(24, 6, 2))
    assert found.verdict == "faithful", found.detail["explanation"]
    assert found.detail["layer"] == "look_2"
    assert verdict(net, flagged(24, 6, 2, equal=True)).verdict == "not faithful"
    early = verdict(net, flagged(24, 6, 2), layer="look_1")
    assert (early.verdict, early.detail["layer"]) == ("not faithful", "look_1")


def test_attention_that_points_elsewhere_is_not_faithful(picking, flagged):
    """The output is the token after the one attended to: the weights matter, and say the wrong position."""
    keras.utils.set_random_seed(7)
    from keras import ops

    net, tokens = picking(8, 2, layers.Dense(3)), keras.Input((8, 3))
    flags = 0 * tokens[..., :1] + np.eye(8, dtype="float32")[3][None, :, None]  # always the fourth
    shifted = ops.concatenate([flags, ops.roll(tokens[..., 1:], -1, axis=1)], axis=-1)
    found = verdict(keras.Model(tokens, net(shifted)), flagged(24, 8, 2))
    assert found.detail["permutation"].verdict == "moves the output"
    assert found.verdict == "not faithful", found.detail["explanation"]
    assert found.value < 0


def test_an_output_that_no_single_position_moves_is_no_evidence_against_attention(flagged):
    """Two tokens are attended to and say the same: without one of them the answer is the same, without both it is not."""
    from keras import ops

    tokens = keras.Input((8, 3))

    class Look(layers.Layer):
        def call(self, inputs):
            flags = ops.maximum(inputs[:, None, None, :, 0], 1e-6)
            return self.attend(flags / ops.sum(flags, axis=-1, keepdims=True), inputs[:, None, :, 1:])[:, 0, 0]

        def attend(self, weights, values):
            return ops.matmul(weights, values)

        def compute_output_shape(self, input_shape):
            return (input_shape[0], input_shape[-1] - 1)

    net = keras.Model(tokens, layers.Dense(3, use_bias=False)(Look(name="look")(tokens)))
    net.layers[-1].set_weights([np.array([[40.0, -40, 0], [0, 0, 0]])])
    x = flagged(24, 8, 2)
    one = x[..., 0].argmax(1)
    other = (one + 3) % 8
    x[..., 1] = np.sign(x[..., 1]) * (0.5 + np.abs(x[..., 1]))
    x[np.arange(24), other] = x[np.arange(24), one]
    found = verdict(net, x)
    assert found.detail["permutation"].verdict == "moves the output"
    assert found.detail["agreement"].detail["idle"] == 24
    assert found.verdict == "undecided", found.detail["explanation"]
    assert found.value is None


def test_the_search_for_other_weights_may_be_left_out(picking, flagged):
    keras.utils.set_random_seed(7)
    net, x = picking(8, 2, layers.Dense(3)), flagged(24, 8, 2)
    e = pl.explain(net, x, pl.Gradient())
    without, whole = pl.verify(net, e, [pl.AttentionFaithfulness(adversary=a) for a in (None, QUICK)])
    assert (without.verdict, without.value) == (whole.verdict, whole.value)
    assert (without.detail["adversary"], without.detail["exclusive"]) == (None, None)
    assert "only one" not in without.detail["explanation"]
    assert without.provenance.evaluations < whole.provenance.evaluations


def test_few_examples_leave_it_open_and_the_trust_in_an_explanation_is_another_matter(picking, flagged):
    keras.utils.set_random_seed(7)
    net, x = picking(8, 2, layers.Dense(3)), flagged(24, 8, 2)
    assert verdict(net, x[:1]).verdict == "undecided"
    e = pl.explain(net, x, pl.Gradient())
    plain = pl.verify(net, e, [pl.Deletion(), pl.ParameterRandomization()])
    both = pl.verify(net, e, [pl.Deletion(), pl.ParameterRandomization(), pl.AttentionFaithfulness(adversary=QUICK)])
    assert (both.verdict, both.reason) == (plain.verdict, plain.reason)
    better = Measurement("deletion", 1.0, verdict="better than random")
    changes = Measurement("parameter_randomization", 0.1, verdict="changes with the weights")
    bad = Measurement("attention_faithfulness", 0.0, verdict="not faithful", detail={"about": "attention"})
    assert judge([better, changes, bad], 1.0)[0] == "trusted"
    word, reason = judge([better, changes, bad], 1.0, reads_attention=True)
    assert word == "doubtful"
    assert "no faithful account" in reason


def test_what_was_found_once_is_not_sought_again(picking, flagged):
    keras.utils.set_random_seed(7)
    net, x = picking(8, 2, layers.Dense(3)), flagged(24, 8, 2)
    e = pl.explain(net, x, pl.Gradient())
    checks = [pl.AttentionAgreement(), pl.AttentionPermutation(), pl.AttentionFaithfulness(adversary=QUICK)]
    first, second, all_in_one = pl.verify(net, e, checks)
    assert np.shares_memory(all_in_one.detail["agreement"].detail["moves"], first.detail["moves"])
    assert all_in_one.detail["permutation"].value == second.value
    with pytest.raises(InvalidOption, match="adversary"):
        pl.AttentionFaithfulness(adversary=pl.AttentionPermutation())


def test_a_record_of_it_is_saved_and_loaded(picking, flagged, tmp_path):
    keras.utils.set_random_seed(7)
    found = verdict(picking(5, 2, layers.Dense(3)), flagged(6, 5, 2))
    again = pl.load(found.save(tmp_path / "found"))
    assert (again.verdict, again.value) == (found.verdict, found.value)
    np.testing.assert_array_equal(
        again.detail["adversary"].detail["weights"], found.detail["adversary"].detail["weights"]
    )


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="torch modules need Keras on torch")
@pytest.mark.parametrize("equal", [False, True])
def test_attention_of_torch_with_padding_it_finds_itself(flagged, equal):
    import torch

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.look = torch.nn.MultiheadAttention(3, 1, bias=False, batch_first=True)
            self.out = torch.nn.Linear(3, 3)
            made = torch.zeros(9, 3)
            made[0, 0], made[3, 0], made[7, 1], made[8, 2] = 30, 1, 1, 1
            with torch.no_grad():
                self.look.in_proj_weight.copy_(made)
                self.look.out_proj.weight.copy_(torch.eye(3))

        def forward(self, x):
            padding = (x == 0).all(-1)
            return self.out(self.look(torch.ones_like(x[:, :1]), x, x, key_padding_mask=padding)[0][:, 0])

    torch.manual_seed(0)
    x = flagged(24, 8, 2, equal=equal)
    x[:8, 5:] = 0
    x[:8, :5, 0] = np.eye(5)[np.arange(8) % 5]
    found = verdict(Net(), x)
    assert found.verdict == ("not faithful" if equal else "faithful"), found.detail["explanation"]
    assert np.all(found.detail["adversary"].detail["weights"][:8, ..., 5:] == 0)
