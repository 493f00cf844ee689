"""Gradient-weighted attention against the published rules, with gradients and weights computed by hand in float64."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import pellucid as pl
from pellucid.core.tensors import to_array

F = 4


def softmax(scores):
    e = np.exp(scores - scores.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


class Look:
    """Multi-head attention in float64, of a Keras layer's kernels; weights may be moved."""

    def __init__(self, layer):
        names = ("query_dense", "key_dense", "value_dense", "output_dense")
        self.q, self.k, self.v, self.o = ([to_array(w).astype(float) for w in getattr(layer, n).weights] for n in names)

    def weights(self, asks, looks):
        q, k = (np.einsum("tf,fhd->htd", x, w) + b[:, None] for x, (w, b) in ((asks, self.q), (looks, self.k)))
        return softmax(q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1]))

    def __call__(self, asks, looks, shift, seen):
        a = self.weights(asks, looks)
        seen.append(a)
        v = np.einsum("tf,fhd->htd", looks, self.v[0]) + self.v[1][:, None]
        return np.einsum("htd,hdf->tf", (a + shift) @ v, self.o[0]) + self.o[1]


def slopes(run, shapes):
    """Gradients of a score by zero shifts of each attention's weights, by central differences in float64."""
    found = []
    for i, shape in enumerate(shapes):
        slope = np.zeros(shape)
        for at in np.ndindex(shape):
            ends = []
            for step in (1e-6, -1e-6):
                shifts = [np.zeros(s) for s in shapes]
                shifts[i][at] = step
                ends.append(run(shifts)[0])
            slope[at] = (ends[0] - ends[1]) / 2e-6
        found.append(slope)
    return found


def folded(run, shapes):
    """The mean over heads of relu(a * slope), of each attention."""
    _, seen = run([np.zeros(s) for s in shapes])
    return [np.maximum(a * g, 0).mean(0) for a, g in zip(seen, slopes(run, shapes), strict=True)]


def normalized(r):
    """Rules 8 and 9."""
    taken = r - np.eye(len(r))
    total = taken.sum(-1, keepdims=True)
    return np.divide(taken, total, out=np.zeros_like(taken), where=total > 0) + np.eye(len(r))


def drawn(net, seed=3):
    generator = np.random.default_rng(seed)
    for w in net.weights:
        w.assign(generator.normal(size=w.shape) / np.sqrt(max(1, int(np.prod(w.shape[:-1])))))
    return net


def looking(net, *names):
    return [Look(net.get_layer(name)) for name in names]


def head(net):
    kernel, bias = (to_array(w).astype(float) for w in net.get_layer("out").weights)
    return lambda h: h @ kernel + bias


@pytest.mark.parametrize("margin", [False, True])
def test_self_attention(margin):
    x = np.random.default_rng(0).normal(size=(3, 5, F))
    ends = keras.Input((5, F))
    h = ends + layers.MultiHeadAttention(2, 3, name="one")(ends, ends)
    h = ops.tanh(h) + layers.MultiHeadAttention(2, 3, name="two")(h, h)
    net = drawn(keras.Model(ends, layers.Dense(3, name="out")(layers.GlobalAveragePooling1D()(h))))
    one, two = looking(net, "one", "two")
    for row, found in zip(
        x, pl.explain(net, x, pl.GradientAttention(), target=pl.Margin(2, 0) if margin else 2).values, strict=True
    ):

        def run(shifts, row=row):
            seen = []
            h = row + one(row, row, shifts[0], seen)
            h = np.tanh(h) + two(h, h, shifts[1], seen)
            scores = head(net)(h.mean(0))
            return scores[2] - scores[0] * margin, seen

        first, second = folded(run, [(2, 5, 5)] * 2)
        r = np.eye(5)
        r = r + first @ r
        r = r + second @ r
        np.testing.assert_allclose(found[..., 0], r.mean(0), rtol=1e-4, atol=1e-6)


def test_a_class_token_and_a_callable_target():
    x = np.random.default_rng(0).normal(size=(2, 4, F))
    ends = keras.Input((4, F))
    h = pl.layers.ClassToken()(ends)
    h = h + layers.MultiHeadAttention(2, 3, name="one")(h, h)
    net = drawn(keras.Model(ends, layers.Dense(2, name="out")(h[:, 0])))
    (one,), token = looking(net, "one"), to_array(next(w for w in net.weights if "token" in w.path))[0]
    found = pl.explain(net, x, pl.GradientAttention(), target=lambda s: s[:, 0] * s[:, 1]).values
    for row, values in zip(x, found, strict=True):

        def run(shifts, row=row):
            seen, h = [], np.concatenate([token, row])
            scores = head(net)((h + one(h, h, shifts[0], seen))[0])
            return scores[0] * scores[1], seen

        (a,) = folded(run, [(2, 5, 5)])
        np.testing.assert_allclose(values[..., 0], a[0, 1:], rtol=1e-4, atol=1e-6)


