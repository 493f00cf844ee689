"""The models of `kinds.py` as torch modules with the same weights, which take inputs in the layout of Keras."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.agreement.kinds import HEADS, KINDS
from benchmarks.agreement.rows import UNIT
from benchmarks.agreement.samples import Sample
from benchmarks.twins import copy, put

Left = Iterator[np.ndarray]


class ChannelsFirst(nn.Module):
    """Modules that take channels first, between neighbours that take them last; `flat`: all of it in one row."""

    def __init__(self, *body: nn.Module, flat: bool = False) -> None:
        super().__init__()
        self.body, self.flat = nn.Sequential(*body), flat

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.body(x.movedim(-1, 1)).movedim(1, -1)
        return y.flatten(1) if self.flat else y


class Add(nn.Module):
    """A sum, as a module that a library can put its own in the place of."""

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return a + b


class Residual(nn.Module):
    """A value, and what its body makes of it, added."""

    def __init__(self, *body: nn.Module) -> None:
        super().__init__()
        self.body, self.add = nn.Sequential(*body), Add()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.add(x, self.body(x))


class Both(nn.Module):
    """What two branches make of two inputs, side by side."""

    def __init__(self, left: nn.Module, right: nn.Module, rest: nn.Module) -> None:
        super().__init__()
        self.left, self.right, self.rest = left, right, rest

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return self.rest(torch.cat([self.left(a), self.right(b)], 1))


class Gate(nn.Module):
    """The product of what two branches make of a value."""

    def __init__(self, left: nn.Module, right: nn.Module) -> None:
        super().__init__()
        self.left, self.right = left, right

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.left(x) * self.right(x)


class Attention(nn.Module):
    """Multi-head attention of (B, T, D) to itself."""

    def __init__(self, left: Left) -> None:
        super().__init__()
        self.query, self.key, self.value = (self._projection(left) for _ in range(3))
        weight = next(left)
        self.out = dense(iter([weight.reshape(-1, weight.shape[-1]), next(left)]))
        self.softmax = nn.Softmax(-1)

    @staticmethod
    def _projection(left: Left) -> nn.Linear:
        weight = next(left)
        return dense(iter([weight.reshape(len(weight), -1), next(left).ravel()]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        query, key, value = self.projected(x)
        weights = self.softmax(query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5)
        return self.out(self.heads_joined(weights @ value))

    def projected(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Queries, keys and values (B, N, T, H)."""
        return [self.split(layer(x)) for layer in (self.query, self.key, self.value)]

    @staticmethod
    def split(x: torch.Tensor) -> torch.Tensor:
        """What heads (B, N, T, H) get of (B, T, D)."""
        return x.unflatten(-1, (HEADS, -1)).transpose(1, 2)

    @staticmethod
    def heads_joined(x: torch.Tensor) -> torch.Tensor:
        """The other way."""
        return x.transpose(1, 2).flatten(2)


class Mean(nn.Module):
    """The mean over time of (B, T, D)."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean(1)


class Last(nn.Module):
    """The last output of a recurrent layer."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x)[0][:, -1]


def dense(left: Left) -> nn.Linear:
    """A dense layer."""
    kernel = next(left)
    made = nn.Linear(*kernel.shape)
    put(made, kernel.T, next(left))
    return made


def convolution(left: Left, *, bias: bool = True, **options: Any) -> nn.Module:
    """A convolution over one to three axes."""
    kernel = next(left)
    rank = kernel.ndim - 2
    kind = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[rank - 1]
    made = kind(kernel.shape[-2], kernel.shape[-1], kernel.shape[:-2], bias=bias, **options)
    copy(made.weight, np.moveaxis(kernel, (-1, -2), (0, 1)))
    if bias:
        copy(made.bias, next(left))
    return made


def depthwise_convolution(left: Left) -> nn.Conv2d:
    """A convolution of every channel by itself."""
    kernel = next(left)
    height, width, channels, times = kernel.shape
    made = nn.Conv2d(channels, channels * times, (height, width), groups=channels)
    put(made, kernel.transpose(2, 3, 0, 1).reshape(-1, 1, height, width), next(left))
    return made


def separable_convolution(left: Left) -> nn.Module:
    """A separable convolution, as the one convolution that it is."""
    deep, point = next(left), next(left)
    kernel = np.einsum("hwcm,cmo->hwco", deep, point[0, 0].reshape(*deep.shape[2:], -1))
    return convolution(iter([kernel, next(left)]))


def batch_normalization(left: Left) -> nn.BatchNorm2d:
    """A batch normalization with its statistics."""
    gamma, beta, mean, variance = (next(left) for _ in range(4))
    made = nn.BatchNorm2d(len(gamma), eps=1e-3)
    put(made, gamma, beta)
    copy(made.running_mean, mean)
    copy(made.running_var, variance)
    return made


