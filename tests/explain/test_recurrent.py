"""Relevance and differences through recurrent layers, against a small tape in float64 that goes back step by step."""

import re

import keras
import numpy as np
import pytest
from keras import layers

import pellucid as pl
from pellucid.errors import UnsupportedLayer
from pellucid.explain.propagation.plan import make_plan

ACT = {
    "tanh": np.tanh, "sigmoid": lambda a: 1 / (1 + np.exp(-a)), "relu": lambda a: np.maximum(a, 0), "linear": lambda a: a,
    "softsign": lambda a: a / (1 + np.abs(a)),
}  # fmt: skip


class Node:
    """A value, the value from the baseline, and how what comes back is handed to the parents, by method."""

    def __init__(self, value, start, parents=()):
        self.value, self.start, self.parents = np.asarray(value, float), np.asarray(start, float), parents
        self.back = np.zeros_like(self.value)


def away(z, e=1e-6):
    return z + e * np.where(z >= 0, 1, -1)


def linear(given, weights, bias, how):
    """given (I,) nodes joined, weights (I, J)."""
    x, b = np.concatenate([g.value for g in given]), np.concatenate([g.start for g in given])
    z, z0 = x @ weights + bias, b @ weights + bias
    ends = np.cumsum([0, *(len(g.value) for g in given)])

    def back(r, i):
        whole = x * (weights @ (r / away(z))) if how == "relevance" else weights @ r
        return whole[ends[i] : ends[i + 1]]

    return Node(z, z0, [(g, lambda r, i=i: back(r, i)) for i, g in enumerate(given)])


def scaled(node, factor):
    """A node times constants."""
    return Node(node.value * factor, node.start * factor, [(node, lambda r: r)])


def acted(node, name):
    y, y0 = ACT[name](node.value), ACT[name](node.start)
    d = node.value - node.start
    ratio = np.divide(y - y0, d, out=np.zeros_like(d), where=np.abs(d) > 1e-12)
    return Node(y, y0, [(node, {"relevance": lambda r: r, "differences": lambda r: r * ratio})])


def added(a, b):
    value = a.value + b.value
    part = lambda t: {"relevance": lambda r: r * t.value / np.where(value, value, 1), "differences": lambda r: r}  # noqa: E731
    return Node(value, a.start + b.start, [(a, part(a)), (b, part(b))])


def gated(gate, signal):
    ways = [
        (gate, {"relevance": lambda r: 0 * r, "differences": lambda r: r * (signal.value + signal.start) / 2}),
        (signal, {"relevance": lambda r: r, "differences": lambda r: r * (gate.value + gate.start) / 2}),
    ]
    return Node(gate.value * signal.value, gate.start * signal.start, ways)


def opposite(gate):
    return Node(1 - gate.value, 1 - gate.start, [(gate, {"relevance": lambda r: 0 * r, "differences": lambda r: -r})])


def run_back(end, how, first):
    order, seen = [], set()

    def visit(node):
        if id(node) not in seen:
            seen.add(id(node))
            for parent, _ in node.parents:
                visit(parent)
            order.append(node)

    visit(end)
    end.back = first
    for node in reversed(order):
        for parent, way in node.parents:
            parent.back = parent.back + (way[how] if isinstance(way, dict) else way)(node.back)


