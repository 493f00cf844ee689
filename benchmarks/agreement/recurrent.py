"""Relevance through recurrent layers, written out step by step: signals take all of it, gates none.

Arras, Arjona-Medina, Widrich, Montavon, Gillhofer, Müller, Hochreiter and Samek 2019, "Explaining and interpreting LSTMs",
doi:10.1007/978-3-030-28954-6_11.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

Shared = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
"""Relevance at inputs (B, N), by a matrix, biases and the relevance of what they give."""


def _gates(layer: Any, count: int) -> list[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """Kernels of inputs (F, U) and state (U, U) and their two biases, gate by gate."""
    names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
    parts = [getattr(layer, name).detach().chunk(count) for name in names]
    return [(w.T, u.T, b, c) for w, u, b, c in zip(*parts, strict=True)]


def lstm(layer: nn.LSTM, x: Tensor, relevance: Tensor, shared: Shared) -> Tensor:
    """Relevance at x (B, T, F), of that of the last output (B, U)."""
    gates = _gates(layer, 4)
    h = c = torch.zeros(len(x), layer.hidden_size, dtype=x.dtype)
    held = []
    for t in range(x.shape[1]):
        enter, keep, signal, leave = (x[:, t] @ w + b + h @ u + d for w, u, b, d in gates)
        old, new = keep.sigmoid() * c, enter.sigmoid() * signal.tanh()
        held.append((torch.cat([x[:, t], h], 1), old, new))
        c = old + new
        h = leave.sigmoid() * c.tanh()
    kernel, bias = torch.cat(gates[2][:2]), gates[2][2] + gates[2][3]
    at_cell, at_state, found = torch.zeros_like(c), relevance, []
    for both, old, new in reversed(held):
        share = (at_cell + at_state) / (old + new)
        at_cell = share * old
        at_inputs, at_state = shared(both, kernel, bias, share * new).split([x.shape[2], layer.hidden_size], 1)
        found.append(at_inputs)
    return torch.stack(found[::-1], 1)


def gru(layer: nn.GRU, x: Tensor, relevance: Tensor, shared: Shared) -> Tensor:
    """The same, through a GRU whose reset gate comes after the state's kernel."""
    gates = _gates(layer, 3)
    (w, u, b, d), h, held = gates[2], torch.zeros(len(x), layer.hidden_size, dtype=x.dtype), []
    one = torch.ones(len(x), 1, dtype=x.dtype)  # what the state's own bias is the weight of
    for t in range(x.shape[1]):
        reset, keep = ((x[:, t] @ w + b + h @ u + d).sigmoid() for w, u, b, d in gates[:2])
        signal = (x[:, t] @ w + b + reset * (h @ u + d)).tanh()
        held.append((torch.cat([x[:, t], h, one], 1), reset, keep * h, (1 - keep) * signal))
        h = keep * h + (1 - keep) * signal
    at_state, found = relevance, []
    for both, reset, old, new in reversed(held):
        share = at_state / (old + new)
        kernel = torch.cat([w.expand(len(x), -1, -1), torch.cat([u, d[None]]) * reset[:, None]], 1)
        at_inputs, before, _ = shared(both, kernel, b, share * new).split([x.shape[2], layer.hidden_size, 1], 1)
        at_state = share * old + before
        found.append(at_inputs)
    return torch.stack(found[::-1], 1)
