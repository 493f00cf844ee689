"""Transformers of what lies on a grid: sequences, images, sounds and videos, cut into patches."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from pellucid.errors import InvalidOption
from pellucid.layers import LearnedPositions, SinusoidalPositions
from pellucid.models.trunk import Trunk
from pellucid.shapes import Tensor


def sequence_transformer(shape: Sequence[int | None], classes: int, patch: int = 1, **options: Any) -> Any:
    """A transformer of sequences (B, T, F): each stretch of `patch` steps is a token, with `SinusoidalPositions`.

    Args:
        shape: (T, F); T may be None, for sequences of any length.
        classes: The number K of logits.
        patch: Steps of time in one token; longer for long sequences, as the cost grows with the square of their number.
            Where T is None, sequences must be whole patches long.
        options: `width`, `depth`, `heads`, `dropout`, `alpha`, `pool` of `pl.models.Trunk`.

    Raises:
        InvalidOption: A patch that does not divide T, or an option outside its range.

    Example:
        >>> import pellucid as pl
        >>> model = pl.models.sequence_transformer((96, 2), classes=3, patch=8)
        >>> model.get_layer("block_1").input.shape, model.output_shape
        ((None, 13, 32), (None, 3))

    References:
        Vaswani et al. 2017, "Attention is all you need", arXiv:1706.03762; Nie et al. 2023, "A time series is worth 64
        words", arXiv:2211.14730.

    Limits:
        Uncompiled, and untrained. Padding is not told from data: sequences are read to their end.
    """
    trunk, inputs = Trunk.of(options), keras.Input(tuple(shape), name="sequence")
    tokens = SinusoidalPositions(name="positions")(_patches(inputs, (patch,), trunk.width))
    return trunk.model(inputs, tokens, classes, "sequence_transformer")


def vision_transformer(shape: Sequence[int], classes: int, patch: int | Sequence[int] = 4, **options: Any) -> Any:
    """A transformer of images (B, H, W, C): squares of `patch` pixels are tokens, row by row, with `LearnedPositions`.

    Args:
        shape: (H, W, C).
        classes: The number K of logits.
        patch: The side of a square, or (height, width) of a patch.
        options: `width`, `depth`, `heads`, `dropout`, `alpha`, `pool` of `pl.models.Trunk`.

    Raises:
        InvalidOption: Patches that do not divide the image, or an option outside its range.

    Example:
        >>> import pellucid as pl
        >>> model = pl.models.vision_transformer((8, 8, 1), classes=10, patch=2, pool="mean")
        >>> model.get_layer("patches").output.shape, model.output_shape
        ((None, 4, 4, 32), (None, 10))

    References:
        Dosovitskiy et al. 2021, "An image is worth 16x16 words", arXiv:2010.11929.

    Limits:
        Uncompiled, and untrained. Without pretraining it needs more images than a small CNN to do as well.
    """
    trunk, inputs = Trunk.of(options), keras.Input(tuple(shape), name="image")
    sides = (patch, patch) if isinstance(patch, int) else tuple(patch)
    tokens = LearnedPositions(name="positions")(_patches(inputs, sides, trunk.width))
    return trunk.model(inputs, tokens, classes, "vision_transformer")


def audio_transformer(shape: Sequence[int], classes: int, patch: Sequence[int] = (8, 8), **options: Any) -> Any:
    """A transformer of log-mel spectrograms (B, T, M): patches of time and pitch are tokens, with `LearnedPositions`.

    Args:
        shape: (T, M), frames and mel bands.
        classes: The number K of logits.
        patch: Frames and bands in one patch; `(1, M)` makes every frame a token. Tokens go through the bands of a time
            before they go on to the next.
        options: `width`, `depth`, `heads`, `dropout`, `alpha`, `pool` of `pl.models.Trunk`.

    Raises:
        InvalidOption: Patches that do not divide the spectrogram, or an option outside its range.

    Example:
        >>> import pellucid as pl
        >>> model = pl.models.audio_transformer((64, 32), classes=2, patch=(8, 32))
        >>> model.get_layer("patches").output.shape, model.output_shape
        ((None, 8, 1, 32), (None, 2))

    References:
        Gong, Chung and Glass 2021, "AST: audio spectrogram transformer", arXiv:2104.01778.

    Limits:
        Uncompiled, and untrained. Spectrograms should have a mean of about 0 and a deviation of about 1.
    """
    trunk, inputs = Trunk.of(options), keras.Input(tuple(shape), name="spectrogram")
    grid = layers.Reshape((*shape, 1), name="channel")(inputs)
    tokens = LearnedPositions(name="positions")(_patches(grid, tuple(patch), trunk.width))
    return trunk.model(inputs, tokens, classes, "audio_transformer")


def video_transformer(shape: Sequence[int], classes: int, patch: Sequence[int] = (2, 4, 4), **options: Any) -> Any:
    """A transformer of videos (B, T, H, W, C): tubelets, patches that last some frames, are tokens, with `LearnedPositions`.

    Args:
        shape: (T, H, W, C).
        classes: The number K of logits.
        patch: Frames, rows and columns of a tubelet. Tokens go along a row, then down, then on in time.
        options: `width`, `depth`, `heads`, `dropout`, `alpha`, `pool` of `pl.models.Trunk`.

    Raises:
        InvalidOption: Tubelets that do not divide the video, or an option outside its range.

    Example:
        >>> import pellucid as pl
        >>> model = pl.models.video_transformer((8, 16, 16, 1), classes=4)
        >>> model.get_layer("patches").output.shape, model.output_shape
        ((None, 4, 4, 4, 32), (None, 4))

    References:
        Arnab et al. 2021, "ViViT: a video vision transformer", arXiv:2103.15691.

    Limits:
        Uncompiled, and untrained. Attention is between all tubelets at once, so the cost grows with the square of their
        number: for short, small videos.
    """
    trunk, inputs = Trunk.of(options), keras.Input(tuple(shape), name="video")
    tokens = LearnedPositions(name="positions")(_patches(inputs, tuple(patch), trunk.width))
    return trunk.model(inputs, tokens, classes, "video_transformer")


def _patches(x: Tensor, patch: tuple[int, ...], width: int) -> Tensor:
    """The patches of a grid (B, ..., C) as tokens (B, T, width): one linear map of each, the same for all."""
    grid = tuple(x.shape[1:-1])
    if len(patch) != len(grid) or any(isinstance(p, bool) or not isinstance(p, int) or p < 1 for p in patch):
        raise InvalidOption(f"patch: expected {len(grid)} whole numbers above 0, for the axes {grid}, got {patch}")
    if any(side is not None and side % p for side, p in zip(grid, patch, strict=True)):
        raise InvalidOption(f"patch: {patch} does not divide {grid}; crop or pad the data, or choose divisors")
    cut = _cut(x, grid, patch)
    x = layers.Dense(width, name="patches")(cut)
    return x if len(grid) == 1 else layers.Reshape((-1, width), name="tokens")(x)


def _cut(x: Tensor, grid: tuple[Any, ...], patch: tuple[int, ...]) -> Tensor:
    """A grid (B, ..., C) as patches (B, ..., numbers in a patch): many times faster on a CPU than a strided Conv3D."""
    length, count = math.prod(patch) * x.shape[-1], len(grid)
    if count == 1:
        return layers.Reshape((-1, length), name="cut")(x)
    pieces = [side // p for side, p in zip(grid, patch, strict=True)]
    sides = [number for pair in zip(pieces, patch, strict=True) for number in pair]
    x = layers.Reshape((*sides, x.shape[-1]), name="sides")(x)
    inside = range(2, 2 * count + 1, 2)
    x = layers.Permute((*range(1, 2 * count, 2), *inside, 2 * count + 1), name="inside_last")(x)
    return layers.Reshape((*pieces, length), name="cut")(x)