def layer_normalization(left: Left) -> nn.LayerNorm:
    """A layer normalization."""
    gamma = next(left)
    made = nn.LayerNorm(len(gamma), eps=1e-5)
    put(made, gamma, next(left))
    return made


def recurrent(left: Left, kind: type, order: tuple[int, ...]) -> Last:
    """An LSTM or a GRU; `order`: where torch has the gates of Keras."""
    kernel, again, bias = next(left), next(left), next(left)
    units = len(again)
    made = kind(kernel.shape[0], units, batch_first=True)
    biases = bias if bias.ndim == 2 else np.stack([bias, np.zeros_like(bias)])
    gates = lambda a: np.concatenate([np.split(a, len(order), -1)[i] for i in order], -1)  # noqa: E731
    for parameter, array in zip(made.parameters(), (gates(kernel).T, gates(again).T, *gates(biases)), strict=True):
        copy(parameter, array)
    return Last(made)


Made = tuple[nn.Module, nn.Module]
"""A whole module, and the one in it that is called "middle" in the Keras model."""


def mlp(left: Left) -> Made:
    middle = nn.ReLU()
    return nn.Sequential(dense(left), nn.ReLU(), dense(left), middle, dense(left)), middle


def smooth_mlp(left: Left) -> Made:
    middle = nn.Softplus()
    return nn.Sequential(
        dense(left), nn.Tanh(), dense(left), middle, dense(left), nn.ELU(), dense(left), nn.Sigmoid(), dense(left),
    ), middle  # fmt: skip


def cnn(left: Left) -> Made:
    middle = nn.ReLU()
    body = (convolution(left), nn.ReLU(), nn.MaxPool2d(2), convolution(left), middle)
    return nn.Sequential(ChannelsFirst(*body, flat=True), dense(left)), middle


def average_cnn(left: Left) -> Made:
    middle = nn.ReLU()
    body = (
        convolution(left, bias=False), nn.ReLU(), nn.AvgPool2d(2), convolution(left, bias=False, padding=1), middle,
        nn.AdaptiveAvgPool2d(1),
    )  # fmt: skip
    kernel = next(left)
    last = nn.Linear(*kernel.shape, bias=False)
    copy(last.weight, kernel.T)
    return nn.Sequential(ChannelsFirst(*body, flat=True), last), middle


def normalized_cnn(left: Left) -> Made:
    middle = nn.ReLU()
    body = (
        convolution(left), batch_normalization(left), nn.ReLU(), nn.MaxPool2d(2), convolution(left, bias=False),
        batch_normalization(left), middle, nn.AdaptiveAvgPool2d(1),
    )  # fmt: skip
    return nn.Sequential(ChannelsFirst(*body, flat=True), dense(left)), middle


def residual(left: Left) -> Made:
    middle = nn.ReLU()
    first = convolution(left)
    block = Residual(convolution(left, padding=1), middle, convolution(left, padding=1))
    body = (first, nn.ReLU(), block, nn.ReLU(), nn.AdaptiveAvgPool2d(1))
    return nn.Sequential(ChannelsFirst(*body, flat=True), dense(left)), middle


def depthwise(left: Left) -> Made:
    middle = nn.ReLU()
    body = (depthwise_convolution(left), nn.ReLU(), convolution(left), middle, nn.AdaptiveAvgPool2d(1))
    return nn.Sequential(ChannelsFirst(*body, flat=True), dense(left)), middle


def separable(left: Left) -> Made:
    middle = nn.ReLU()
    body = (separable_convolution(left), nn.ReLU(), separable_convolution(left), middle, nn.AdaptiveAvgPool2d(1))
    return nn.Sequential(ChannelsFirst(*body, flat=True), dense(left)), middle


def conv1d(left: Left) -> Made:
    middle = nn.ReLU()
    body = (
        convolution(left, dilation=2), nn.ReLU(), nn.MaxPool1d(2), convolution(left), middle, nn.AdaptiveAvgPool1d(1),
    )  # fmt: skip
    return nn.Sequential(ChannelsFirst(*body, flat=True), dense(left)), middle


def conv3d(left: Left) -> Made:
    middle = nn.ReLU()
    body = (convolution(left), nn.ReLU(), nn.MaxPool3d(2), convolution(left), middle)
    return nn.Sequential(ChannelsFirst(*body, flat=True), dense(left)), middle


def normalized_mlp(left: Left) -> Made:
    middle = nn.ReLU()
    first = (dense(left), layer_normalization(left), nn.ReLU())
    return nn.Sequential(*first, dense(left), middle, dense(left)), middle


def lstm(left: Left) -> Made:
    middle = recurrent(left, nn.LSTM, (0, 1, 2, 3))
    return nn.Sequential(middle, dense(left)), middle


def gru(left: Left) -> Made:
    middle = recurrent(left, nn.GRU, (1, 0, 2))
    return nn.Sequential(middle, dense(left)), middle


