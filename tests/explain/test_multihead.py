"""The attention of torch in propagation: against the same network made of Keras layers with its weights."""

import keras
import numpy as np
import pytest
from keras import layers

import pellucid as pl

pytestmark = pytest.mark.skipif(keras.backend.backend() != "torch", reason="torch modules need Keras on torch")

METHODS = {
    "epsilon": lambda: pl.LayerRelevance(pl.Epsilon(1e-3)),
    "z_plus": lambda: pl.LayerRelevance(pl.Composite(dense=pl.ZPlus())),
    "gamma": lambda: pl.LayerRelevance(pl.Gamma(stabilizer=1e-3)),
    "flat": lambda: pl.LayerRelevance(pl.Composite(first=pl.Flat())),
    "rescale": lambda: pl.DeepLift(),
}
TOKENS, WIDTH, HEADS = 5, 6, 2


def rows(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def made(kind, *sizes, **options):
    """A module of torch with random weights, biases among them."""
    import torch

    torch.manual_seed(0)
    module = getattr(torch.nn, kind)(*sizes, **options)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape) * 0.4)
    return module


def arrays(module):
    return [p.detach().numpy() for p in module.parameters()]


def attention_weights(module):
    """The weights of a multi-head attention of torch, as Keras has them."""
    kernels = np.split(module.in_proj_weight.detach().numpy(), 3)
    biases = np.split(module.in_proj_bias.detach().numpy(), 3)
    found = []
    for w, b in zip(kernels, biases, strict=True):
        found += [w.T.reshape(WIDTH, HEADS, -1), b.reshape(HEADS, -1)]
    return [*found, module.out_proj.weight.detach().numpy().T.reshape(HEADS, -1, WIDTH), arrays(module.out_proj)[1]]


def network(body, *parts):
    """Parts around the work that `body(self, h)` does on embedded (B, T, D)."""
    import torch

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = made("Linear", 4, WIDTH), made("Linear", WIDTH, 3)
            self.parts = torch.nn.ModuleList(parts)

        def forward(self, x):
            return self.last(body(self.parts, self.first(x)).mean(1))

    return Net()


def twin(net, body):
    """The same in Keras."""
    given = keras.Input((TOKENS, 4))
    first, last = layers.Dense(WIDTH), layers.Dense(3)
    out = last(layers.GlobalAveragePooling1D()(body(first(given))))
    for theirs, mine in ((first, net.first), (last, net.last)):
        weight, bias = arrays(mine)
        theirs.set_weights([weight.T, bias])
    return keras.Model(given, out)


def alike(net, other, method, x, tolerance=2e-5):
    a, b = (pl.explain(m, x, method, target=1, progress=False) for m in (net, other))
    np.testing.assert_allclose(a.output, b.output, atol=1e-5)
    np.testing.assert_allclose(a.values, b.values, rtol=0, atol=tolerance * np.abs(b.values).max())
    assert np.abs(a.values).max() > 1e-3
    if a.gap is not None:
        assert a.gap.max() < 1e-4


