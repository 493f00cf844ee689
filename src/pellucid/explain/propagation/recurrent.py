"""Recurrent cells, written once for every method: what is a signal in them, what is a gate, and how the two meet.

Keras runs its own loop over time, so that masks, states and directions are
its own; only what a cell does in one step is replaced. Layers of torch have no cell that could be replaced: their loop is
written out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any

from pellucid.core import layers
from pellucid.explain.propagation.arithmetic import Arithmetic, Function, Run
from pellucid.explain.propagation.linear import Change
from pellucid.explain.propagation.patches import patched
from pellucid.shapes import Tensor

States = Sequence[Tensor]


@dataclass(frozen=True)
class Weights:
    """Weights and activations of a cell, gate by gate.

    Attributes:
        into: Kernels (F, U) of the inputs.
        back: Kernels (U, U) of the state.
        bias: Biases (U,).
        inner: Biases (U,) of what comes from the state, where that is gated on its own; else None.
        activation: The signals' activation.
        opening: The gates' activation.
    """

    into: Sequence[Tensor]
    back: Sequence[Tensor]
    bias: Sequence[Tensor]
    inner: Sequence[Tensor] | None
    activation: Function
    opening: Function

    def run(self, k: int) -> Run:
        """The linear part of gate k, of inputs and state joined (B, F + U)."""
        from keras import ops

        kernel = ops.concatenate([self.into[k], self.back[k]], axis=0)
        bias = self.bias[k] if self.inner is None else self.bias[k] + self.inner[k]
        return lambda both, for_kernel, for_bias: ops.matmul(both, for_kernel(kernel)) + for_bias(bias)

    def opened(self, do: Arithmetic, k: int, both: Tensor) -> Tensor:
        """Gate k."""
        return do.gate(self.run(k)(both, lambda w: w, lambda b: b), self.opening)


def simple(w: Weights, do: Arithmetic, x: Tensor, states: States) -> list[Tensor]:
    """One step of a plain recurrent cell."""
    return [do.activated(do.linear(w.run(0), _joined(x, states[0])), w.activation)]


def lstm(w: Weights, do: Arithmetic, x: Tensor, states: States) -> list[Tensor]:
    """One step of an LSTM; gates in the order input, forget, signal, output."""
    h, c = states
    both = _joined(x, h)
    let_in, keep, let_out = (w.opened(do, k, both) for k in (0, 1, 3))
    signal = do.activated(do.linear(w.run(2), both), w.activation)
    c = do.gated(keep, c) + do.gated(let_in, signal)
    return [do.gated(let_out, do.activated(c, w.activation)), c]


def gru(w: Weights, do: Arithmetic, x: Tensor, states: States) -> list[Tensor]:
    """One step of a GRU; gates in the order update, reset, signal."""
    (h,) = states
    both = _joined(x, h)
    keep, reset = (w.opened(do, k, both) for k in (0, 1))
    if w.inner is None:
        z = do.linear(w.run(2), _joined(x, do.gated(reset, h)))
    else:
        z = do.linear(_reset_after(w, w.inner[2], partial(do.gated, reset)), both)
    signal = do.activated(z, w.activation)
    return [do.gated(keep, h) + do.gated(1 - keep, signal)]


def _reset_after(w: Weights, inner: Tensor, gated: Function) -> Run:
    """The linear part of a GRU's signal where the reset gate comes after the state's kernel."""
    from keras import ops

    size = w.into[2].shape[0]

    def run(both: Tensor, for_kernel: Change, for_bias: Change) -> Tensor:
        from_state = ops.matmul(both[:, size:], for_kernel(w.back[2])) + for_bias(inner)
        return ops.matmul(both[:, :size], for_kernel(w.into[2])) + for_bias(w.bias[2]) + gated(from_state)

    return run


def _joined(x: Tensor, h: Tensor) -> Tensor:
    from keras import ops

    return ops.concatenate([x, ops.cast(h, x.dtype)], axis=-1)


STEPS = {"LSTMCell": lstm, "GRUCell": gru, "SimpleRNNCell": simple}
"""What cells do in one step."""


def cells(layer: Any) -> list[Any]:
    """The cells of a recurrent layer of Keras."""
    cell = getattr(layer, "cell", None) if hasattr(layer, "call") else None
    return list(getattr(cell, "cells", [] if cell is None else [cell]))


def in_step(cell: Any, do: Arithmetic) -> layers.Call:
    """The call of a cell by a method's arithmetic."""
    from keras import tree

    if not hasattr(cell, "call"):
        return _in_step_of_torch(cell, do)

    kind = next(base.__name__ for base in type(cell).__mro__ if base.__name__ in STEPS)
    step, weights = STEPS[kind], _of_cell(cell)

    def call(x: Tensor, states: Any, *rest: Any, **options: Any) -> tuple[Tensor, Any]:
        after = step(weights, do, x, states if tree.is_nested(states) else [states])
        return after[0], after if tree.is_nested(states) else after[0]

    return call


