"""What the methods are by definition, in float64: the closed form that decides where libraries disagree.

Slopes are differences of the score itself; integrals and expectations are means over many points; what is passed back from
layer to layer is computed by `backward.py`. Nothing here knows of Pellucid or of a peer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.agreement import backward
from benchmarks.agreement.backward import (
    BoxedConvolutions,
    Excited,
    Multipliers,
    Rectified,
    Relevance,
    Sloped,
    Way,
    alpha_beta,
    to_inputs,
)
from benchmarks.agreement.rows import NOISE
from benchmarks.agreement.samples import BACKGROUND, Sample
from benchmarks.agreement.twins import Both, Tensors, Twin

POINTS = 2**14
"""Points of an integral, or draws of an expectation."""

AT_ONCE = 512
STEP = 1e-6


def prepare(sample: Sample) -> Twin:
    """What a method is given."""
    return Twin(sample, torch.float64)


@dataclass(frozen=True)
class Place:
    """Where an explanation is asked for: examples, what stands for nothing, and the score as a function of what is there."""

    x: Tensors
    baseline: Tensors
    background: Tensors
    score: Callable[..., Tensor]


def at_input(twin: Twin) -> Place:
    """The inputs."""
    return Place(twin.x, twin.baseline, twin.background, twin.score)


def at_hidden(twin: Twin) -> Place:
    """The layer called "middle", the inputs being what they are."""
    read = lambda inputs: (twin.hidden(*inputs).detach(),)  # noqa: E731

    def score(hidden: Tensor) -> Tensor:
        handle = twin.middle.register_forward_hook(lambda module, given, found: hidden)
        try:
            return twin.score(*(x.repeat(len(hidden) // len(x), *[1] * (x.ndim - 1)) for x in twin.x))
        finally:
            handle.remove()

    return Place(read(twin.x), read(twin.baseline), read(twin.background), score)


def slopes(place: Place) -> list[Tensor]:
    """Central differences of the score."""
    found = []
    for at, x in enumerate(place.x):
        moves = STEP * torch.eye(x[0].numel(), dtype=x.dtype).reshape(-1, 1, *x.shape[1:])
        with torch.no_grad():
            up, down = (_scores(place, at, x + sign * moves) for sign in (1, -1))
        found.append(((up - down) / (2 * STEP)).T.reshape(x.shape))
    return found


def _scores(place: Place, at: int, moved: Tensor) -> Tensor:
    """Scores (P, B) of P copies (P, B, ...) of one input, the other inputs as they are."""
    inputs = [x.expand(len(moved), *x.shape).flatten(0, 1) for x in place.x]
    inputs[at] = moved.flatten(0, 1)
    return place.score(*inputs).reshape(len(moved), -1)


def products(place: Place) -> list[Tensor]:
    """Slopes times what is there."""
    return [x * s for x, s in zip(place.x, slopes(place), strict=True)]


def unit(twin: Twin) -> Place:
    """The inputs, and a hidden unit in place of the score."""
    at = (slice(None), *twin.unit())
    return replace(at_input(twin), score=lambda *inputs: twin.hidden(*inputs)[at])


def mean_gradient(place: Place, points: Callable[[int], Tensors], count: int) -> list[Tensor]:
    """The mean gradient over `count` points an example; `points(n)` gives the next n of them (n * B, ...)."""
    total: list[Any] = [0.0 for _ in place.x]
    for _ in range(0, count, AT_ONCE):
        leaves = [p.detach().requires_grad_() for p in points(AT_ONCE)]
        grads = torch.autograd.grad(place.score(*leaves).sum(), leaves)
        total = [t + g.unflatten(0, (AT_ONCE, -1)).sum(0) for t, g in zip(total, grads, strict=True)]
    return [t / count for t in total]


def middles(count: int) -> Iterator[Tensor]:
    """The middles of `count` equal parts of the way from 0 to 1, some at a time."""
    return iter(((torch.arange(count, dtype=torch.float64) + 0.5) / count).split(AT_ONCE))


def between(start: Tensors, end: Tensors, shares: Tensor) -> Tensors:
    """Points (P * B, ...) on straight lines."""
    return tuple(
        (b + shares.reshape(-1, *[1] * x.ndim) * (x - b)).flatten(0, 1) for x, b in zip(end, start, strict=True)
    )


def integrated(place: Place, start: Tensors, count: int = POINTS) -> list[Tensor]:
    """The gradient integrated from a start."""
    left = middles(count)
    means = mean_gradient(place, lambda many: between(start, place.x, next(left)), count)
    return [(x - b) * m for x, b, m in zip(place.x, start, means, strict=True)]


def expected(place: Place, method: Callable[[Tensors], list[Tensor]]) -> list[Tensor]:
    """A method's mean over the background."""
    each = [method(tuple(b[i : i + 1] for b in place.background)) for i in range(BACKGROUND)]
    return [torch.stack(maps).mean(0) for maps in zip(*each, strict=True)]


