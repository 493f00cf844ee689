"""Maximum flow through attention: graphs with known answers, networkx, and the widths of a model's own weights."""

import keras
import networkx
import numpy as np
import pytest
from keras import layers

import pellucid as pl
from pellucid.errors import NotApplicable
from pellucid.explain.attention.flow import LARGEST, Network


def graph(*layers_of_weights):
    """A network of layers, each a matrix (Q, K), and the nodes at its start and end."""
    net = Network()
    start = now = net.nodes(layers_of_weights[0].shape[1])
    for weights in layers_of_weights:
        after = net.nodes(len(weights))
        net.join(now, after, weights)
        now = after
    return net, start, now


def test_hand_computed_flows():
    # two ways from 0 to the end, 0.3 and min(0.5, 0.2); from 1, one way as wide as its narrowest pipe
    net, start, end = graph(np.array([[0.3, 0.0], [0.5, 0.9]]), np.array([[1.0, 0.2]]))
    np.testing.assert_allclose(net.flows(start, [end]), [0.5, 0.2], atol=1e-8)
    # both ends together take what each could take alone, divided by two
    net, start, end = graph(np.array([[0.4, 0.6], [0.1, 0.9]]))
    np.testing.assert_allclose(net.flows(start, [end]), [0.25, 0.75], atol=1e-8)


@pytest.mark.parametrize("seed", range(4))
def test_networkx_finds_the_same(seed):
    draw = np.random.default_rng(seed)
    weights = [m / m.sum(-1, keepdims=True) for m in draw.exponential(size=(3, 6, 6)) ** 3]
    net, start, end = graph(*weights)
    other = networkx.DiGraph()
    for sources, targets, capacities in net.pipes:
        other.add_weighted_edges_from(zip(sources, targets, capacities, strict=True), weight="capacity")
    for group in (end[:1], end[[1, 4]]):
        joined = other.copy()
        joined.add_weighted_edges_from([(node, "end", 1.0) for node in group], weight="capacity")
        expected = [networkx.maximum_flow_value(joined, s, "end") / len(group) for s in start]
        np.testing.assert_allclose(net.flows(start, [group]), expected, atol=1e-7)


@pytest.mark.parametrize("pool", ["class", "mean", "attention"])
def test_a_model_is_the_network_of_its_weights(pool):
    keras.utils.set_random_seed(2)
    model = pl.wrap(pl.models.tabular_transformer(5, 2, width=8, heads=2, pool=pool))
    x = np.random.default_rng(0).normal(size=(2, 5)) * 5
    reading, found = pl.attention(model, x), pl.explain(model, x, pl.AttentionFlow(residual=0.3))
    for i in range(2):
        matrices = [reading[name][i].mean(0).astype(float) for name in reading]
        wide = [0.3 * np.eye(len(a)) + 0.7 * a if a.shape[0] == a.shape[1] else a for a in matrices]
        other = networkx.DiGraph()
        for n, a in enumerate(wide):
            other.add_weighted_edges_from(
                [((n, k), (n + 1, q), a[q, k]) for q, k in np.ndindex(a.shape)], weight="capacity"
            )
        asked = range(5) if pool == "mean" else [0]
        other.add_weighted_edges_from([((len(wide), q), "end", 1.0) for q in asked], weight="capacity")
        columns = range(1, 6) if pool == "class" else range(5)
        expected = [networkx.maximum_flow_value(other, (0, k), "end") / len(asked) for k in columns]
        np.testing.assert_allclose(found.values[i], expected, atol=1e-6)


def test_too_many_positions_are_refused():
    ends = keras.Input((LARGEST + 1, 2))
    net = keras.Model(
        ends, layers.Dense(2)(layers.GlobalAveragePooling1D()(layers.MultiHeadAttention(1, 1)(ends, ends)))
    )
    with pytest.raises(NotApplicable, match=r"257 positions.*AttentionRollout"):
        pl.explain(net, np.ones((1, LARGEST + 1, 2)), pl.AttentionFlow())