def both(decoder):
    """Two sequences: an encoder and a decoder that looks at it, or two that look at each other."""
    s, q = keras.Input((4, F), name="s"), keras.Input((6, F), name="q")
    h = q + layers.MultiHeadAttention(2, 3, name="q_self")(q, q)
    g = s + layers.MultiHeadAttention(2, 3, name="s_self")(s, s)
    if decoder:
        g = g + layers.MultiHeadAttention(2, 3, name="cross")(g, h)
        return drawn(keras.Model({"s": s, "q": q}, layers.Dense(2, name="out")(g[:, -1])))
    k = g + layers.MultiHeadAttention(2, 3, name="cross")(g, h)
    h = h + layers.MultiHeadAttention(2, 3, name="back")(h, g)  # both look at what the other was before
    k = k + layers.MultiHeadAttention(2, 3, name="last")(k, h)
    return drawn(keras.Model({"s": s, "q": q}, layers.Dense(2, name="out")(k[:, 0])))


@pytest.fixture
def pair(generator):
    return {"s": generator.normal(size=(2, 4, F)), "q": generator.normal(size=(2, 6, F))}


def names_in_order(net, x):
    return list(pl.attention(net, x))


def test_encoder_and_decoder(pair):
    net = both(decoder=True)
    e = pl.explain(net, pair, pl.GradientAttention(), target=1)
    order = names_in_order(net, pair)
    one, two, cross = looking(net, "q_self", "s_self", "cross")
    for i in range(2):
        s, q = pair["s"][i], pair["q"][i]

        def run(shifts, s=s, q=q):
            seen, by = [], dict(zip(order, shifts, strict=True))
            h, kept = q + one(q, q, by["q_self"], seen), {}
            kept["q_self"] = seen.pop()
            g = s + two(s, s, by["s_self"], seen)
            kept["s_self"] = seen.pop()
            g = g + cross(g, h, by["cross"], seen)
            kept["cross"] = seen.pop()
            return head(net)(g[-1])[1], [kept[n] for n in order]

        shapes = {"q_self": (2, 6, 6), "s_self": (2, 4, 4), "cross": (2, 4, 6)}
        a = dict(zip(order, folded(run, [shapes[n] for n in order]), strict=True))
        r_qq, r_ss = np.eye(6) + a["q_self"], np.eye(4) + a["s_self"]
        r_sq = normalized(r_ss).T @ a["cross"] @ normalized(r_qq)
        np.testing.assert_allclose(e.values["q"][i, :, 0], r_sq[-1], rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(e.values["s"][i, :, 0], r_ss[-1], rtol=1e-4, atol=1e-6)
    assert any("query 3 of cross" in note for note in e.provenance.notes)


def test_two_sequences_that_look_at_each_other(pair):
    net = both(decoder=False)
    e = pl.explain(net, pair, pl.GradientAttention(), target=0)
    order = names_in_order(net, pair)
    look = dict(zip(order, looking(net, *order), strict=True))
    shapes = {"q_self": (2, 6, 6), "s_self": (2, 4, 4), "cross": (2, 4, 6), "back": (2, 6, 4), "last": (2, 4, 6)}
    for i in range(2):

        def run(shifts, i=i):
            by, kept = dict(zip(order, shifts, strict=True)), {}

            def step(name, asks, looks):
                seen = []
                out = look[name](asks, looks, by[name], seen)
                kept[name] = seen[0]
                return asks + out

            q, s = pair["q"][i], pair["s"][i]
            h, g = step("q_self", q, q), step("s_self", s, s)
            k, h = step("cross", g, h), step("back", h, g)
            k = step("last", k, h)
            return head(net)(k[0])[0], [kept[n] for n in order]

        a = dict(zip(order, folded(run, [shapes[n] for n in order]), strict=True))
        qq, ss, sq, qs = np.eye(6) + a["q_self"], np.eye(4) + a["s_self"], np.zeros((4, 6)), np.zeros((6, 4))
        # rules 10 and 11, both directions from what the streams held before
        new_sq = sq + normalized(ss).T @ a["cross"] @ normalized(qq)
        new_ss = ss + a["cross"] @ qs
        new_qs = qs + normalized(qq).T @ a["back"] @ normalized(ss)
        new_qq = qq + a["back"] @ sq
        qq, ss, sq, qs = new_qq, new_ss, new_sq, new_qs
        sq, ss = sq + normalized(ss).T @ a["last"] @ normalized(qq), ss + a["last"] @ qs
        np.testing.assert_allclose(e.values["q"][i, :, 0], sq[0], rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(e.values["s"][i, :, 0], ss[0], rtol=1e-4, atol=1e-6)


def test_the_pooling_attention_comes_last(generator):
    x = generator.normal(size=(2, 5, F))
    ends = keras.Input((5, F))
    h = ends + layers.MultiHeadAttention(2, 3, name="one")(ends, ends)
    net = drawn(keras.Model(ends, layers.Dense(2, name="out")(pl.layers.AttentionPooling(name="pool")(h))))
    (one,), pool = looking(net, "one"), net.get_layer("pool")
    (w, b), v = (
        (to_array(p).astype(float) for p in pool.hidden_projection.weights),
        to_array(pool.score_projection.kernel),
    )
    found = pl.explain(net, x, pl.GradientAttention(), target=0).values
    for row, values in zip(x, found, strict=True):

        def run(shifts, row=row):
            seen = []
            h = row + one(row, row, shifts[0], seen)
            a = softmax((np.tanh(h @ w + b) @ v)[:, 0])
            seen.append(a[None, None])
            return head(net)((a + shifts[1][0, 0]) @ h)[0], seen

        first, last = folded(run, [(2, 5, 5), (1, 1, 5)])
        np.testing.assert_allclose(values[..., 0], (last @ normalized(np.eye(5) + first))[0], rtol=1e-4, atol=1e-6)
