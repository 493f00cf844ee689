"""Attention of torch modules, read and changed: against NumPy, and against what Hugging Face's own models say."""

import keras
import numpy as np
import pytest

import pellucid as pl
from pellucid.core.attention import sites, watched

if keras.backend.backend() != "torch":
    pytest.skip("torch modules need Keras on torch", allow_module_level=True)

import torch
from torch import nn
from torch.nn import functional

B, T, S, F, H = 4, 6, 5, 8, 2


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(3)


def read(native, *inputs, hook=lambda seen: None):
    """The model's output, that of a run that is watched, and weights and values of each site."""
    model = pl.wrap(native)
    given = model.prepare({str(i): a for i, a in enumerate(inputs)} if len(inputs) > 1 else inputs[0])
    before = model.outputs_of(given)

    def step(*tensors):
        kept = []

        def look(seen):
            kept.extend((seen.weights, seen.values))
            return hook(seen)

        with watched(model, look):
            out = model.forward(tensors)
        return (out, *kept)

    out, *kept = model.compiled(("test", hook), lambda: step)(*given)
    np.testing.assert_array_equal(model.outputs_of(given), before)
    return before, out, list(zip(kept[::2], kept[1::2], strict=True))


def near(found, expected, tolerance=1e-6):
    np.testing.assert_allclose(found, expected, atol=tolerance, rtol=tolerance)


