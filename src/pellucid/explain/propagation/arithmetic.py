"""What a method does inside layers that are more than one step: recurrent cells, attention."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from pellucid.explain.propagation.linear import Change
from pellucid.shapes import Tensor

Run = Callable[[Tensor, Change, Change], Tensor]
"""A linear function of a tensor, with its kernel and its bias changed."""

Function = Callable[[Tensor], Tensor]
Product = Callable[[Tensor, Tensor], Tensor]


class Arithmetic(Protocol):
    """Each method's own way with the operations that a layer is made of."""

    def linear(self, run: Run, given: Tensor) -> Tensor:
        """A linear function of what is given."""
        ...

    def activated(self, z: Tensor, function: Function) -> Tensor:
        """A function of each entry."""
        ...

    def gate(self, z: Tensor, function: Function) -> Tensor:
        """How far a gate is open."""
        ...

    def gated(self, gate: Tensor, signal: Tensor) -> Tensor:
        """A signal behind a gate."""
        ...

    def product(self, product: Product, a: Tensor, b: Tensor) -> Tensor:
        """A product of two signals."""
        ...

    def softmax(self, scores: Tensor) -> Tensor:
        """A softmax over the last axis."""
        ...
