"""Readings of attention: the record, its names and its cost; the weights themselves are held in tests/core."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import pellucid as pl
from pellucid.core.tensors import to_array
from pellucid.errors import InvalidInput, UnknownName

T, F = 6, 8


@pytest.fixture(scope="module")
def text_model():
    keras.utils.set_random_seed(4)
    tokens = keras.Input((T,), dtype="int32")
    h = layers.Embedding(20, F, name="embed")(tokens)
    for i in range(2):
        h = h + layers.MultiHeadAttention(2, 4, name=f"look_{i}")(h, h)
    return keras.Model(tokens, layers.Dense(3, "softmax")(layers.GlobalAveragePooling1D()(h)))


@pytest.fixture
def tokens(generator):
    return generator.integers(0, 20, (7, T))


def test_weights_are_what_numpy_computes(text_model, tokens):
    reading = pl.attention(text_model, tokens)
    look = text_model.get_layer("look_0")
    h = to_array(text_model.get_layer("embed").embeddings)[tokens]
    q, k = (
        np.einsum("btf,fhd->bhtd", h, to_array(d.kernel)) + to_array(d.bias)[:, None]
        for d in (look.query_dense, look.key_dense)
    )
    e = np.exp(q @ k.swapaxes(-1, -2) / 2)
    np.testing.assert_allclose(reading["look_0"], e / e.sum(-1, keepdims=True), atol=1e-6)
    np.testing.assert_allclose(reading["look_1"].sum(-1), 1, atol=1e-6)


def test_scores_come_from_the_same_run_and_stay_as_they_were(text_model, tokens):
    model = pl.wrap(text_model)
    before = model.scores(tokens)
    reading = pl.attention(model, tokens)
    np.testing.assert_allclose(reading.output, before, atol=1e-6)
    np.testing.assert_array_equal(model.scores(tokens), before)
    assert model.output == "logits"
    assert reading.provenance.evaluations == len(tokens)
    assert reading.provenance.notes == ("the final softmax was taken off: scores are logits",)


def test_probabilities_as_asked(text_model, tokens):
    reading = pl.attention(pl.wrap(text_model, output="probabilities"), tokens)
    np.testing.assert_allclose(reading.output.sum(1), 1, atol=1e-5)


def test_by_name_and_by_number(text_model, tokens):
    reading = pl.attention(text_model, tokens)
    assert reading.names == ("look_0", "look_1")
    assert list(reading) == ["look_0", "look_1"]
    assert reading[-1] is reading["look_1"]
    assert "look_0" in reading
    assert len(reading) == 7
    assert reading["look_0"].dtype == np.float32
    assert reading.self_attention == {"look_0": True, "look_1": True}
    assert repr(reading).splitlines()[1] == "  look_0: 2 heads, 6 queries, 6 keys (MultiHeadAttention)"
    with pytest.raises(UnknownName, match="did you mean 'look_1'"):
        reading["look_11"]
    with pytest.raises(UnknownName, match="there are 2"):
        reading[2]


def test_it_is_saved_and_loaded(text_model, tokens, tmp_path):
    data = pl.Dataset(tokens, np.zeros(7, int), kind="text", class_names=["a", "b", "c"])
    reading = pl.attention(text_model, data)
    again = pl.load(reading.save(tmp_path / "reading"))
    assert again == reading
    assert (again.kind, again.class_names) == ("text", ("a", "b", "c"))
    with pytest.raises(ValueError, match="read-only"):
        reading["look_0"][0] = 0


def test_chunks_of_any_size_give_the_same(text_model, tokens, monkeypatch):
    whole = pl.attention(text_model, tokens)
    monkeypatch.setattr("pellucid.core.chunks.ChunkSizes.rows", lambda self, kind, step, examples, each: 3 * each)
    parts = pl.attention(pl.wrap(text_model), tokens)
    for name in whole:
        np.testing.assert_allclose(parts[name], whole[name], atol=1e-6)
    np.testing.assert_allclose(parts.output, whole.output, atol=1e-6)


def test_weights_that_outweigh_activations_make_chunks_smaller(monkeypatch):
    asked = []
    ends = keras.Input((64, 2))
    model = keras.Model(ends, ops.mean(layers.MultiHeadAttention(8, 1)(ends, ends), 1))
    monkeypatch.setattr(
        "pellucid.core.chunks.ChunkSizes.rows", lambda self, kind, step, examples, each: asked.append((kind, each)) or 8
    )
    pl.attention(model, np.zeros((2, 64, 2), np.float32))
    (each,) = [each for (kind, _), each in asked if kind == "attention"]
    assert each > 10


def test_several_inputs_keep_their_names(generator):
    a, b = keras.Input((T, F), name="a"), keras.Input((4, F), name="b")
    model = keras.Model({"a": a, "b": b}, ops.mean(layers.MultiHeadAttention(2, 3, name="across")(a, b), 1))
    x = {"a": generator.normal(size=(3, T, F)), "b": generator.normal(size=(3, 4, F))}
    reading = pl.attention(model, x)
    assert reading["across"].shape == (3, 2, T, 4)
    assert set(reading.inputs) == {"a", "b"}
    assert reading.self_attention == {"across": False}


def test_other_lengths_of_the_same_model(generator):
    ends = keras.Input((None, F))
    model = pl.wrap(keras.Model(ends, ops.mean(layers.MultiHeadAttention(2, 3, name="look")(ends, ends), 1)))
    for length in (4, 9, 4):
        assert pl.attention(model, generator.normal(size=(2, length, F)))["look"].shape == (2, 2, length, length)


def test_nothing_to_read_is_said(random_mlp):
    with pytest.raises(InvalidInput, match="no attention was found"):
        pl.attention(random_mlp, np.zeros((2, 6)))
    with pytest.raises(InvalidInput, match="wrap the model"):
        pl.attention(lambda x: ops.sum(x, 1, keepdims=True), np.zeros((2, 6)))


def test_scores_that_are_no_numbers_are_refused():
    ends = keras.Input((T, F))
    attended = layers.MultiHeadAttention(2, 3)(ends, ends)
    model = keras.Model(ends, ops.log(-ops.abs(ops.mean(attended, 1)) - 1))
    with pytest.raises(InvalidInput, match=r"x: .*NaN or infinity for example 0"):
        pl.attention(model, np.ones((2, T, F)))