def embedding(left: Left) -> Made:
    table, middle = next(left), nn.ReLU()
    first = nn.Embedding(*table.shape)
    copy(first.weight, table)
    body = (convolution(left), middle, nn.AdaptiveAvgPool1d(1))
    return nn.Sequential(first, ChannelsFirst(*body, flat=True), dense(left)), middle


def attention(left: Left) -> Made:
    first, middle = dense(left), Attention(left)
    norm = layer_normalization(left)
    last = (Residual(dense(left), nn.ReLU(), dense(left)), Mean(), dense(left))
    return nn.Sequential(first, Residual(middle), norm, *last), middle


def two_inputs(left: Left) -> Made:
    middle = nn.ReLU()
    b = ChannelsFirst(convolution(left), nn.ReLU(), flat=True)  # Keras lists the deepest layers first
    a = nn.Sequential(dense(left), nn.ReLU())
    return Both(a, b, nn.Sequential(dense(left), middle, dense(left))), middle


def shared(left: Left) -> Made:
    middle, twice = nn.ReLU(), dense(left)
    return nn.Sequential(twice, nn.ReLU(), twice, middle, dense(left)), middle


def gated(left: Left) -> Made:
    middle = nn.ReLU()
    gate = Gate(nn.Sequential(dense(left), nn.Sigmoid()), nn.Sequential(dense(left), nn.Tanh()))
    return nn.Sequential(gate, dense(left), middle, dense(left)), middle


MAKERS: dict[str, Callable[[Left], Made]] = {name: globals()[name] for name in KINDS}
"""The maker of each kind has its name."""

Tensors = tuple[torch.Tensor, ...]


@dataclass
class Twin:
    """A sample in torch: a module that can be differentiated by what it takes, and what it is asked about.

    Of a model of tokens, the module is what comes after the embedding, and the inputs are embedded.
    """

    sample: Sample
    precision: torch.dtype = torch.float32
    whole: nn.Module = field(init=False)
    middle: nn.Module = field(init=False)

    def __post_init__(self) -> None:
        self.whole, self.middle = MAKERS[self.sample.kind.name](iter(self.sample.weights))
        self.whole.to(self.precision).eval()
        self.net = self.whole[1:] if self.sample.kind.tokens else self.whole
        self.x, self.baseline, self.background = map(
            self._taken, (self.sample.x, self.sample.baseline, self.sample.background)
        )
        self.target = torch.tensor(self.sample.target)
        found = self.net(*self.x).detach().numpy()
        if (gap := np.abs(found - self.sample.scores["x"]).max()) > 1e-5:
            raise SystemExit(f"the torch twin of {self.sample.kind.name} differs from the Keras model by {gap:.2g}")

    def _taken(self, arrays: tuple[np.ndarray, ...]) -> Tensors:
        if self.sample.kind.tokens:
            return (self.whole[0](torch.tensor(arrays[0]).long()).detach(),)
        return tuple(torch.tensor(a, dtype=self.precision) for a in arrays)

    def score(self, *inputs: torch.Tensor) -> torch.Tensor:
        """The asked-about score of inputs, the examples over and over."""
        scores = self.net(*inputs)
        return scores.gather(1, self.target.repeat(len(scores) // len(self.target))[:, None])[:, 0]

    @property
    def moved(self) -> bool:
        """Whether the layer called "middle" has its channels first."""
        return any(self.middle is m for c in self.net.modules() if isinstance(c, ChannelsFirst) for m in c.modules())

    def hidden(self, *inputs: torch.Tensor) -> torch.Tensor:
        """What the layer called "middle" puts out."""
        held: list[torch.Tensor] = []
        handle = self.middle.register_forward_hook(lambda module, given, found: held.append(found))
        try:
            self.net(*inputs)
        finally:
            handle.remove()
        return held[-1]

    def unit(self) -> tuple[int, ...]:
        """Where in one example's output of that layer the unit is that is asked about."""
        first = (0,) * (self.hidden(*self.x).ndim - 2)
        return (UNIT, *first) if self.moved else (*first, UNIT)

    def channels_last(self, found: torch.Tensor) -> torch.Tensor:
        """What belongs to that layer, in the layout of Keras."""
        return found.movedim(1, -1) if self.moved else found

    def at_layer(self, found: torch.Tensor) -> np.ndarray:
        """A map at the layer called "middle" as an array (B, N)."""
        return self.channels_last(found.detach()).double().flatten(1).numpy()

    def joined(self, maps: Tensors | list[torch.Tensor], fold: str = "sum") -> np.ndarray:
        """Maps of all inputs as one array (B, N); what a token's embedding got summed, or its length where `fold` is norm."""
        arrays = [m.detach().double().numpy() for m in maps]
        if self.sample.kind.tokens:
            arrays = [np.linalg.norm(a, axis=-1) if fold == "norm" else a.sum(-1) for a in arrays]
        return np.concatenate([a.reshape(len(a), -1) for a in arrays], axis=1)
