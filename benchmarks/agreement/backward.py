"""What comes back to the inputs of a torch module, module by module, written from the published formulas in float64.

Every linear module is written out as the matrix that it is, a convolution and the batch normalization after it as one.
Slow, and of the modules of `twins.py` only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.agreement import recurrent
from benchmarks.agreement.samples import BOUND
from benchmarks.agreement.twins import Attention, Both, ChannelsFirst, Gate, Last, Mean, Residual

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
AVERAGES = (nn.AvgPool2d, nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, Mean)
MAXIMA = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)
ACTIVATIONS = (nn.ReLU, nn.Tanh, nn.Sigmoid, nn.Softplus, nn.ELU)


class Undefined(Exception):
    """A module that no formula here is about."""


class Folded(nn.Sequential):
    """A convolution and its batch normalization."""


class Way:
    """How something goes back through each kind of module: here, as gradients do."""

    readers = 2
    """How many inputs of a model are inputs to it."""

    def linear(self, module: nn.Module, x: Tensor, g: Tensor, *, reads: bool) -> Tensor:
        """Through a linear module at x; `reads`: whether x is an input of the model."""
        return pulled(module, x, g)

    def activation(self, module: nn.Module, x: Tensor, g: Tensor) -> Tensor:
        """Through an activation at x."""
        return pulled(module, x, g)

    def maximum(self, module: nn.Module, x: Tensor, g: Tensor) -> Tensor:
        """Through a maximum over windows of x."""
        return pulled(module, x, g)

    def normalization(self, module: nn.LayerNorm, x: Tensor, g: Tensor) -> Tensor:
        """Through a layer normalization at x."""
        return pulled(module, x, g)

    def other(self, module: nn.Module, x: Tensor, g: Tensor) -> Tensor:
        """Through what holds neither weights that a rule is about nor rectifiers."""
        return pulled(module, x, g)

    def added(self, parts: Sequence[Tensor], g: Tensor) -> Sequence[Tensor]:
        """To what was added up."""
        return [g for _ in parts]

    def multiplied(self, parts: Sequence[Tensor], g: Tensor) -> Sequence[Tensor]:
        """To the two factors of a product."""
        return [g * parts[1], g * parts[0]]


def pulled(function: Callable[[Tensor], Tensor], x: Tensor, g: Tensor) -> Tensor:
    """The gradient of `function(x) . g`."""
    leaf = x.detach().requires_grad_()
    return torch.autograd.grad(function(leaf), leaf, g)[0]


def back(module: nn.Module, x: Tensor, g: Tensor, way: Way, *, reads: bool = True) -> Tensor:
    """What comes back to x of what has come to the module's output."""
    if isinstance(module, nn.Sequential) and not isinstance(module, Folded):
        return _through(list(_folded(module)), x, g, way, reads)
    if isinstance(module, ChannelsFirst):
        inner = x.movedim(-1, 1)
        shape = module.body(inner).movedim(1, -1).shape
        return back(module.body, inner, g.reshape(-1, *shape[1:]).movedim(-1, 1), way, reads=reads).movedim(1, -1)
    if isinstance(module, Residual):
        skipped, worked = way.added((x, module.body(x)), g)
        return skipped + back(module.body, x, worked, way, reads=reads)
    if isinstance(module, Gate):
        sides = way.multiplied((module.left(x), module.right(x)), g)
        return sum(back(m, x, s, way, reads=reads) for m, s in zip((module.left, module.right), sides, strict=True))
    if isinstance(module, (Folded, nn.Linear, *CONVOLUTIONS, *AVERAGES)):
        return way.linear(module, x, g, reads=reads)
    for kinds, how in ((ACTIVATIONS, way.activation), (MAXIMA, way.maximum), (nn.LayerNorm, way.normalization)):
        if isinstance(module, kinds):
            return how(module, x, g)
    return way.other(module, x, g)