def _in_step_of_torch(cell: Any, do: Arithmetic) -> layers.Call:
    """The same for a cell of torch, whose state is zero where none is given."""
    kind = next(k for k in ("LSTM", "GRU", "RNN") if any(base.__name__ == f"{k}Cell" for base in type(cell).__mro__))
    mode = f"RNN_{cell.nonlinearity.upper()}" if kind == "RNN" else kind
    step, weights = _of_module(cell, mode, "")

    def call(x: Tensor, states: Any = None) -> Any:
        from keras import ops

        single = len(x.shape) == 1
        x = x[None] if single else x
        if states is None:
            states = [ops.zeros((x.shape[0], cell.hidden_size), x.dtype)] * (2 if kind == "LSTM" else 1)
        states = list(states) if isinstance(states, list | tuple) else [states]
        after = step(weights, do, x, [s[None] if len(s.shape) == 1 else s for s in states])
        after = [s[0] for s in after] if single else after
        return tuple(after) if kind == "LSTM" else after[0]

    return call


def _of_cell(cell: Any) -> Weights:
    from keras import activations, ops

    units = cell.units
    read = lambda w: ops.cast(ops.convert_to_tensor(w), cell.compute_dtype)  # noqa: E731
    kernel, back = read(cell.kernel), read(cell.recurrent_kernel)
    parts = kernel.shape[1] // units
    apart = lambda w: [w[..., k * units : (k + 1) * units] for k in range(parts)]  # noqa: E731
    bias = ops.zeros((parts * units,), cell.compute_dtype) if cell.bias is None else read(cell.bias)
    after = bool(getattr(cell, "reset_after", False))
    bias = ops.stack([bias, bias * 0]) if after and len(bias.shape) == 1 else bias
    return Weights(
        apart(kernel), apart(back), apart(bias[0] if after else bias), apart(bias[1]) if after else None,
        cell.activation or activations.linear, getattr(cell, "recurrent_activation", activations.linear),
    )  # fmt: skip


def stepwise(layer: Any) -> AbstractContextManager[None]:
    """A recurrent layer of Keras goes step by step through its cell until the block ends, not at once in one kernel."""
    from keras.layers import RNN

    fused = dict.fromkeys(("_can_attempt_fused_lstm", "_can_attempt_fused_gru"), lambda *_: False)
    return patched(layer, {"inner_loop": partial(RNN.inner_loop, layer), **fused})


def in_loop(module: Any, do: Arithmetic) -> layers.Call:
    """The call of a recurrent module of torch by a method's arithmetic."""

    def call(x: Tensor, start: Any = None) -> tuple[Tensor, Any]:
        from keras import ops

        is_lstm = module.mode == "LSTM"
        x = x if module.batch_first else ops.swapaxes(x, 0, 1)
        ways = 2 if module.bidirectional else 1
        none = ops.zeros((module.num_layers * ways, ops.shape(x)[0], module.hidden_size), x.dtype)
        given = [none] * (1 + is_lstm) if start is None else list(start) if is_lstm else [start]
        ends: list[list[Tensor]] = []
        for level in range(module.num_layers):
            found = []
            for way in range(ways):
                place = level * ways + way
                out, end = _through(module, do, x, [s[place] for s in given], f"l{level}{'_reverse' * way}")
                found.append(out)
                ends.append(end)
            x = ops.concatenate(found, axis=-1)
        last = [ops.stack(s) for s in zip(*ends, strict=True)]
        return x if module.batch_first else ops.swapaxes(x, 0, 1), tuple(last) if is_lstm else last[0]

    return call


def _through(module: Any, do: Arithmetic, x: Tensor, states: States, name: str) -> tuple[Tensor, list[Tensor]]:
    """One layer and direction of a torch module over (B, T, F): outputs (B, T, U) and the states at the end."""
    from keras import ops

    step, weights = _of_module(module, module.mode, f"_{name}")
    times = range(x.shape[1])
    outputs: list[Tensor] = []
    for t in reversed(times) if name.endswith("reverse") else times:
        states = step(weights, do, x[:, t], states)
        outputs.append(states[0])
    return ops.stack(outputs[::-1] if name.endswith("reverse") else outputs, axis=1), list(states)


def _of_module(module: Any, mode: str, end: str) -> tuple[Callable[..., list[Tensor]], Weights]:
    """Step and weights of a recurrent module of torch; `end` is what the names of its weights end in."""
    from keras import ops

    size = module.hidden_size
    step, order = {"LSTM": (lstm, (0, 1, 2, 3)), "GRU": (gru, (1, 0, 2))}.get(mode, (simple, (0,)))
    apart = lambda w: [w[k * size : (k + 1) * size] for k in order]  # noqa: E731
    into, back = ([ops.transpose(w) for w in apart(getattr(module, f"weight_{s}{end}"))] for s in ("ih", "hh"))
    none = [ops.zeros((size,), into[0].dtype)] * len(order)
    bias, inner = (apart(getattr(module, f"bias_{s}{end}")) if module.bias else none for s in ("ih", "hh"))
    if mode != "GRU":
        bias, inner = [a + b for a, b in zip(bias, inner, strict=True)], None
    activation = ops.relu if mode == "RNN_RELU" else ops.tanh
    return step, Weights(into, back, bias, inner, activation, ops.sigmoid)
