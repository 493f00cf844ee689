"""Class activation maps without gradients: channels are weighted by the scores of changed examples, a block at a time."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from pellucid.core.anatomy import Entry
from pellucid.core.inputs import broken_row
from pellucid.core.model import Model
from pellucid.errors import InvalidInput
from pellucid.explain.activation.cams import ratio, weighted
from pellucid.explain.activation.engine import Folded, answer, folded
from pellucid.explain.activation.opening import Opened
from pellucid.explain.base import Attribution, Question
from pellucid.shapes import Array, Floats, Tensor

WIDEST = 64
"""Channels of one example that a step takes at most."""

Step = Callable[..., Any]


@dataclass(frozen=True, eq=False)
class ByScore(Folded):
    """A class activation map whose weights come from scores, one changed example a channel."""

    by_gradient: ClassVar[bool] = False

    on_input: ClassVar[bool] = False
    """Whether the input is changed, so that it must be clear where the layer lies on it."""

    @abstractmethod
    def step(self, place: Opened, call: int, times: int) -> Step:
        """Makes inputs, selector and channels (M,) into scores (B, M), one for each of these channels of a call; M = `times`."""

    @abstractmethod
    def weights(self, numbers: Floats, output: Floats) -> Floats:
        """Weights (B, C) of channels, of their scores and those of the examples as they are (B,)."""

    def fold(self, a: Tensor, more: Any) -> Tensor:
        """See `Folded.fold`."""
        from keras import ops

        return ops.relu(weighted(a, more))

    def attribute(self, question: Question) -> Attribution:
        """See `Method.attribute`."""
        place, weights, cost = self.opened(question, laid=self.on_input), [], 1
        for call, grid in enumerate(place.grids):
            blocks = blocks_of(place.question.model, grid.width)
            scores = self._scores(place, call, blocks)[:, : grid.width]
            weights.append(self.weights(scores, question.output).astype(np.float32))
            cost += blocks.shape[0] * (1 + blocks.shape[1])  # the layer is read anew for every block
        return answer(self, place, folded(self, place, weights), cost)

    def _scores(self, place: Opened, call: int, blocks: Array) -> Floats:
        q, times = place.question, blocks.shape[1]
        key = ("by score", type(self), call, times, place.key, q.target.function)
        step = q.model.compiled(key, lambda: self.step(place, call, times))
        parts = []
        for block in blocks:
            of_block = lambda *examples, block=block: step(*examples, block)  # noqa: E731
            parts.append(q.model.in_chunks(key, of_block, (*q.inputs, q.target.selector), times))
        scores = np.concatenate(parts, axis=1)
        if (
            row := broken_row(np.where(np.isneginf(scores), 0, scores))
        ) is not None:  # a channel that is left out has -inf
            raise InvalidInput(
                f"{q.model.name} gives NaN or infinity for example {row} with parts of it, or of what {place.name!r} puts out, "
                "set to zero; use a method that changes nothing: GradCam, HiResCam"
            )
        return scores


def blocks_of(model: Model, width: int) -> Array:
    """Channel numbers (blocks, M) in blocks of one size that a step can hold of one example; the last channel fills up."""
    most = min(model.comfortable, WIDEST)
    count = -(-width // most)
    size = -(-width // count)
    return np.minimum(np.arange(count * size, dtype=np.int32), width - 1).reshape(count, size)


def repeated(tensor: Tensor, times: int) -> Tensor:
    """Every example (B, ...) several times in a row, (B * times, ...)."""
    from keras import ops

    return ops.repeat(tensor, times, axis=0)


@dataclass(frozen=True, eq=False)
class ScoreCam(ByScore):
    """Where does a layer see what keeps up the score when the rest of the input is dimmed?

    `values[b, p] = relu(sum_c w_bc A[b, p, c])`, `w_b = softmax over channels of score(x * mask_c)`: `mask_c` is channel c
    stretched over the input and scaled to [0, 1]. Tokens are dimmed at their embedding. A channel that is the same everywhere
    is left out. In units of the activations.

    Args:
        layer: The layer that is read; None for the last convolution on the way to the score.
        resize: Whether the map is stretched over the input's grid, with one channel; False for the layer's own grid.

    Raises:
        UnknownName: There is no layer of that name.
        NotApplicable: No layer is named, and the model has no convolution with a grid.
        InvalidInput: The layer has no grid, or which input or axis it lies on is not clear.

    Example:
        >>> import keras, numpy as np, pellucid as pl
        >>> parts = [keras.layers.Conv1D(2, 1), keras.layers.Flatten(), keras.layers.Dense(1)]
        >>> net = keras.Sequential([keras.Input((2, 1)), *parts])
        >>> net.set_weights([np.array([[[1.0, -1.0]]]), np.zeros(2), np.array([[1.0], [0], [1], [0]]), np.zeros(1)])
        >>> e = pl.explain(net, np.array([[[1.0], [3.0]]]), pl.ScoreCam(), target=0)
        >>> e.values[..., 0].astype(float).round(3).tolist()  # masks (0, 1) and (1, 0), scores 3 and 1, weights 0.881 and 0.119
        [[0.762, 2.285]]

    References:
        Wang, Wang, Du, Yang, Zhang, Ding, Mardziel and Hu 2020, "Score-CAM", arXiv:1910.01279. The score of the baseline
        (zero), which the paper subtracts, is the same for all channels and falls out of the softmax.

    Limits:
        Zero must mean "nothing". The softmax depends on the scale of the scores: with logits of a wide range one channel takes
        all the weight. One run of the model a channel: its cost is that of hundreds of gradients. See `GradCam` on layers.
    """

    on_input: ClassVar[bool] = True

    def weights(self, numbers: Floats, output: Floats) -> Floats:
        """See `ByScore.weights`; the number of a channel that is left out is minus infinity."""
        lowest = float(np.finfo(np.float32).min)
        top = np.max(numbers, axis=1, keepdims=True, where=np.isfinite(numbers), initial=lowest)
        raised = np.exp(numbers - top)
        return raised / np.maximum(raised.sum(axis=1, keepdims=True), 1)  # below 1 only if all are left out

    def step(self, place: Opened, call: int, times: int) -> Step:
        """See `ByScore.step`."""
        from keras import ops

        model, target, size = place.question.model, place.question.target, len(place.question.inputs)
        base, grid, canvas = place.base, place.grids[call], place.on(call)

        def step(*arrays: Tensor) -> Tensor:
            inputs, selector, channels = arrays[:size], arrays[size], arrays[size + 1]
            chosen = ops.take(grid.arranged(model.embed(inputs)[call]), channels, axis=-1)
            maps = ops.reshape(ops.moveaxis(chosen, -1, 1), (-1, *grid.shape))
            masks, flat = from_zero_to_one(canvas.stretched(maps)), span(maps) == 0
            at = [
                dimmed(e, repeated(t, times), masks) if e.input == canvas.input else repeated(t, times)
                for e, t in zip(base.anatomy.entries, base.embed(inputs), strict=True)
            ]
            scores = target.score(
                base.forward_from(at, [repeated(t, times) for t in inputs]), repeated(selector, times)
            )
            return ops.reshape(ops.where(flat, -np.inf, scores), (-1, times))

        return step


def span(maps: Tensor) -> Tensor:
    """The largest less the smallest value of each map (B, ...), (B,)."""
    from keras import ops

    axes = tuple(range(1, len(maps.shape)))
    return ops.max(maps, axis=axes) - ops.min(maps, axis=axes)


def from_zero_to_one(maps: Tensor) -> Tensor:
    """Each map (B, ...) shifted and scaled to [0, 1]; zeros where it is flat."""
    from keras import ops

    axes = tuple(range(1, len(maps.shape)))
    return ratio(maps - ops.min(maps, axis=axes, keepdims=True), ops.expand_dims(span(maps), axes))


def dimmed(entry: Entry, tensor: Tensor, masks: Tensor) -> Tensor:
    """An input, or its embedding, times masks (B, ...) of the input."""
    from keras import ops

    return tensor * ops.cast(masks if entry.layer is None else ops.expand_dims(masks, -1), tensor.dtype)


@dataclass(frozen=True, eq=False)
class AblationCam(ByScore):
    """Where does a layer see what the score falls without?

    `values[b, p] = relu(sum_c w_bc A[b, p, c])`, `w_bc = score - score with channel c set to zero`. In units of the score times
    those of the activations.

    Args:
        layer: The layer that is read; None for the last convolution on the way to the score.
        resize: Whether the map is stretched over the input's grid, with one channel; False for the layer's own grid.

    Raises:
        UnknownName: There is no layer of that name.
        NotApplicable: No layer is named, and the model has no convolution with a grid.
        InvalidInput: The layer has no grid, or which input or axis it lies on is not clear.

    Example:
        >>> import keras, numpy as np, pellucid as pl
        >>> parts = [keras.layers.Conv1D(1, 1), keras.layers.Flatten(), keras.layers.Dense(1)]
        >>> net = keras.Sequential([keras.Input((2, 1)), *parts])
        >>> net.set_weights([np.array([[[2.0]]]), np.zeros(1), np.array([[3.0], [1.0]]), np.zeros(1)])
        >>> pl.explain(net, np.array([[[1.0], [5.0]]]), pl.AblationCam(), target=0).values[..., 0].tolist()
        [[32.0, 160.0]]

    References:
        Desai and Ramaswamy 2020, "Ablation-CAM", doi:10.1109/WACV45572.2020.9093360. The paper divides the weights by the
        score: one factor for all places, left out because a score below zero would turn the map over.

    Limits:
        Channels that stand in for each other all look unimportant. Zero must be an ordinary value of the layer, as it is behind a
        rectifier. One run of the model a channel: its cost is that of hundreds of gradients. See `GradCam` on layers.
    """

    def weights(self, numbers: Floats, output: Floats) -> Floats:
        """See `ByScore.weights`."""
        return output[:, None] - numbers

    def step(self, place: Opened, call: int, times: int) -> Step:
        """See `ByScore.step`."""
        from keras import ops

        model, target, size = place.question.model, place.question.target, len(place.question.inputs)
        grid = place.grids[call]

        def step(*arrays: Tensor) -> Tensor:
            inputs, selector, channels = arrays[:size], arrays[size], arrays[size + 1]
            at = [repeated(a, times) for a in model.embed(inputs)]
            kept = 1 - ops.tile(ops.one_hot(channels, grid.width), (ops.shape(selector)[0], 1))
            others = [i for i in range(1, len(at[call].shape)) if i != grid.axis]
            at[call] = at[call] * ops.cast(ops.expand_dims(kept, others), at[call].dtype)
            scores = target.score(
                model.forward_from(at, [repeated(t, times) for t in inputs]), repeated(selector, times)
            )
            return ops.reshape(scores, (-1, times))

        return step