def _through(modules: Sequence[nn.Module], x: Tensor, g: Tensor, way: Way, reads: bool) -> Tensor:
    held = [x]
    for module in modules[:-1]:
        held.append(module(held[-1]).detach())
    for place in reversed(range(len(modules))):
        g = back(modules[place], held[place], g, way, reads=reads and place == 0)
    return g


def _folded(modules: nn.Sequential) -> Iterator[nn.Module]:
    inside = list(modules)
    for module, after in zip(inside, [*inside[1:], None], strict=True):
        if isinstance(module, nn.BatchNorm2d):
            continue
        yield Folded(module, after) if isinstance(after, nn.BatchNorm2d) else module


def to_inputs(net: nn.Module, x: Sequence[Tensor], g: Tensor, way: Way) -> list[Tensor]:
    """What comes back to every input of a model."""
    if not isinstance(net, Both):
        return [back(net, x[0], g, way)]
    sides = [net.left(x[0]), net.right(x[1])]
    arrived = back(net.rest, torch.cat(sides, 1), g, way, reads=False).split([s.shape[1] for s in sides], 1)
    branches = zip((net.left, net.right), x, arrived, strict=True)
    return [back(m, a, h, way, reads=i < way.readers) for i, (m, a, h) in enumerate(branches)]


Shares = list[tuple[float, Tensor, Tensor]]
"""Parts of the relevance, the numerators (B, N, M) that each is shared out by, and what biases add to their sums."""

Rule = Callable[[Tensor, Tensor, Tensor], Shares]
"""Shares of inputs x (B, N), a matrix w (N, M) and biases b (M,)."""


def above(a: Tensor) -> Tensor:
    """The part above zero."""
    return a.clamp(min=0)


def below(a: Tensor) -> Tensor:
    """The part below zero."""
    return a.clamp(max=0)


def _each(x: Tensor, w: Tensor) -> Tensor:
    return x[:, :, None] * w


def epsilon(x: Tensor, w: Tensor, b: Tensor) -> Shares:
    """x_i w_ij."""
    return [(1.0, _each(x, w), b)]


def alpha_beta(alpha: float, beta: float) -> Rule:
    """What speaks for an output alpha times, what speaks against it minus beta times."""

    def rule(x: Tensor, w: Tensor, b: Tensor) -> Shares:
        each = _each(x, w)
        return [(alpha, above(each), above(b)), (-beta, below(each), below(b))]

    return rule


def gamma(x: Tensor, w: Tensor, b: Tensor) -> Shares:
    """Contributions of the sign of the output count a quarter more."""
    each = _each(x, w)
    z = each.sum(1) + b
    more = lambda a: torch.where(z[:, None] >= 0, a + 0.25 * above(a), a + 0.25 * below(a))  # noqa: E731
    return [(1.0, more(each), more((b + 0 * z)[:, None])[:, 0])]


def gamma_of_positive(x: Tensor, w: Tensor, b: Tensor) -> Shares:
    """The original rule for inputs above zero: positive weights count a quarter more."""
    return [(1.0, _each(x, w + 0.25 * above(w)), b)]


def z_plus_of_positive(x: Tensor, w: Tensor, b: Tensor) -> Shares:
    """The original rule for inputs above zero: positive weights alone."""
    return [(1.0, _each(x, above(w)), b)]


def excitation(x: Tensor, w: Tensor, b: Tensor) -> Shares:
    """x_i+ w_ij+."""
    return [(1.0, _each(above(x), above(w)), 0 * b)]


def excitation_of_both(x: Tensor, w: Tensor, b: Tensor) -> Shares:
    """The same, and x_i- w_ij-."""
    return [(1.0, above(_each(x, w)), 0 * b)]


def flat(x: Tensor, w: Tensor, b: Tensor) -> Shares:
    """One for every connection."""
    return [(1.0, (w != 0).to(x).expand(len(x), -1, -1), 0 * b)]


def w_square(x: Tensor, w: Tensor, b: Tensor) -> Shares:
    """w_ij squared."""
    return [(1.0, (w**2).expand(len(x), -1, -1), 0 * b)]


