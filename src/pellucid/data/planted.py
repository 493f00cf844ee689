"""Planted problems: data made here, so that it is known which part of each example decides its class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from pellucid.core.dataset import Dataset
from pellucid.core.randomness import stream
from pellucid.core.record import Value
from pellucid.errors import InvalidOption
from pellucid.shapes import Array, Floats


@dataclass(frozen=True, eq=False)
class Planted(Value):
    """Data and where the cause of each label lies.

    Args:
        data: The examples.
        cause: True (B, ...) at the inputs that decide the class, of the shape of `data.x`.

    Raises:
        InvalidOption: Shapes that differ.

    Example:
        >>> import pellucid as pl
        >>> made = pl.data.tones(10, seed=0)
        >>> made.data.x.shape == made.cause.shape, made.take(slice(0, 3)).cause.shape
        (True, (3, 64, 32))
    """

    data: Dataset
    cause: Any

    def __post_init__(self) -> None:
        object.__setattr__(self, "cause", np.asarray(self.cause, bool))
        if self.cause.shape != self.data.x.shape:
            raise InvalidOption(f"cause: expected the shape of the data {self.data.x.shape}, got {self.cause.shape}")

    def __len__(self) -> int:
        return len(self.data)

    def take(self, index: Any) -> Planted:
        """The examples at `index` (numbers, a slice or a mask)."""
        return Planted(self.data.take(index), self.cause[index])


RATE, HOP, WINDOW, FRAMES, BANDS = 8000, 128, 512, 64, 32
"""Samples in a second; from frame to frame; in a frame; frames in a spectrogram; mel bands."""


def tones(count: int, seed: int = 0, noise: float = 0.1) -> Planted:
    """Log-mel spectrograms (B, 64, 32) of about a second: does a short tone rise or fall?

    A voice of three harmonics glides for about a quarter of a second from one pitch to another, at a random time, in white
    noise. Upwards and downwards use the same pitches. A steady voice, as loud, sounds at another time and says nothing.
    Frames are 64 ms long and 16 ms apart; log energies are scaled to mean 0 and deviation 1 over each spectrogram.

    The cause are the cells to which the gliding voice alone gives more energy than the noise does on average.

    Args:
        count: The number of examples; half of them rise, to within one.
        seed: The same seed makes the same data.
        noise: The deviation of the noise; each voice has an amplitude of about 1.

    Raises:
        InvalidOption: A count below 2, or noise that is not above 0.

    Example:
        >>> import pellucid as pl
        >>> made = pl.data.tones(100, seed=1)
        >>> made.data.kind, made.data.class_names, made.data.x.shape
        ('audio', ('falling', 'rising'), (100, 64, 32))

    Limits:
        A toy of lexical tones: no speech was recorded.
    """
    rng, labels = _labels(count, 2, seed, "tones")
    if not noise > 0:
        raise InvalidOption(f"noise: expected a deviation above 0, got {noise!r}")
    mel, floor = _mel(), noise**2 * (np.hanning(WINDOW) ** 2).sum()
    x, cause = np.empty((count, FRAMES, BANDS), np.float32), np.empty((count, FRAMES, BANDS), bool)
    for i, label in enumerate(labels):
        gliding, steady = _voices(rng, rising=bool(label))
        sound = gliding + steady + rng.normal(0, noise, len(gliding))
        heard = np.log(_energy(sound, mel) + 1e-9)
        x[i] = (heard - heard.mean()) / heard.std()
        cause[i] = _energy(gliding, mel) > floor * mel.sum(0)
    names = ("falling", "rising")
    return Planted(Dataset(x, labels, kind="audio", class_names=names, ids=np.arange(count), name="tones"), cause)


def _voices(rng: np.random.Generator, *, rising: bool) -> tuple[Floats, Floats]:
    """A gliding and a steady voice, which do not sound at the same time."""
    samples = HOP * (FRAMES - 1) + WINDOW
    length = int(RATE * rng.uniform(0.2, 0.3))
    gap = samples - 2 * length
    first, between = np.sort(rng.uniform(0, gap, 2)).astype(int) @ np.array([[1, -1], [0, 1]])
    starts = rng.permutation([first, first + length + between])
    low = rng.uniform(250, 450)
    high = low * rng.uniform(1.6, 2.0)
    glide, level = np.linspace(low, high, length), np.full(length, rng.uniform(low, high))
    return (
        _voice(samples, int(starts[0]), glide if rising else glide[::-1], rng.random()),
        _voice(samples, int(starts[1]), level, rng.random()),
    )


def _voice(samples: int, start: int, pitch: Floats, phase: float) -> Floats:
    """Three harmonics of a pitch, sample by sample in Hz, faded in and out within 20 ms."""
    sound, length = np.zeros(samples), len(pitch)
    turns = 2 * np.pi * (np.cumsum(pitch) / RATE + phase)
    fade = np.minimum(1, np.minimum(np.arange(length), np.arange(length)[::-1]) / (0.02 * RATE))
    sound[start : start + length] = fade * np.sum([np.sin(k * turns) / k for k in (1, 2, 3)], axis=0)
    return sound


def _energy(sound: Floats, mel: Floats) -> Floats:
    """The energy (FRAMES, BANDS) of each frame, through a Hann window, in each band."""
    frames = np.lib.stride_tricks.sliding_window_view(sound, WINDOW)[::HOP][:FRAMES]
    power = np.abs(np.fft.rfft(frames * np.hanning(WINDOW), axis=1)) ** 2
    return np.einsum("tf,fm->tm", power, mel)


def _mel() -> Floats:
    """Triangles (WINDOW / 2 + 1, BANDS) evenly spaced in mel = 2595 log10(1 + f / 700), from 150 Hz to 3 kHz."""
    to_mel = lambda f: 2595 * np.log10(1 + f / 700)  # noqa: E731
    centres = 700 * (10 ** (np.linspace(to_mel(150), to_mel(3000), BANDS + 2) / 2595) - 1)
    frequency = np.fft.rfftfreq(WINDOW, 1 / RATE)[:, None]
    low, middle, high = centres[:-2], centres[1:-1], centres[2:]
    return np.maximum(0, np.minimum((frequency - low) / (middle - low), (high - frequency) / (high - middle)))


LENGTH, SIDE, MOVING = 12, 16, 7
"""Frames of a video; rows and columns; frames in which the shape is there and moves."""

STEPS = {"left": (0, -1), "right": (0, 1), "up": (-1, 0), "down": (1, 0)}
"""Rows and columns that a shape moves from one frame to the next, by the name of the direction."""

SHAPES = np.array([
    [[1, 1, 1], [1, 1, 1], [1, 1, 1]], [[0, 1, 0], [1, 1, 1], [0, 1, 0]], [[1, 1, 1], [1, 0, 1], [1, 1, 1]],
    [[1, 0, 1], [0, 1, 0], [1, 0, 1]],
], bool)  # fmt: skip
"""A square, a plus, a ring and a cross."""


def moving_shapes(count: int, seed: int = 0, noise: float = 0.1) -> Planted:
    """Videos (B, 12, 16, 16, 1): which way does a shape move?

    For seven frames, at a random time, a shape of 3x3 pixels is there and moves one pixel a frame, left, right, up or down,
    about a place that has nothing to do with the direction. A second shape stands still all the time. Both are 1 on a
    background of 0, and noise lies over all.

    The cause are the pixels of the moving shape in those seven frames.

    Args:
        count: The number of examples; as many of each direction, to within one.
        seed: The same seed makes the same data.
        noise: The deviation of the noise.

    Raises:
        InvalidOption: A count below 4, or negative noise.

    Example:
        >>> import pellucid as pl
        >>> made = pl.data.moving_shapes(100, seed=1)
        >>> made.data.kind, made.data.class_names, made.data.x.shape
        ('video', ('left', 'right', 'up', 'down'), (100, 12, 16, 16, 1))

    Limits:
        What a moving shape uncovers is informative too: pixels that it has just left or is about to enter are not counted
        as cause.
    """
    rng, labels = _labels(count, 4, seed, "moving shapes")
    if not noise >= 0:
        raise InvalidOption(f"noise: expected a deviation of at least 0, got {noise!r}")
    x = rng.normal(0, noise, (count, LENGTH, SIDE, SIDE)).astype(np.float32)
    cause = np.zeros(x.shape, bool)
    for i, label in enumerate(labels):
        _draw(cause[i], rng, list(STEPS.values())[label])
        still, row, column = rng.integers(len(SHAPES)), *rng.integers(SIDE - 2, size=2)
        standing = np.zeros((SIDE, SIDE), bool)
        standing[row : row + 3, column : column + 3] = SHAPES[still]
        x[i] += cause[i] | standing
    return Planted(
        Dataset(
            x[..., None], labels, kind="video", class_names=tuple(STEPS), ids=np.arange(count), name="moving shapes"
        ),
        cause[..., None],
    )


def _draw(where: Array, rng: np.random.Generator, step: tuple[int, int]) -> None:
    """Mark a shape in the frames (LENGTH, SIDE, SIDE) in which it moves."""
    shape, start = SHAPES[rng.integers(len(SHAPES))], rng.integers(LENGTH - MOVING + 1)
    middle = rng.integers(MOVING // 2, SIDE - 2 - MOVING // 2, size=2)
    for frame in range(MOVING):
        row, column = middle + (frame - MOVING // 2) * np.array(step)
        where[start + frame, row : row + 3, column : column + 3] = shape


def _labels(count: int, classes: int, seed: int, purpose: str) -> tuple[np.random.Generator, Array]:
    """A generator, and whole numbers (B,) of which each class has as many, to within one, in random order."""
    if isinstance(count, bool) or not isinstance(count, int | np.integer) or count < classes:
        raise InvalidOption(f"count: expected a whole number of at least {classes}, got {count!r}")
    rng = stream(seed, "planted", purpose)
    return rng, rng.permutation(np.arange(count) % classes)
