"""Discretized integrated gradients: the published path word by word, and the integral along it by many small steps."""

from itertools import pairwise

import keras
import numpy as np
import pytest
from keras import layers

import pellucid as pl
from pellucid.errors import InvalidOption, NotApplicable
from pellucid.explain.gradients.discretized import between


def published_path(words, token, goal, strategy, steps, neighbours):
    """The authors' path, one word and one coordinate at a time: from the goal to the token."""

    def fits(place, last):
        low, high = np.minimum(last, words[goal]), np.maximum(last, words[goal])
        return [low[d] <= place[d] <= high[d] for d in range(len(place))]

    def monotone(place, last):
        kept = fits(place, last)
        return np.array(
            [place[d] if kept[d] else last[d] - (last[d] - words[goal][d]) / steps for d in range(len(place))]
        )

    chain = [token]
    for _ in range(steps):
        last = chain[-1]
        if last == goal:
            chain.append(goal)
            continue
        others = sorted(
            (w for w in range(len(words)) if w != last), key=lambda w: np.linalg.norm(words[w] - words[last])
        )
        near = [w for w in others[:neighbours] if w != goal and w not in chain]
        if strategy == "greedy":
            cost = {w: np.linalg.norm(words[w] - monotone(words[w], words[last])) for w in near}
        else:
            cost = {w: -sum(fits(words[w], words[last])) for w in near}
        chain.append(min(near, key=cost.get) if near else goal)
    path = [words[token]]
    for word in chain[1:]:
        path.append(monotone(words[word], path[-1]))
    return np.array([words[goal], *path[::-1]])


@pytest.mark.parametrize("strategy", ["greedy", "maxcount"])
@pytest.mark.parametrize("anchors, neighbours", [(7, 5), (3, 500), (31, 12)])
def test_the_path_is_the_published_one(strategy, anchors, neighbours, generator):
    words = generator.normal(size=(20, 4))
    method = pl.DiscretizedIntegratedGradients(strategy, anchors=anchors, neighbours=neighbours)
    for token, goal in ((3, 0), (7, 11), (5, 5)):
        path = method._path(words, token, goal)
        np.testing.assert_allclose(path, published_path(words, token, goal, strategy, anchors, neighbours), atol=1e-12)
        assert all(between(b, words[goal], c).all() for b, c in pairwise(path)), "one way only"


def sentence(draw, size=3):
    """Tokens through an embedding and a tanh network: in Keras, and in NumPy its gradient at embeddings (T, D)."""
    tokens = keras.Input((size,), dtype="int32")
    flat = layers.Flatten()(layers.Embedding(15, 4)(tokens))
    net = keras.Model(tokens, layers.Dense(1, use_bias=False)(layers.Dense(5, "tanh", use_bias=False)(flat)))
    words, a, b = draw.normal(size=(15, 4)), draw.normal(size=(4 * size, 5)) / 2, draw.normal(size=(5, 1))
    net.set_weights([words, a, b])
    return net, words, lambda z: (a @ (b[:, 0] * (1 - np.tanh(z.ravel() @ a) ** 2))).reshape(size, 4)


@pytest.mark.parametrize("strategy", ["greedy", "maxcount"])
def test_the_integral_by_many_small_steps(strategy, generator):
    net, words, slope = sentence(generator)
    x = generator.integers(1, 15, size=(3, 3))
    method = pl.DiscretizedIntegratedGradients(strategy, anchors=7, tolerance=0.002, max_evaluations=2000)
    e = pl.explain(net, x, method)
    assert e.values.shape == (3, 3)
    assert e.converged.all()
    for tokens, values in zip(x, e.values, strict=True):
        path = np.stack([published_path(words, t, 0, strategy, 7, 500) for t in tokens], axis=1)
        total = np.zeros((3, 4))
        for low, high in pairwise(path):
            for a in (np.arange(200) + 0.5) / 200:
                total += slope(low + a * (high - low)) * (high - low) / 200
        np.testing.assert_allclose(values, total.sum(1), rtol=5e-3, atol=2e-3)


def test_the_sum_is_the_change_and_a_token_that_is_its_baseline_gets_nothing(generator):
    net, *_ = sentence(generator)
    x = generator.integers(1, 15, size=(5, 3))
    e = pl.explain(net, x, pl.DiscretizedIntegratedGradients(baseline=2))
    np.testing.assert_array_equal(e.values[x == 2], 0)
    np.testing.assert_allclose(e.values.sum(1), e.output - e.baseline_output, atol=0.03)
    kept = pl.explain(net, x, pl.DiscretizedIntegratedGradients(baseline=pl.MaskToken(1, keep=(int(x[0, 0]),))))
    assert kept.values[0, 0] == 0


def test_other_inputs_go_straight(generator):
    tokens, numbers = keras.Input((3,), dtype="int32", name="tokens"), keras.Input((2,), name="numbers")
    both = layers.Concatenate()([layers.Flatten()(layers.Embedding(9, 2)(tokens)), numbers])
    net = keras.Model([tokens, numbers], layers.Dense(1, use_bias=False)(both))
    x = {"tokens": generator.integers(1, 9, size=(2, 3)), "numbers": generator.normal(size=(2, 2)).astype(np.float32)}
    e = pl.explain(net, x, pl.DiscretizedIntegratedGradients())
    np.testing.assert_allclose(e.values["numbers"], x["numbers"] * net.get_weights()[-1][-2:, 0], rtol=1e-4, atol=1e-5)
    assert e.gap.max() < 1e-4


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="plain torch modules run on torch")
def test_torch_embeddings_are_read(generator):
    from torch import nn

    net = nn.Sequential(nn.Embedding(9, 3), nn.Flatten(), nn.Linear(12, 5), nn.Tanh(), nn.Linear(5, 2))
    e = pl.explain(net, generator.integers(1, 9, size=(2, 4)), pl.DiscretizedIntegratedGradients(), target=0)
    np.testing.assert_allclose(e.values.sum(1), e.output - e.baseline_output, atol=0.02)


def test_what_is_no_text_is_refused(random_mlp):
    with pytest.raises(NotApplicable, match=r"needs tokens that an embedding layer reads, got float32 \(2, 6\)"):
        pl.explain(random_mlp, np.zeros((2, 6)), pl.DiscretizedIntegratedGradients())


@pytest.mark.parametrize("options", [{"strategy": "best"}, {"anchors": 0}, {"neighbours": 0}, {"max_evaluations": 58}])
def test_options_that_make_no_sense(options):
    with pytest.raises(InvalidOption, match=f"DiscretizedIntegratedGradients.{next(iter(options))}: expected"):
        pl.DiscretizedIntegratedGradients(**options)