def w_square_with_biases(x: Tensor, w: Tensor, b: Tensor) -> Shares:
    """The same, with biases squared as well."""
    return [(1.0, (w**2).expand(len(x), -1, -1), b**2)]


def z_box(x: Tensor, w: Tensor, b: Tensor) -> Shares:
    """x_i w_ij - low w_ij+ - high w_ij-."""
    return [(1.0, _each(x, w) + BOUND * above(w) - BOUND * below(w), 0 * b)]


@dataclass
class Relevance(Way):
    """Layer-wise relevance propagation: a rule for dense layers, one for convolutions, one for what reads the input."""

    dense: Rule = epsilon
    convolution: Rule = epsilon
    first: Rule | None = None
    stabilizer: float = 1e-6

    def linear(self, module: nn.Module, x: Tensor, g: Tensor, *, reads: bool) -> Tensor:
        """See `Way.linear`."""
        rule = self.convolution if isinstance(module, (Folded, *CONVOLUTIONS)) else self.dense
        if isinstance(module, AVERAGES):
            rule = epsilon
        elif reads and self.first is not None:
            rule = self.first
        if isinstance(module, nn.Linear) and x.ndim > 2:
            return self.linear(module, x.flatten(0, -2), g.flatten(0, -2), reads=reads).reshape(x.shape)
        return self._shared(rule(x.flatten(1), *matrix(module, x.shape[1:])), g.flatten(1)).reshape(x.shape)

    def _shared(self, shares: Shares, g: Tensor) -> Tensor:
        found: Any = 0.0
        for part, each, bias in shares:
            total = each.sum(1) + bias
            total = total + torch.where(total >= 0, self.stabilizer, -self.stabilizer)
            found = found + part * torch.einsum("bnm,bm->bn", each, g / total)
        return found

    def activation(self, module: nn.Module, x: Tensor, g: Tensor) -> Tensor:
        """It stays where it is."""
        return g

    def maximum(self, module: nn.Module, x: Tensor, g: Tensor) -> Tensor:
        """All of it to the largest."""
        return pulled(module, x, g)

    def normalization(self, module: nn.LayerNorm, x: Tensor, g: Tensor) -> Tensor:
        """By the linear map that it is while the spread is held still, without the shift (Ali et al. 2022)."""
        if x.ndim > 2:
            return self.normalization(module, x.flatten(0, -2), g.flatten(0, -2)).reshape(x.shape)
        count = x.shape[-1]
        spread = torch.sqrt(x.var(-1, unbiased=False) + module.eps)
        w = (torch.eye(count).to(x) - 1 / count) * module.weight / spread[:, None, None]
        return self._shared([(1.0, x[:, :, None] * w, torch.zeros(count).to(x))], g)

    def other(self, module: nn.Module, x: Tensor, g: Tensor) -> Tensor:
        """Recurrent layers; attention by AttnLRP (Achtibat et al. 2024), products in halves, a softmax by first order."""
        if isinstance(module, Last):
            through = recurrent.lstm if isinstance(module.layer, nn.LSTM) else recurrent.gru
            return through(module.layer, x, g, lambda both, w, b, r: self._shared(self.dense(both, w, b), r))
        if not isinstance(module, Attention):
            raise Undefined(f"relevance has no formula for {type(module).__name__}")
        query, key, value = (p.detach() for p in module.projected(x))
        size = query.shape[-1] ** 0.5
        scores = query @ key.transpose(-1, -2) / size
        weights = scores.softmax(-1)
        mixed = module.heads_joined(weights @ value)
        arrived = self.linear(module.out, mixed, g, reads=False)
        share = module.split(arrived / mixed) / 2
        at_value, at_weights = value * (weights.transpose(-1, -2) @ share), weights * (share @ value.transpose(-1, -2))
        at_scores = scores * (at_weights - weights * at_weights.sum(-1, keepdim=True))
        share = at_scores / scores / size / 2
        sides = (query * (share @ key), key * (share.transpose(-1, -2) @ query), at_value)
        layers = (module.query, module.key, module.value)
        return sum(self.linear(m, x, module.heads_joined(s), reads=False) for m, s in zip(layers, sides, strict=True))

    def added(self, parts: Sequence[Tensor], g: Tensor) -> Sequence[Tensor]:
        """In proportion."""
        total = sum(parts)
        return [torch.where(total == 0, 0.0, g * p / torch.where(total == 0, 1.0, total)) for p in parts]

    def multiplied(self, parts: Sequence[Tensor], g: Tensor) -> Sequence[Tensor]:
        """In halves."""
        return [g / 2, g / 2]