def expected_gradients(place: Place) -> list[Tensor]:
    """The gradient integrated from each of the background, in the mean."""
    return expected(place, lambda start: integrated(place, start, POINTS // 4))


def noisy(twin: Twin) -> list[Tensor]:
    """The mean gradient under noise."""
    if twin.sample.kind.tokens:
        raise backward.Undefined("the mean of an embedding's gradient is not that of its length")
    chance = torch.Generator().manual_seed(1)

    def points(many: int) -> Tensors:
        noise = lambda x: NOISE * torch.randn((many, *x.shape), generator=chance, dtype=x.dtype)  # noqa: E731
        return tuple((x + noise(x)).flatten(0, 1) for x in twin.x)

    return mean_gradient(at_input(twin), points, POINTS)


def on_the_way(twin: Twin, each: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """The sum over the inputs' way from the baseline of `each(slopes, change)`, both (P, B, ...) of the hidden layer."""
    total: Any = 0.0
    for shares in middles(POINTS):
        ends = [twin.hidden(*between(twin.baseline, twin.x, shares + half)) for half in (-0.5 / POINTS, 0.5 / POINTS)]
        held: list[Tensor] = []
        handle = twin.middle.register_forward_hook(lambda module, given, found, held=held: held.append(found))
        score = twin.score(*between(twin.baseline, twin.x, shares))
        handle.remove()
        grads = torch.autograd.grad(score.sum(), held[-1])[0]
        total = total + each(grads, (ends[1] - ends[0]).detach()).unflatten(0, (len(shares), -1)).sum(0)
    return total


def activation_map(weigh: Callable[[Tensor, Tensor], Tensor], *, signed: bool = False) -> Callable[[Twin], np.ndarray]:
    """The sum over channels of `weigh(activations, slopes)`, both (B, ..., C), times the activations; above zero alone."""

    def run(twin: Twin) -> np.ndarray:
        place = at_hidden(twin)
        leaf = place.x[0].requires_grad_()
        slope = torch.autograd.grad(place.score(leaf).sum(), leaf)[0]
        hidden = twin.channels_last(leaf.detach())
        found = (weigh(hidden, twin.channels_last(slope)) * hidden).sum(-1)
        return (found if signed else found.clamp(min=0)).flatten(1).numpy()

    return run


def ablated(twin: Twin) -> np.ndarray:
    """The same, a channel's weight being what the score loses without it."""
    place, axis = at_hidden(twin), 1 if twin.moved else -1
    hidden = place.x[0]
    whole, losses = place.score(hidden), []
    for channel in range(hidden.shape[axis]):
        without = hidden.clone()
        without.select(axis, channel).zero_()
        losses.append(whole - place.score(without))
    weights = torch.stack(losses, -1).detach()
    last = twin.channels_last(hidden)
    return torch.einsum("b...c,bc->b...", last, weights).clamp(min=0).flatten(1).numpy()


def principal(twin: Twin) -> np.ndarray:
    """Activations along their first singular direction, not centred, with the sign of a positive sum."""
    hidden = twin.channels_last(at_hidden(twin).x[0]).flatten(1, -2)
    found = (hidden @ torch.linalg.svd(hidden, full_matrices=False)[2][:, 0, :, None])[..., 0]
    return (found * found.sum(1, keepdim=True).sign()).numpy()


def over_grid(a: Tensor) -> Tensor:
    """The sum of (B, ..., C) over all places."""
    return a.sum(tuple(range(1, a.ndim - 1)), keepdim=True)


def mean_slope(hidden: Tensor, slope: Tensor) -> Tensor:
    """One weight for a channel: the mean slope over its places."""
    return over_grid(slope) / slope[0, ..., 0].numel()


def scaled_slope(hidden: Tensor, slope: Tensor) -> Tensor:
    """One weight for a channel: its slopes, weighed by the share of its activation that is there."""
    total = over_grid(hidden)
    return torch.where(total == 0, 0.0, over_grid(slope * hidden) / torch.where(total == 0, 1.0, total))


def rising_slope(hidden: Tensor, slope: Tensor) -> Tensor:
    """One weight for a channel: its positive slopes g, each divided by 2 + g times the channel's sum (Grad-CAM++)."""
    rising = slope.clamp(min=0)
    return over_grid(rising**2 / torch.where(rising > 0, 2 * rising**2 + over_grid(hidden) * rising**3, 1.0) * rising)


def _one_hot(twin: Twin) -> tuple[Tensor, Tensor]:
    scores = twin.net(*twin.x).detach()
    return nn.functional.one_hot(twin.target, scores.shape[1]).to(scores), scores


def relevance(way: Relevance, *, winner: bool = False) -> Callable[[Twin], np.ndarray]:
    """Relevance of the score, by rules; `winner`: of one."""

    def run(twin: Twin) -> np.ndarray:
        chosen, scores = _one_hot(twin)
        return twin.joined(to_inputs(twin.net, twin.x, chosen if winner else chosen * scores, way))

    return run


def needs(kind: type, twin: Twin) -> None:
    """Leave the variants alone that are about a kind of module which a model does not have."""
    if not any(isinstance(module, kind) for module in twin.net.modules()):
        raise backward.Undefined(f"there is no {kind.__name__}")


def merged(way: Relevance) -> Callable[[Twin], np.ndarray]:
    """With batch normalizations whose epsilon is applied a second time."""

    def run(twin: Twin) -> np.ndarray:
        needs(nn.BatchNorm2d, twin)
        for module in twin.net.modules():
            if isinstance(module, nn.BatchNorm2d):
                for parameter in (module.weight, module.bias):
                    parameter.data /= (1 + module.eps) ** 0.5
        return relevance(way)(twin)

    return run


def one_input(way: Relevance) -> Callable[[Twin], np.ndarray]:
    """With the first rule at the first of two inputs alone."""

    def run(twin: Twin) -> np.ndarray:
        needs(Both, twin)
        changed = replace(way)
        changed.readers = 1
        return relevance(changed)(twin)

    return run


def sloped(way: Relevance) -> Callable[[Twin], np.ndarray]:
    """With layer normalizations that pass on gradients."""

    def run(twin: Twin) -> np.ndarray:
        needs(nn.LayerNorm, twin)
        return relevance(Sloped(way.dense, way.convolution, way.first))(twin)

    return run


def later(way: Relevance) -> Callable[[Twin], np.ndarray]:
    """Without a first rule, where the layer that reads the input also works later on."""

    def run(twin: Twin) -> np.ndarray:
        if twin.sample.kind.name != "shared":
            raise backward.Undefined("no layer is called twice")
        return relevance(replace(way, first=None))(twin)

    return run


def slopes_by(way: Way) -> Callable[[Twin], np.ndarray]:
    """Changed gradients of the score."""
    return lambda twin: twin.joined(to_inputs(twin.net, twin.x, _one_hot(twin)[0], way), "norm")


def deep_lift(twin: Twin, start: Tensors) -> list[Tensor]:
    """Differences from a start, by the rescale rule."""
    starts = [b.expand_as(x) for x, b in zip(twin.x, start, strict=True)]
    both = [torch.cat([x, b]) for x, b in zip(twin.x, starts, strict=True)]
    found = to_inputs(twin.net, both, _one_hot(twin)[0], Multipliers())
    return [m * (x - b) for m, x, b in zip(found, twin.x, starts, strict=True)]


E, Z_PLUS, A2B1 = backward.epsilon, alpha_beta(1, 0), alpha_beta(2, 1)

WAYS = {
    "epsilon": Relevance(),
    "gamma": Relevance(backward.gamma, backward.gamma),
    "z_plus": Relevance(Z_PLUS, Z_PLUS),
    "alpha1_beta0": Relevance(Z_PLUS, Z_PLUS),
    "alpha2_beta1": Relevance(A2B1, A2B1),
    "flat_first": Relevance(first=backward.flat),
    "w_square_first": Relevance(first=backward.w_square),
    "z_box_first": Relevance(first=backward.z_box),
    "epsilon_plus_flat": Relevance(E, Z_PLUS, backward.flat),
    "epsilon_gamma_box": Relevance(E, backward.gamma, backward.z_box),
    "epsilon_alpha2_beta1": Relevance(E, A2B1),
    "epsilon_alpha2_beta1_flat": Relevance(E, A2B1, backward.flat),
}
"""Rules of the methods that pass relevance on."""

METHODS: dict[str, Callable[[Twin], np.ndarray]] = {
    "gradient": lambda t: t.joined(slopes(at_input(t)), "norm"),
    "unit_gradient": lambda t: t.joined(slopes(unit(t)), "norm"),
    "gradient_input": lambda t: t.joined(products(at_input(t))),
    "integrated_gradients": lambda t: t.joined(integrated(at_input(t), t.baseline)),
    "smooth_grad": lambda t: t.joined(noisy(t), "norm"),
    "expected_gradients": lambda t: t.joined(expected_gradients(at_input(t))),
    **{name: relevance(way) for name, way in WAYS.items()},
    **{f"{name}:merged": merged(way) for name, way in WAYS.items()},
    **{f"{name}:one_input": one_input(way) for name, way in WAYS.items()},
    **{f"{name}:slopes": sloped(way) for name, way in WAYS.items()},
    **{f"{name}:later": later(way) for name, way in WAYS.items()},
    "epsilon_gamma_box:convolutions": relevance(BoxedConvolutions(E, backward.gamma, backward.z_box)),
    "w_square_first:biases": relevance(Relevance(first=backward.w_square_with_biases)),
    "gamma:positive": relevance(Relevance(backward.gamma_of_positive, backward.gamma_of_positive)),
    "alpha1_beta0:positive": relevance(Relevance(backward.z_plus_of_positive, backward.z_plus_of_positive)),
    "excitation_backprop": relevance(Excited(backward.excitation, backward.excitation), winner=True),
    "excitation_backprop:negative": relevance(
        Relevance(backward.excitation_of_both, backward.excitation_of_both), winner=True
    ),
    "guided_backprop": slopes_by(Rectified(guided=True)),
    "deconvolution": slopes_by(Rectified(guided=False)),
    "deep_lift": lambda t: t.joined(deep_lift(t, t.baseline)),
    "grad_cam": activation_map(mean_slope),
    "grad_cam_plus_plus": activation_map(rising_slope),
    "hires_cam": activation_map(lambda hidden, slope: slope, signed=True),
    "layer_cam": activation_map(lambda hidden, slope: slope.clamp(min=0)),
    "x_grad_cam": activation_map(scaled_slope),
    "ablation_cam": ablated,
    "eigen_cam": principal,
    "layer_gradient": lambda t: t.at_layer(slopes(at_hidden(t))[0]),
    "layer_gradient_input": lambda t: t.at_layer(products(at_hidden(t))[0]),
    "layer_integrated_gradients": lambda t: t.at_layer(integrated(at_hidden(t), at_hidden(t).baseline)[0]),
    "conductance": lambda t: t.at_layer(on_the_way(t, torch.mul)),
    "internal_influence": lambda t: t.at_layer(on_the_way(t, lambda slope, change: slope / POINTS)),
    "deep_shap": lambda t: t.joined(expected(at_input(t), lambda start: deep_lift(t, start))),
}
"""What the methods of `rows.py` are, and after a colon their variants; one line each."""


def run(twin: Twin, name: str) -> np.ndarray:
    """A method's map (B, N)."""
    torch.set_num_threads(1)
    return METHODS[name](twin)