def apart(cell):
    """Kernels, state kernels and biases by gate; (2, ...) biases for a GRU that resets after its kernel."""
    kernel, back, *bias = (np.asarray(w, float) for w in cell.get_weights())
    n = back.shape[0]
    cut = lambda w: [w[..., k * n : (k + 1) * n] for k in range(kernel.shape[1] // n)]  # noqa: E731
    return cut(kernel), cut(back), cut(bias[0] if bias else np.zeros(kernel.shape[1]))


def step(cell, x, states, how):
    """One step of a cell on nodes."""
    w, u, b = apart(cell)
    name = lambda f: f.__name__  # noqa: E731
    act = name(cell.activation)
    both = [x, states[0]]
    joint = lambda k, given=both: linear(given, np.vstack([w[k], u[k]]), b[k], how)  # noqa: E731
    if type(cell).__name__ == "SimpleRNNCell":
        return [acted(joint(0), act)]
    gate = name(cell.recurrent_activation)
    if type(cell).__name__ == "LSTMCell":
        i, f, o = (acted(joint(k), gate) for k in (0, 1, 3))
        c = added(gated(f, states[1]), gated(i, acted(joint(2), act)))
        return [gated(o, acted(c, act)), c]
    if not cell.reset_after:
        z, r = acted(joint(0), gate), acted(joint(1), gate)
        signal = acted(joint(2, [x, gated(r, states[0])]), act)
    else:
        own, inner = (b[k][0] for k in range(3)), [b[k][1] for k in range(3)]
        own = list(own)
        total = lambda k: linear(both, np.vstack([w[k], u[k]]), own[k] + inner[k], how)  # noqa: E731
        z, r = acted(total(0), gate), acted(total(1), gate)
        if how == "relevance":  # the gate stands still: its product with the state's kernel is one kernel
            signal = acted(linear(both, np.vstack([w[2], u[2] * r.value]), own[2] + inner[2] * r.value, how), act)
        else:
            from_state = gated(r, linear([states[0]], u[2], inner[2], how))
            signal = acted(added(linear([x], w[2], own[2], how), from_state), act)
    return [added(gated(z, states[0]), gated(opposite(z), signal))]


def answer(cell, dense, x, start, k, how, mask=None, backwards=False):
    """Values (T, F) of one example x (T, F) for score k of a dense layer on the last state."""
    nodes = [Node(row, base) for row, base in zip(x, start, strict=True)]
    units = cell.units
    states = [Node(np.zeros(units), np.zeros(units)) for _ in range(2 if type(cell).__name__ == "LSTMCell" else 1)]
    order = list(range(len(x)))[::-1] if backwards else range(len(x))
    for t in order:
        if mask is None or mask[t]:
            states = step(cell, nodes[t], states, how)
    w, b = (np.asarray(a, float) for a in dense.get_weights())
    end = linear([states[0]], w, b, how)
    one = np.eye(len(b))[k]
    run_back(end, how, one * end.value if how == "relevance" else one)
    return np.array([n.back if how == "relevance" else n.back * (n.value - n.start) for n in nodes])


CELLS = {
    "simple": lambda: layers.SimpleRNN(5), "lstm": lambda: layers.LSTM(5), "gru": lambda: layers.GRU(5),
    "gru_before": lambda: layers.GRU(5, reset_after=False), "lstm_softsign": lambda: layers.LSTM(5, "softsign"),
    "gru_bare": lambda: layers.GRU(5, use_bias=False), "lstm_bare": lambda: layers.LSTM(5, use_bias=False),
    "lstm_backwards": lambda: layers.LSTM(5, go_backwards=True, unroll=True), "by_cell": lambda: layers.RNN(layers.GRUCell(5)),
}  # fmt: skip


def filled(net, seed=0):
    draw = np.random.default_rng(seed)
    for v in net.weights:
        v.assign(draw.normal(0, 0.6, v.shape))
    return net


METHODS = {"relevance": pl.LayerRelevance(pl.Epsilon()), "differences": pl.DeepLift(baseline=0.3)}


@pytest.mark.parametrize("how", METHODS)
@pytest.mark.parametrize("kind", CELLS)
def test_a_recurrent_layer_step_by_step(kind, how):
    layer, dense = CELLS[kind](), layers.Dense(3)
    net = filled(keras.Sequential([keras.Input((4, 3)), layer, dense]))
    x = np.random.default_rng(1).normal(size=(3, 4, 3))
    e = pl.explain(net, x, METHODS[how], target=1)
    expected = np.array([
        answer(layer.cell, dense, row, np.full_like(row, 0.3), 1, how, backwards=layer.go_backwards) for row in x
    ])  # fmt: skip
    np.testing.assert_allclose(e.values, expected, atol=2e-4 * np.abs(expected).max())
    if how == "differences":
        assert e.gap.max() < 2e-5


@pytest.mark.parametrize("how", METHODS)
@pytest.mark.parametrize("kind", ["simple", "lstm", "gru"])
def test_masked_steps_are_left_out_of_both(kind, how):
    layer, dense = CELLS[kind](), layers.Dense(2)
    net = filled(keras.Sequential([keras.Input((5, 3)), layers.Masking(0.0), layer, dense]))
    x = np.random.default_rng(2).normal(size=(4, 5, 3))
    x[1, 3:] = x[2, :2] = x[3, 1] = 0
    method = METHODS[how] if how == "relevance" else pl.DeepLift()  # a baseline that would be masked itself
    e = pl.explain(net, x, method, target=0)
    expected = np.array([answer(layer.cell, dense, row, 0 * row, 0, how, mask=(row != 0).any(1)) for row in x])
    np.testing.assert_allclose(e.values, expected, atol=2e-4 * np.abs(expected).max())
    if how == "differences":
        assert e.gap.max() < 2e-5


@pytest.mark.parametrize("how", METHODS)
def test_padded_tokens_get_nothing(how):
    net = filled(keras.Sequential([
        keras.Input((6,), dtype="int32"), layers.Embedding(9, 4, mask_zero=True), layers.LSTM(5), layers.Dense(2)
    ]))  # fmt: skip
    method = METHODS[how] if how == "relevance" else pl.DeepLift()
    x = np.array([[3, 1, 4, 1, 0, 0], [2, 7, 0, 0, 0, 0]])
    e = pl.explain(net, x, method, target=1)
    assert (e.values[x == 0] == 0).all()
    assert np.abs(e.values[x > 0]).min() > 0
    if how == "differences":
        assert e.gap.max() < 2e-5


def stacked():
    x = inputs = keras.Input((7, 3))
    x = layers.Bidirectional(layers.LSTM(4, return_sequences=True))(x)
    x = layers.Bidirectional(layers.GRU(3, return_sequences=True), merge_mode="ave")(x)
    x = layers.TimeDistributed(layers.Dense(5, "relu"))(x)
    x = layers.RNN(layers.StackedRNNCells([layers.LSTMCell(4), layers.GRUCell(3)]), return_sequences=True)(x)
    sequence, h, c = layers.LSTM(4, return_sequences=True, return_state=True)(x)
    x = layers.LSTM(4)(sequence, initial_state=[h, c])
    x = layers.Concatenate()([x, layers.GlobalMaxPooling1D()(sequence), layers.SimpleRNN(3, "relu")(sequence)])
    return filled(keras.Model(inputs, layers.Dense(3)(x)))


@pytest.mark.parametrize("rule", ["rescale", "reveal_cancel"])
def test_differences_add_up_through_stacks_directions_and_states(rule):
    draw = np.random.default_rng(3)
    x, start = draw.normal(size=(4, 7, 3)), draw.normal(size=(7, 3))
    e = pl.explain(stacked(), x, pl.DeepLift(rule, baseline=start), target=pl.Margin(0, 2))
    assert e.gap.max() < 1e-4 * np.abs(e.output - e.baseline_output).max()


def test_both_directions_are_the_two_layers_they_are_made_of():
    one, two, dense = layers.LSTM(4), layers.LSTM(4, go_backwards=True), layers.Dense(2)
    inputs = keras.Input((6, 3))
    apart_net = filled(keras.Model(inputs, dense(layers.Concatenate()([one(inputs), two(inputs)]))))
    both = layers.Bidirectional(layers.LSTM(4))
    net = keras.Sequential([keras.Input((6, 3)), both, layers.Dense(2)])
    net.set_weights([*one.get_weights(), *two.get_weights(), *dense.get_weights()])
    x = np.random.default_rng(4).normal(size=(3, 6, 3))
    for method in (pl.LayerRelevance(pl.Gamma()), *METHODS.values()):
        a, b = pl.explain(net, x, method, target=0), pl.explain(apart_net, x, method, target=0)
        np.testing.assert_allclose(a.values, b.values, rtol=1e-3, atol=1e-5 * np.abs(b.values).max())


@pytest.mark.parametrize("kind", ["lstm_bare", "gru_bare"])
@pytest.mark.parametrize("rule", [pl.Epsilon(1e-9), pl.Gamma(stabilizer=1e-9)], ids=repr)
def test_without_biases_the_sum_is_kept_through_time(kind, rule):
    net = filled(keras.Sequential([keras.Input((5, 3)), CELLS[kind](), layers.Dense(2, use_bias=False)]))
    e = pl.explain(net, np.random.default_rng(5).normal(size=(6, 5, 3)), pl.LayerRelevance(rule), target=0)
    np.testing.assert_allclose(e.values.sum((1, 2)), e.output, rtol=5e-3)


def test_a_rule_is_given_by_the_name_of_the_recurrent_layer():
    net = filled(keras.Sequential([keras.Input((4, 3)), layers.LSTM(5, name="memory"), layers.Dense(2)]))
    x = np.random.default_rng(6).normal(size=(3, 4, 3))
    named = pl.Composite(dense=pl.Epsilon(), named={"memory": pl.Gamma()})
    turned = pl.Composite(dense=pl.Gamma(), named={net.layers[-1].name: pl.Epsilon()})
    e, other = (pl.explain(net, x, pl.LayerRelevance(rules), target=0) for rules in (named, turned))
    np.testing.assert_allclose(e.values, other.values, rtol=1e-5)
    assert np.abs(e.values - pl.explain(net, x, pl.LayerRelevance(pl.Epsilon()), target=0).values).max() > 1e-4


def test_the_layer_is_left_as_it_was():
    layer = layers.Bidirectional(layers.LSTM(4))
    net = filled(keras.Sequential([keras.Input((4, 3)), layer, layers.Dense(2)]))
    x = np.random.default_rng(7).normal(size=(3, 4, 3))
    scores = pl.wrap(net).scores(x)
    for method in METHODS.values():
        pl.explain(net, x, method)
    changed = {"call", "inner_loop", "_can_attempt_fused_lstm", "_can_attempt_fused_gru"}
    assert not any(changed & set(vars(part)) for part in (layer, layer.forward_layer, layer.forward_layer.cell))
    np.testing.assert_array_equal(pl.wrap(net).scores(x), scores)


class Odd(layers.Layer):
    """A cell that nothing is known about."""

    state_size = output_size = 3

    def __init__(self):
        super().__init__(name="odd")
        self.inner = layers.Dense(3)

    def build(self, shape):
        self.inner.build(shape)
        super().build(shape)

    def call(self, x, states, training=False):
        h = self.inner(x) * states[0]
        return h, [h]


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: layers.RNN(Odd(), name="memory"), "layer 'memory' (RNN), whose cell is a Odd"),
        (lambda: layers.Bidirectional(layers.LSTM(3), merge_mode="mul", name="memory"), "which multiplies its two"),
    ],
)
def test_what_is_more_than_its_cell_is_refused(make, told, method):
    net = keras.Sequential([keras.Input((4, 3)), make(), layers.Dense(2)])
    with pytest.raises(UnsupportedLayer, match=re.escape(told)):
        pl.explain(net, np.ones((2, 4, 3)), method)