@pytest.mark.parametrize("turned", [False, True], ids=["batch_first", "time_first"])
@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_multihead_attention_is_that_of_keras(method, turned):
    attention = made("MultiheadAttention", WIDTH, HEADS, batch_first=not turned)

    def body(parts, h):
        h = h.transpose(0, 1) if turned else h
        out = parts[0](h, h, h)[0]
        return out.transpose(0, 1) if turned else out

    net = network(body, attention)
    theirs = layers.MultiHeadAttention(HEADS, WIDTH // HEADS)
    other = twin(net, lambda h: theirs(h, h))
    theirs.set_weights(attention_weights(attention))
    alike(net, other, method(), rows(3, TOKENS, 4))


@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_an_encoder_layer_is_its_pieces(method, activation, norm_first):
    encoder = made("TransformerEncoderLayer", WIDTH, HEADS, 8, 0.1, activation, batch_first=True, norm_first=norm_first)
    net = network(lambda parts, h: parts[0](h), encoder)
    attention = layers.MultiHeadAttention(HEADS, WIDTH // HEADS)
    norms = [layers.LayerNormalization(epsilon=1e-5) for _ in range(2)]
    wide, narrow = layers.Dense(8, keras.activations.relu if activation == "relu" else exact_gelu), layers.Dense(WIDTH)

    def body(h):
        if norm_first:
            n = norms[0](h)
            h = layers.Add()([h, attention(n, n)])
            return layers.Add()([h, narrow(wide(norms[1](h)))])
        h = norms[0](layers.Add()([h, attention(h, h)]))
        return norms[1](layers.Add()([h, narrow(wide(h))]))

    other = twin(net, body)
    attention.set_weights(attention_weights(encoder.self_attn))
    for theirs, mine in ((wide, encoder.linear1), (narrow, encoder.linear2)):
        theirs.set_weights([arrays(mine)[0].T, arrays(mine)[1]])
    for theirs, mine in zip(norms, (encoder.norm1, encoder.norm2), strict=True):
        theirs.set_weights(arrays(mine))
    alike(net, other, method(), rows(3, TOKENS, 4))


@pytest.mark.parametrize("turned", [False, True], ids=["batch_first", "time_first"])
@pytest.mark.parametrize("first", [pl.Flat(), pl.WSquare(), pl.ZBox(low=-4.0, high=4.0)], ids=repr)
def test_attention_that_reads_the_input_is_a_first_layer(first, turned):
    import torch

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.look = made("MultiheadAttention", WIDTH, HEADS, batch_first=not turned)
            self.last = made("Linear", WIDTH, 3)

        def forward(self, x):
            x = x.transpose(0, 1) if turned else x
            return self.last(self.look(x, x, x)[0].mean(0 if turned else 1))

    net, given = Net(), keras.Input((TOKENS, WIDTH))
    theirs, last = layers.MultiHeadAttention(HEADS, WIDTH // HEADS), layers.Dense(3)
    other = keras.Model(given, last(layers.GlobalAveragePooling1D()(theirs(given, given))))
    theirs.set_weights(attention_weights(net.look))
    last.set_weights([arrays(net.last)[0].T, arrays(net.last)[1]])
    rules = pl.Composite(dense=pl.Epsilon(1e-3), first=first)
    alike(net, other, pl.LayerRelevance(rules), rows(3, TOKENS, WIDTH))
    plain = pl.explain(net, rows(3, TOKENS, WIDTH), pl.LayerRelevance(pl.Epsilon(1e-3)), target=1)
    e = pl.explain(net, rows(3, TOKENS, WIDTH), pl.LayerRelevance(rules), target=1)
    assert np.abs(e.values - plain.values).max() > 1e-3


def exact_gelu(x):
    return keras.activations.gelu(x, approximate=False)


@pytest.mark.parametrize("method", [METHODS["epsilon"], METHODS["rescale"]], ids=["epsilon", "rescale"])
def test_masks_and_keys_that_are_added_are_those_of_torch(method):
    """Nothing in Keras has them: against the same attention written out with operations."""
    import torch

    attention = made("MultiheadAttention", WIDTH, HEADS, batch_first=True, add_bias_kv=True, add_zero_attn=True)
    causal = torch.ones(TOKENS, TOKENS).triu(1).bool()

    def fused(parts, h):
        lost = (torch.arange(TOKENS) >= 4).expand(len(h), -1)
        return parts[0](h, h, h, key_padding_mask=lost, attn_mask=causal)[0]

    def by_hand(parts, h):
        size = (len(h), -1, HEADS, WIDTH // HEADS)
        w, b = parts[0].in_proj_weight.chunk(3), parts[0].in_proj_bias.chunk(3)
        q, k, v = (torch.nn.functional.linear(h, w[i], b[i]) for i in range(3))
        extra = lambda t, e: torch.cat([t, e.expand(len(h), 1, WIDTH), torch.zeros(len(h), 1, WIDTH)], 1)  # noqa: E731
        k, v = extra(k, parts[0].bias_k), extra(v, parts[0].bias_v)
        q, k, v = (t.reshape(*size).transpose(1, 2) for t in (q, k, v))
        scores = q @ k.transpose(-1, -2) * (WIDTH // HEADS) ** -0.5
        gone = causal | (torch.arange(TOKENS) >= 4)
        gone = torch.cat([gone, torch.zeros(TOKENS, 2, dtype=torch.bool)], 1)
        mixed = scores.masked_fill(gone, -1e9).softmax(-1) @ v
        return parts[0].out_proj(mixed.transpose(1, 2).flatten(2))

    nets = network(fused, attention), network(by_hand, attention)
    alike(*nets, method(), rows(3, TOKENS, 4))


def test_keys_of_another_width_and_a_stack_with_padding():
    """Differences add up, and padding gets nothing, through a padded encoder and a decoder that looks at it."""
    import torch

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            layer = made("TransformerEncoderLayer", WIDTH, HEADS, 8, batch_first=True)
            self.encoder = torch.nn.TransformerEncoder(layer, 2)
            self.decoder = made("TransformerDecoderLayer", WIDTH, HEADS, 8, batch_first=True)
            self.cross = made("MultiheadAttention", WIDTH, HEADS, kdim=3, vdim=4, bias=False, batch_first=True)
            self.last = made("Linear", WIDTH, 3, bias=False)

        def forward(self, x):
            lost = (torch.arange(TOKENS) >= 4).expand(len(x), -1)
            memory = self.encoder(x, src_key_padding_mask=lost)
            h = self.decoder(x[:, :3], memory, memory_key_padding_mask=lost)
            return self.last(self.cross(h, h[..., :3], h[..., 2:], need_weights=False)[0].mean(1))

    net, x = Net(), rows(3, TOKENS, WIDTH)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(2)
    start = pl.DeepLift(baseline=3 * rows(TOKENS, WIDTH, seed=1))
    e = pl.explain(net, x, start, target=1, progress=False)
    assert e.gap is not None
    assert e.baseline_output is not None
    change = np.abs(e.output - e.baseline_output).max()
    assert change > 0.01
    assert e.gap.max() < 1e-4 * change
    shares = pl.explain(net, x, pl.LayerRelevance(pl.Epsilon()), target=1, progress=False)
    np.testing.assert_allclose(shares.output, e.output, atol=1e-5)
    assert np.isfinite(shares.values).all()
    np.testing.assert_allclose(shares.values[:, 4], 0, atol=1e-6)  # padding, that no other token looks at