def softmax(scores):
    e = np.exp(scores - scores.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def array(tensor):
    return tensor.detach().numpy()


def by_hand(layer, query, key, value, bias=0.0):
    """Weights, values and output (B, Q, F) of torch.nn.MultiheadAttention, examples first; `bias` is added to scores."""
    kernels = np.split(array(layer.in_proj_weight), 3) if layer.in_proj_weight is not None else [
        array(w) for w in (layer.q_proj_weight, layer.k_proj_weight, layer.v_proj_weight)
    ]  # fmt: skip
    offsets = np.split(array(layer.in_proj_bias), 3)
    q, k, v = (t @ w.T + b for t, w, b in zip((query, key, value), kernels, offsets, strict=True))
    more = np.zeros((len(q), 0, F), np.float32)
    if layer.bias_k is not None:
        k, v = (
            np.concatenate([t, np.tile(array(b), (len(q), 1, 1))], 1) for t, b in ((k, layer.bias_k), (v, layer.bias_v))
        )
        more = np.zeros((len(q), 1, F), np.float32)
    if layer.add_zero_attn:
        k, v = (np.concatenate([t, np.zeros((len(q), 1, F), np.float32)], 1) for t in (k, v))
        more = np.zeros((len(q), more.shape[1] + 1, F), np.float32)
    q, k, v = (t.reshape(*t.shape[:2], H, -1).transpose(0, 2, 1, 3) for t in (q, k, v))
    if np.ndim(bias):
        bias = np.pad(bias, [(0, 0)] * (np.ndim(bias) - 1) + [(0, more.shape[1])])
    weights = softmax(q @ k.swapaxes(-1, -2) / np.sqrt(F / H) + bias)
    context = (weights @ v).transpose(0, 2, 1, 3).reshape(len(q), -1, F)
    return weights, v, context @ array(layer.out_proj.weight).T + array(layer.out_proj.bias)


class Attends(nn.Module):
    """One attention of x over y, with options, and the mean of what it gives (and of the weights it says it used)."""

    def __init__(self, layer, options=None, first=True):
        super().__init__()
        self.look, self.options, self.first = layer, options or {}, first

    def forward(self, x, y):
        if not self.first:
            x, y = x.transpose(0, 1), y.transpose(0, 1)
        out, said = self.look(x, y, y, **self.options)
        out = out if self.first else out.transpose(0, 1)
        return out.flatten(1) if said is None else torch.cat([out.flatten(1), said.flatten(1)], 1)


OPTIONS = {
    "plain": ({}, {}), "without weights": ({}, {"need_weights": False}), "each head": ({}, {"average_attn_weights": False}),
    "bias and zero": ({"add_bias_kv": True, "add_zero_attn": True}, {}), "widths": ({"kdim": 3, "vdim": 3}, {}),
    "additive mask": ({}, {"attn_mask": "float"}), "boolean mask": ({}, {"attn_mask": "bool", "need_weights": False}),
    "dropout": ({"dropout": 0.5, "add_bias_kv": True}, {"attn_mask": "bool"}),
}  # fmt: skip


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("case", OPTIONS)
def test_multihead_attention(case, first, generator):
    made, options = OPTIONS[case]
    x, y = generator.normal(size=(B, T, F)), generator.normal(size=(B, S, made.get("kdim", F)))
    x, y = x.astype("float32"), y.astype("float32")
    closed = np.triu(np.ones((T, S), bool), 2)
    bias = {"float": generator.normal(size=(T, S)).astype("float32"), "bool": np.where(closed, -np.inf, 0)}
    given = {"float": torch.tensor(bias["float"]), "bool": torch.tensor(closed)}
    kind = options.get("attn_mask")
    layer = nn.MultiheadAttention(F, H, batch_first=first, **made)
    nn.init.normal_(layer.in_proj_bias)
    net = Attends(layer, {**options, "attn_mask": given[kind]} if kind else options, first)
    before, out, [(weights, values)] = read(net, x, y)
    expected = by_hand(layer, x, y, y, bias[kind] if kind else 0.0)
    near(weights, expected[0])
    near(values, expected[1])
    near(before[:, : T * F], expected[2].reshape(B, -1), 1e-5)
    near(out, before)

    def turned(seen):
        return seen.weights.flip(-1), seen.values * 2

    changed = read(net, x, y, hook=turned)[1]
    context = (expected[0][..., ::-1] @ (2 * expected[1])).transpose(0, 2, 1, 3).reshape(B, T, F)
    near(
        changed[:, : T * F],
        (context @ array(layer.out_proj.weight).T + array(layer.out_proj.bias)).reshape(B, -1),
        1e-5,
    )


def test_padding_and_causality_inside_an_encoder(generator):
    x = generator.normal(size=(B, T, F)).astype("float32")
    x[1, 4:] = 0

    class Encodes(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(F, H, 16, batch_first=True), 2)

        def forward(self, x):
            return self.encoder(x, mask=nn.Transformer.generate_square_subsequent_mask(T), is_causal=True).mean(
                1
            ) + self.encoder(x, src_key_padding_mask=(x == 0).all(-1)).mean(1)

    net = Encodes()
    before, out, seen = read(net, x)
    look = net.encoder.layers[0].self_attn
    near(seen[0][0], by_hand(look, x, x, x, np.where(np.triu(np.ones((T, T), bool), 1), -np.inf, 0))[0])
    near(seen[2][0], by_hand(look, x, x, x, np.where((x == 0).all(-1), -np.inf, 0)[:, None, None])[0])
    near(out, before)
    model = pl.wrap(net)
    names = [s.name for s in sites(model, model.prepare(x))]
    assert names == [f"encoder.layers.{i}.self_attn{call}" for call in ("", ":1") for i in (0, 1)]
    assert all(s.self_attention and s.projected for s in sites(model, model.prepare(x)))


class Fused(nn.Module):
    """Calls the fused function itself: four heads of queries share two of keys and values; causal, with a scale."""

    def forward(self, x):
        q, k = x.view(-1, T, 4, 2).transpose(1, 2), x[..., :4].reshape(-1, T, 2, 2).transpose(1, 2)
        return functional.scaled_dot_product_attention(q, k, k, is_causal=True, scale=0.3, enable_gqa=True).flatten(1)


def test_the_fused_function_where_a_module_calls_it(generator):
    x = generator.normal(size=(B, T, F)).astype("float32")
    before, out, [(weights, values)] = read(Fused(), x)
    q, k = (
        x.reshape(B, T, 4, 2).transpose(0, 2, 1, 3),
        x[..., :4].reshape(B, T, 2, 2).transpose(0, 2, 1, 3).repeat(2, 1),
    )
    near(weights, softmax(np.where(np.tril(np.ones((T, T), bool)), 0.3 * q @ k.swapaxes(-1, -2), -np.inf)))
    near(values, k)
    near(out, before)


def test_rows_that_may_look_nowhere(generator):
    x = generator.normal(size=(B, T, F)).astype("float32")
    open_ = torch.ones(T, T, dtype=torch.bool)
    open_[2] = False

    class Masked(nn.Module):
        def forward(self, x):
            return functional.scaled_dot_product_attention(x[:, None], x[:, None], x[:, None], open_).flatten(1)

    before, out, [(weights, _)] = read(Masked(), x)
    assert (weights[:, :, 2] == 0).all()
    near(out, before)


def test_a_layer_of_keras_inside_a_module(generator):
    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.look = keras.layers.MultiHeadAttention(2, 4)
            self.look.build((None, T, F), (None, T, F))

        def forward(self, x):
            return self.look(x, x).flatten(1)

    before, out, [(weights, _)] = read(Both(), generator.normal(size=(B, T, F)).astype("float32"))
    assert weights.shape == (B, 2, T, T)
    near(out, before)


def test_what_was_switched_is_switched_back(generator):
    x = generator.normal(size=(B, T, F)).astype("float32")
    net = Attends(nn.MultiheadAttention(F, H, batch_first=True))
    model = pl.wrap(net)
    given = model.prepare({"0": x, "1": x})
    fused = functional.scaled_dot_product_attention

    def failing(seen):
        assert not torch.backends.mha.get_fastpath_enabled()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), watched(model, failing):
        model.forward([torch.tensor(a) for a in given])
    assert functional.scaled_dot_product_attention is fused
    assert torch.backends.mha.get_fastpath_enabled()
    assert "forward" not in vars(net.look)
    assert not torch.overrides._get_current_function_mode_stack()