def test_gates_may_mix():
    gates = layers.LSTM(3, recurrent_activation="softmax", use_bias=False)
    net = filled(keras.Sequential([keras.Input((4, 3)), gates, layers.Dense(2, use_bias=False)]))
    x = np.random.default_rng(9).normal(size=(2, 4, 3))
    assert pl.explain(net, x, pl.DeepLift(), target=0).gap.max() < 1e-6
    e = pl.explain(net, x, pl.LayerRelevance(pl.Epsilon(1e-9)), target=0)
    np.testing.assert_allclose(e.values.sum((1, 2)), e.output, rtol=1e-3)


def test_a_stateful_layer_is_refused():
    net = keras.Sequential([keras.Input(batch_shape=(1, 4, 3)), layers.LSTM(3, stateful=True), layers.Dense(2)])
    with pytest.raises(UnsupportedLayer, match="keeps its state"):
        make_plan(pl.wrap(net), pl.Composite(), [])


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="torch modules need Keras on torch")
@pytest.mark.parametrize("how", METHODS)
@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_a_torch_module_gets_what_its_keras_twin_gets(kind, how):
    import torch

    class Net(torch.nn.Module):
        """Two levels, both directions."""

        def __init__(self):
            super().__init__()
            self.memory = getattr(torch.nn, kind)(3, 4, num_layers=2, bidirectional=True, batch_first=True)
            self.last = torch.nn.Linear(8, 2)

        def forward(self, x):
            return self.last(self.memory(x)[0][:, 2])

    module = Net().eval()
    make = {"LSTM": layers.LSTM, "GRU": layers.GRU, "RNN": layers.SimpleRNN}[kind]
    inputs = keras.Input((5, 3))
    both = [layers.Bidirectional(make(4, return_sequences=True)) for _ in range(2)]
    last = layers.Dense(2)
    twin = keras.Model(inputs, last(both[1](both[0](inputs))[:, 2]))
    order = {"LSTM": [0, 1, 2, 3], "GRU": [1, 0, 2], "RNN": [0]}[kind]
    moved = []
    for level in range(2):
        for way in ("", "_reverse"):
            held = [
                getattr(module.memory, f"{p}_l{level}{way}") for p in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            ]
            apart_by_gate = [w.detach().numpy().reshape(len(order), 4, -1)[order] for w in held]
            ih, hh, bi, bh = (w.reshape(4 * len(order), -1) for w in apart_by_gate)
            bias = np.stack([bi[:, 0], bh[:, 0]]) if kind == "GRU" else bi[:, 0] + bh[:, 0]
            moved += [ih.T, hh.T, bias]
    twin.set_weights([*moved, module.last.weight.detach().numpy().T, module.last.bias.detach().numpy()])
    x = np.random.default_rng(8).normal(size=(4, 5, 3)).astype(np.float32)
    e, t = (pl.explain(pl.wrap(m, "logits"), x, METHODS[how], target=1) for m in (twin, module))
    np.testing.assert_allclose(t.output, e.output, rtol=1e-4)
    np.testing.assert_allclose(t.values, e.values, atol=1e-4 * np.abs(e.values).max())


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="torch modules need Keras on torch")
@pytest.mark.parametrize("how", METHODS)
@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_cells_of_torch_in_a_loop_of_its_own_are_the_layer(kind, how):
    import torch

    class Cells(torch.nn.Module):
        """A loop, with a state of zeros to begin with."""

        def __init__(self, layer, last):
            super().__init__()
            self.cell, self.last = getattr(torch.nn, f"{kind}Cell")(3, 4), last
            self.cell.load_state_dict({name.removesuffix("_l0"): w for name, w in layer.state_dict().items()})

        def forward(self, x):
            state = None
            for t in range(x.shape[1]):
                state = self.cell(x[:, t], state)
            return self.last(state[0] if kind == "LSTM" else state)

    class Whole(torch.nn.Module):
        """The layer that has the same weights."""

        def __init__(self):
            super().__init__()
            self.layer = getattr(torch.nn, kind)(3, 4, batch_first=True)
            self.last = torch.nn.Linear(4, 2)

        def forward(self, x):
            return self.last(self.layer(x)[0][:, -1])

    torch.manual_seed(1)
    whole = Whole()
    x = np.random.default_rng(8).normal(size=(4, 5, 3)).astype(np.float32)
    nets = Cells(whole.layer, whole.last), whole
    c, w = (pl.explain(pl.wrap(net, "logits"), x, METHODS[how], target=1) for net in nets)
    np.testing.assert_allclose(c.output, w.output, rtol=1e-4)
    np.testing.assert_allclose(c.values, w.values, atol=1e-5 * np.abs(w.values).max())
