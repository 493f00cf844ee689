"""Operations written in the forward of a torch module, against the same network made of layers, or written in Keras."""

import keras
import numpy as np
import pytest

import pellucid as pl
from pellucid.errors import UnsupportedLayer

pytestmark = pytest.mark.skipif(keras.backend.backend() != "torch", reason="torch modules need Keras on torch")

METHODS = {
    "relevance": lambda: pl.LayerRelevance(pl.Epsilon()),
    "composite": lambda: pl.LayerRelevance(),
    "rescale": lambda: pl.DeepLift(),
    "guided": lambda: pl.GuidedBackprop(),
    "excitation": lambda: pl.ExcitationBackprop(),
}
BOTH = {name: METHODS[name] for name in ("relevance", "rescale")}


def rows(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def module(forward, **parts):
    """A torch module of parts with a forward of its own, `forward(self, x)`."""
    import torch

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            for name, part in parts.items():
                setattr(self, name, part)

        def forward(self, x):
            return forward(self, x)

    return Net()


def explained(net, x, method, target=1):
    return pl.explain(net, x, method, target=target, progress=False)


def alike(first, second, x, method):
    a, b = explained(first, x, method), explained(second, x, method)
    np.testing.assert_allclose(a.output, b.output, atol=1e-5)
    np.testing.assert_allclose(a.values, b.values, rtol=0, atol=1e-5 * np.abs(b.values).max())
    assert np.abs(a.values).max() > 1e-3
    if a.gap is not None:
        assert a.gap.max() < 1e-5
    return a


def layer(kind, *sizes, **options):
    import torch

    torch.manual_seed(sum(sizes))
    return getattr(torch.nn, kind)(*sizes, **options)


# -- one layer for a model ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bias", [False, True])
def test_a_bare_layer_is_a_model(bias):
    net, x = layer("Linear", 4, 3, bias=bias), rows(5, 4)
    weights = net.weight.detach().numpy()[1]
    for method in BOTH.values():
        np.testing.assert_allclose(explained(net, x, method()).values, x * weights, rtol=2e-5, atol=1e-5)
    if not bias:
        e = explained(net, x, METHODS["relevance"]())
        np.testing.assert_allclose(e.values.sum(1), e.output, atol=1e-5)
    plus = x * weights * (x * weights > 0)
    score = x @ weights + (float(net.bias[1].detach()) if bias else 0)
    total = plus.sum(1) + (max(float(net.bias[1].detach()), 0) if bias else 0)
    expected = plus / (total + 1e-6)[:, None] * score[:, None]
    np.testing.assert_allclose(explained(net, x, pl.LayerRelevance(pl.ZPlus())).values, expected, rtol=1e-4, atol=1e-5)


# -- functions against layers -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_convolutions_rectifiers_and_pooling(method):
    import torch
    from torch.nn import functional as F

    def parts():
        return {
            "one": layer("Conv2d", 1, 4, 3), "two": layer("Conv2d", 4, 5, 3), "first": layer("Linear", 20, 8),
            "last": layer("Linear", 8, 3),
        }  # fmt: skip

    def written(self, x):
        h = F.max_pool2d(F.relu(self.one(x)), 2)
        h = torch.flatten(torch.relu_(self.two(h)), 1)
        return self.last(self.first(h).relu())

    nn, p = torch.nn, parts()
    made = nn.Sequential(
        p["one"], nn.ReLU(), nn.MaxPool2d(2), p["two"], nn.ReLU(), nn.Flatten(), p["first"], nn.ReLU(), p["last"]
    )
    alike(module(written, **parts()), made, np.abs(rows(4, 1, 10, 10)), method())


@pytest.mark.parametrize(
    "name", ["gelu", "silu", "elu", "sigmoid", "tanh", "softplus", "leaky_relu", "relu6", "hardtanh"]
)
@pytest.mark.parametrize("method", BOTH.values(), ids=BOTH)
def test_activations(name, method):
    import torch
    from torch.nn import functional as F

    kind = {"gelu": "GELU", "silu": "SiLU", "elu": "ELU", "leaky_relu": "LeakyReLU", "relu6": "ReLU6"}.get(
        name, name.title()
    )
    first, last = layer("Linear", 4, 6), layer("Linear", 6, 3)
    made = torch.nn.Sequential(first, getattr(torch.nn, kind)(), last)
    net = module(lambda self, x: self.last(getattr(F, name)(self.first(x))), first=first, last=last)
    alike(net, made, rows(5, 4), method())


@pytest.mark.parametrize("kind", ["LayerNorm", "RMSNorm", "GroupNorm"])
@pytest.mark.parametrize("method", BOTH.values(), ids=BOTH)
def test_normalizations(kind, method):
    import torch
    from torch.nn import functional as F

    first, last = layer("Linear", 4, 6), layer("Linear", 6, 3)
    norm = torch.nn.GroupNorm(2, 6) if kind == "GroupNorm" else getattr(torch.nn, kind)(6)
    with torch.no_grad():
        norm.weight.copy_(torch.linspace(0.5, 2, 6))
    call = {
        "LayerNorm": lambda h: F.layer_norm(h, (6,), norm.weight, norm.bias, norm.eps),
        "RMSNorm": lambda h: F.rms_norm(h, (6,), norm.weight),
        "GroupNorm": lambda h: F.group_norm(h, 2, norm.weight, norm.bias),
    }[kind]
    net = module(lambda self, x: self.last(call(self.first(x))), first=first, last=last)
    alike(net, torch.nn.Sequential(first, norm, last), rows(5, 4), method())


@pytest.mark.parametrize("rule", [pl.ZPlus, pl.Gamma, pl.Epsilon])
def test_functions_with_a_kernel_get_its_rule(rule):
    with_a_kernel_alike(pl.LayerRelevance(rule()))


def test_differences_through_functions_with_a_kernel():
    with_a_kernel_alike(pl.DeepLift())


def with_a_kernel_alike(method):
    import torch
    from torch.nn import functional as F

    nn = torch.nn
    one, last = layer("Conv2d", 1, 4, 3), layer("Linear", 64, 3)

    def written(self, x):
        h = F.conv2d(x, self.kernel, bias=self.offset)
        return F.linear(F.relu(h).reshape(len(x), -1), self.weight, self.bias)

    net = module(written, kernel=one.weight, offset=one.bias, weight=last.weight, bias=last.bias)
    alike(net, nn.Sequential(one, nn.ReLU(), nn.Flatten(), last), rows(3, 1, 6, 6), method)


@pytest.mark.parametrize("method", BOTH.values(), ids=BOTH)
def test_attention_is_the_operations_it_is_made_of(method):
    import torch
    from torch.nn import functional as F

    q, k, v, last = (layer("Linear", 4, s) for s in (6, 7, 8, 3))
    k, last = layer("Linear", 4, 6), layer("Linear", 8, 3)
    fused = module(
        lambda self, x: self.last(F.scaled_dot_product_attention(self.q(x), self.k(x), self.v(x), is_causal=True)).mean(1),
        q=q, k=k, v=v, last=last,
    )  # fmt: skip

    def by_hand(self, x):
        scores = self.q(x) @ self.k(x).transpose(-2, -1) / 6**0.5
        scores = scores.masked_fill(torch.ones(5, 5).triu(1).bool(), -1e9)
        return self.last(torch.einsum("bts,bsd->btd", scores.softmax(-1), self.v(x))).mean(1)

    alike(fused, module(by_hand, q=q, k=k, v=v, last=last), rows(3, 5, 4), method())


ALONE = {
    "Softsign": ((), "softsign"), "Hardshrink": ((), "hardshrink"), "Tanhshrink": ((), "tanhshrink"),
    "LogSigmoid": ((), "logsigmoid"), "Threshold": ((0.2, 0.0), "threshold"), "RReLU": ((), "rrelu"),
}  # fmt: skip
"""Modules of torch that are in no table, the options of each, and the function that does the same."""


@pytest.mark.parametrize("name", ALONE)
@pytest.mark.parametrize("method", BOTH.values(), ids=BOTH)
def test_a_module_of_no_known_kind_is_what_it_calls(name, method):
    import torch
    from torch.nn import functional as F

    first, last, (options, function) = layer("Linear", 4, 6), layer("Linear", 6, 3), ALONE[name]
    made = torch.nn.Sequential(first, getattr(torch.nn, name)(*options), last)
    net = module(lambda self, x: self.last(getattr(F, function)(self.first(x), *options)), first=first, last=last)
    alike(net, made, rows(5, 4), method())


@pytest.mark.parametrize("method", BOTH.values(), ids=BOTH)
def test_modules_that_only_move_values(method):
    import torch

    nn = torch.nn
    one, last = layer("Conv2d", 1, 4, 3), layer("Linear", 64, 3)
    made = nn.Sequential(
        nn.ReflectionPad2d(1), one, nn.ReLU(), nn.PixelShuffle(2), nn.ChannelShuffle(1), nn.Flatten(), last
    )

    def by_hand(self, x):
        x = torch.cat([x[:, :, 1:2], x, x[:, :, -2:-1]], 2)
        x = torch.cat([x[..., 1:2], x, x[..., -2:-1]], 3)
        h = self.one(x).relu().reshape(-1, 2, 2, 4, 4)
        return self.last(h.permute(0, 3, 1, 4, 2).reshape(-1, 64))

    alike(made, module(by_hand, one=one, last=last), rows(3, 1, 4, 4), method())


@pytest.mark.parametrize("counted", [False, True])
@pytest.mark.parametrize("method", [lambda: pl.LayerRelevance(pl.Epsilon(1e-9)), BOTH["rescale"]], ids=BOTH)
def test_an_instance_normalization_is_that_of_groups_of_one_or_of_a_batch(method, counted):
    import torch

    nn = torch.nn
    one, last = layer("Conv2d", 1, 4, 3), layer("Linear", 64, 3)
    norm = nn.InstanceNorm2d(4, affine=True, track_running_stats=counted)
    other = nn.BatchNorm2d(4) if counted else nn.GroupNorm(4, 4)
    with torch.no_grad():
        norm.weight.copy_(torch.linspace(0.5, 2, 4))
        if counted:
            norm.running_mean.copy_(torch.linspace(-1, 1, 4))
            norm.running_var.copy_(torch.linspace(0.5, 2, 4))
    other.load_state_dict(norm.state_dict())
    nets = [nn.Sequential(one, nn.ReLU(), n, nn.ReLU(), nn.Flatten(), last) for n in (norm, other)]
    alike(*nets, rows(3, 1, 6, 6), method())


def test_what_a_module_calls_and_nothing_is_known_of_is_named():
    import torch

    net = torch.nn.Sequential(layer("Linear", 4, 6), torch.nn.GLU(), layer("Linear", 3, 2))
    with pytest.raises(UnsupportedLayer, match="'glu'"):
        explained(net, rows(2, 4), METHODS["relevance"]())
    body = [torch.nn.InstanceNorm1d(3), torch.nn.Flatten(), layer("Linear", 12, 2)]
    with pytest.raises(UnsupportedLayer, match="'instance_norm'"):
        explained(torch.nn.Sequential(*body), rows(2, 3, 4), METHODS["excitation"]())


# -- functions against Keras --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", BOTH.values(), ids=BOTH)
def test_products_and_quotients_are_those_of_keras(method):
    import torch
    from keras import ops

    first, second, last = layer("Linear", 4, 6), layer("Linear", 4, 6, bias=False), layer("Linear", 6, 3)

    def written(self, x):
        h = self.first((x - 0.5) / 2)
        g = torch.sigmoid(self.second(x))
        y = torch.relu(h) * g
        y += 0.5 * h
        y = y / (1 + g)
        return self.last(torch.cat([y[:, :3], 2 / (3 + torch.tanh(h[:, 3:]))], 1).mul_(2))

    given = keras.Input((4,))
    dense = [keras.layers.Dense(s, use_bias=b) for s, b in ((6, True), (6, False), (3, True))]
    h = dense[0]((given - 0.5) / 2)
    g = ops.sigmoid(dense[1](given))
    y = (ops.relu(h) * g + 0.5 * h) / (1 + g)
    twin = keras.Model(given, dense[2](ops.concatenate([y[:, :3], 2 / (3 + ops.tanh(h[:, 3:]))], 1) * 2))
    for theirs, mine in zip(dense, (first, second, last), strict=True):
        held = [mine.weight, mine.bias] if mine.bias is not None else [mine.weight]
        theirs.set_weights([w.detach().numpy().T for w in held])
    alike(module(written, first=first, second=second, last=last), twin, rows(5, 4), method())


def test_relevance_of_a_product_is_kept():
    first, second, last = (layer("Linear", *s, bias=False) for s in ((4, 6), (4, 7), (6, 3)))
    second = layer("Linear", 4, 6, bias=False)
    net = module(
        lambda self, x: self.last((self.first(x) * self.second(x).sigmoid()).relu()), first=first, second=second, last=last
    )  # fmt: skip
    e = explained(net, rows(5, 4), pl.LayerRelevance(pl.Epsilon(stabilizer=1e-9)))
    np.testing.assert_allclose(e.values.sum(1), e.output, atol=1e-5 * np.abs(e.output).max())


def test_a_hidden_layer_of_a_module_with_functions():
    from torch.nn import functional as F

    first, last = layer("Linear", 4, 6), layer("Linear", 6, 3, bias=False)
    net, x = module(lambda self, x: self.last(F.gelu(self.first(x))), first=first, last=last), rows(5, 4)
    for method in (pl.LayerRelevance(pl.Epsilon(), layer="first"), pl.DeepLift(layer="first")):
        e = explained(net, x, method)
        assert e.values.shape == (5, 6)
    np.testing.assert_allclose(explained(net, x, method).gap, 0, atol=1e-5)


def test_parameters_still_take_gradients_afterwards():
    net = module(lambda self, x: self.last(x).relu(), last=layer("Linear", 4, 3))
    net.last.bias.requires_grad_(False)
    explained(net, rows(5, 4), pl.DeepLift())
    assert net.last.weight.requires_grad
    assert not net.last.bias.requires_grad


# -- what is refused ----------------------------------------------------------------------------------------------------


def test_what_has_no_rule_is_named():
    import torch

    class Straight(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.sign()

        @staticmethod
        def backward(ctx, g):
            return g

    cases = {
        "'abs'": (lambda h: h.abs(), ["relevance"]),
        "'std'": (lambda h: h / h.std(1, keepdim=True), ["relevance", "rescale"]),
        "'sort'": (lambda h: h.sort(1)[0], ["relevance", "rescale"]),
        "StraightBackward": (Straight.apply, ["relevance", "rescale"]),
        "'mul'.*baseline": (lambda h: h * (h > 0).float(), ["rescale"]),
        "'where'.*baseline": (lambda h: torch.where(h > 0, h, 0.1 * h), ["rescale"]),
    }
    for told, (function, refusing) in cases.items():
        first, last = layer("Linear", 4, 6), layer("Linear", 6, 3)
        net = module(lambda self, x, f=function: self.last(f(self.first(x))), first=first, last=last)
        for name in refusing:
            with pytest.raises(UnsupportedLayer, match=told):
                explained(net, rows(5, 4), METHODS[name]())


@pytest.mark.parametrize("how", ["function", "module"])
def test_the_logarithm_of_a_softmax_is_a_chain_for_differences_and_its_own_gradient_for_relevance(how):
    import torch

    last = layer("Linear", 4, 3)
    soft = torch.nn.LogSoftmax(1) if how == "module" else (lambda h: h.log_softmax(1))
    parts = {"last": last} | ({"soft": soft} if how == "module" else {})
    net = module(lambda self, x, f=soft: f(self.last(x)), **parts)
    x = rows(5, 4)
    w, c = (p.detach().numpy().astype(float) for p in (last.weight, last.bias))
    z, start = x @ w.T + c, np.broadcast_to(c, (5, 3))
    e = explained(net, x, pl.DeepLift())
    slope = (logsum(z) - logsum(start)) / (np.exp(z).sum(1) - np.exp(start).sum(1))
    multiplier = np.eye(3)[e.classes] - slope[:, None] * (np.exp(z) - np.exp(start)) / (z - start)
    np.testing.assert_allclose(e.values, x * (multiplier @ w), atol=2e-5)
    assert e.gap.max() < 1e-5
    found = explained(net, x, pl.LayerRelevance(pl.Epsilon(1e-9)))
    own = np.eye(3)[e.classes] - np.exp(z) / np.exp(z).sum(1, keepdims=True)
    np.testing.assert_allclose(found.values, x * (own @ w), atol=2e-5)


def logsum(z):
    return np.log(np.exp(z).sum(1))


def test_a_rectifier_written_with_a_mask_keeps_relevance():
    first, last = layer("Linear", 4, 6, bias=False), layer("Linear", 6, 3, bias=False)
    masked = module(lambda self, x: self.last(self.first(x) * (self.first(x) > 0)), first=first, last=last)
    plain = module(lambda self, x: self.last(self.first(x).relu()), first=first, last=last)
    alike(masked, plain, rows(5, 4), METHODS["relevance"]())