# -- Hugging Face -------------------------------------------------------------------------------------------------


class Logits(nn.Module):
    """Tokens by keyword, numbers out of what the model wraps them in."""

    def __init__(self, inside, word):
        super().__init__()
        self.inside, self.word = inside, word

    def forward(self, x):
        masked = {"attention_mask": (x != 0).long()} if x.dim() == 2 else {}
        return self.inside(**{self.word: x}, **masked).last_hidden_state[:, 0]


def hugging_face(kind, how):
    t = pytest.importorskip("transformers")
    small = {
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 32,
        "initializer_range": 0.5,
    }
    small["attn_implementation"] = how
    if kind == "bert":
        return t.BertModel(t.BertConfig(vocab_size=30, **small))
    if kind == "gpt2":
        sizes = {"n_embd": 16, "n_layer": 2, "n_head": 4, "vocab_size": 30, "bos_token_id": 1, "eos_token_id": 1}
        return t.GPT2Model(t.GPT2Config(**sizes, initializer_range=0.5, attn_implementation=how))
    return t.ViTModel(t.ViTConfig(image_size=8, patch_size=4, **small))


@pytest.mark.parametrize("how", ["sdpa", "eager"])
@pytest.mark.parametrize("kind", ["bert", "gpt2", "vit"])
def test_transformers_say_the_same_of_themselves(kind, how, generator):
    inside = hugging_face(kind, how).eval()
    x = generator.normal(size=(3, 3, 8, 8)).astype("float32") if kind == "vit" else generator.integers(1, 30, (3, 7))
    if kind != "vit":
        x[1, 5:] = 0
    net = Logits(inside, "pixel_values" if kind == "vit" else "input_ids")
    before, out, seen = read(net, x)
    near(out, before, 1e-5)
    assert inside.config._attn_implementation == how
    model = pl.wrap(net)
    assert all(site.self_attention and site.projected for site in sites(model, model.prepare(x)))
    inside.set_attn_implementation("eager")
    given = {net.word: torch.tensor(x)} | ({} if kind == "vit" else {"attention_mask": torch.tensor(x != 0).long()})
    with torch.no_grad():
        own = inside(**given, output_attentions=True).attentions
    for (weights, _), expected in zip(seen, own, strict=True):
        near(weights, expected.numpy(), 3e-6)


@pytest.mark.parametrize("kind", ["bert", "gpt2", "vit"])
def test_the_projection_of_a_transformer_is_found(kind, generator):
    """What the heads give, projected, is what the module that projects them puts out."""
    inside = hugging_face(kind, "sdpa").eval()
    x = generator.normal(size=(3, 3, 8, 8)).astype("float32") if kind == "vit" else generator.integers(1, 30, (3, 7))
    model = pl.wrap(Logits(inside, "pixel_values" if kind == "vit" else "input_ids"))
    given = [torch.tensor(a) for a in model.prepare(x)]
    kept, put_out = [], []
    ends = ("attention.output.dense", "attn.c_proj", "attention.o_proj", "attention.out_proj")
    for name, module in inside.named_modules():
        if name.endswith(ends) and "mlp" not in name:
            module.register_forward_hook(lambda module, given, out: put_out.append(out))
    with torch.no_grad(), watched(model, kept.append):
        model.forward(given)
    assert len(kept) == len(put_out) == 2
    for seen, expected in zip(kept, put_out, strict=True):
        context = torch.einsum("bhqk,bhkd,hdo->bqo", seen.weights, seen.values, seen.output_kernel)
        near(array(context + seen.output_bias), array(expected), 1e-5)