def matrix(module: nn.Module, shape: Sequence[int]) -> tuple[Tensor, Tensor]:
    """The matrix (N, M) and the biases (M,) of a linear module, for inputs of a shape."""
    count = int(torch.Size(shape).numel())
    with torch.no_grad():
        bias = module(torch.zeros(1, *shape, dtype=torch.float64)).flatten()
        return module(torch.eye(count, dtype=torch.float64).reshape(count, *shape)).flatten(1) - bias, bias


class Multipliers(Way):
    """DeepLIFT by the rescale rule; what is held are examples and, after them, their baselines."""

    def linear(self, module: nn.Module, x: Tensor, g: Tensor, *, reads: bool) -> Tensor:
        """See `Way.linear`."""
        return pulled(module, x[: len(x) // 2], g)

    def activation(self, module: nn.Module, x: Tensor, g: Tensor) -> Tensor:
        """The quotient of the differences after it and before it."""
        (a, b), (y, start) = x.chunk(2), module(x).chunk(2)
        still = (a - b).abs() < 1e-9
        return torch.where(still, pulled(module, a, g), g * (y - start) / torch.where(still, 1.0, a - b))

    def maximum(self, module: nn.Module, x: Tensor, g: Tensor) -> Tensor:
        """The published rules do not say."""
        raise Undefined("DeepLIFT has no published rule for a maximum over windows")

    def normalization(self, module: nn.LayerNorm, x: Tensor, g: Tensor) -> Tensor:
        """Nor here."""
        raise Undefined("DeepLIFT has no published rule for a layer normalization")

    def other(self, module: nn.Module, x: Tensor, g: Tensor) -> Tensor:
        """Nor here."""
        raise Undefined(f"DeepLIFT has no published rule for {type(module).__name__}")

    def multiplied(self, parts: Sequence[Tensor], g: Tensor) -> Sequence[Tensor]:
        """Each factor's difference times the mean of the other: the Shapley value of a product."""
        means = [sum(p.chunk(2)) / 2 for p in parts]
        return [g * means[1], g * means[0]]


@dataclass
class Rectified(Way):
    """Gradients that rectifiers pass back where they are positive and, if `guided`, where something went through."""

    guided: bool

    def activation(self, module: nn.Module, x: Tensor, g: Tensor) -> Tensor:
        """See `Way.activation`."""
        if not isinstance(module, nn.ReLU):
            return pulled(module, x, g)
        return above(g) * (x > 0) if self.guided else above(g)


class Sloped(Relevance):
    """Relevance that goes through a layer normalization as a gradient would."""

    def normalization(self, module: nn.LayerNorm, x: Tensor, g: Tensor) -> Tensor:
        """See `Way.normalization`."""
        return pulled(module, x, g)


class BoxedConvolutions(Relevance):
    """A first rule for convolutions, and none for dense layers."""

    def linear(self, module: nn.Module, x: Tensor, g: Tensor, *, reads: bool) -> Tensor:
        """See `Way.linear`."""
        return super().linear(module, x, g, reads=reads and not isinstance(module, nn.Linear))


@dataclass
class Excited(Relevance):
    """Excitation backpropagation: winners among what is above zero."""

    stabilizer: float = 1e-9

    def added(self, parts: Sequence[Tensor], g: Tensor) -> Sequence[Tensor]:
        """See `Way.added`."""
        return super().added([above(p) for p in parts], g)
