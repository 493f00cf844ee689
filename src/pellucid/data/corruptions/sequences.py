"""What goes wrong with sequences (B, T, F): sensors that are noisy, fall out, run late, drift or die.

Units are those of the training data: each channel's mean and standard deviation over all its steps.
"""

from __future__ import annotations

import numpy as np

from pellucid.data.corruptions.base import Corruption, Reference, by_row, level, real, typed
from pellucid.errors import InvalidInput
from pellucid.shapes import Array


def sensor_noise(x: Array, severity: int, generator: np.random.Generator, reference: Reference) -> Array:
    """Gaussian noise of 0.1, 0.2, 0.3, 0.5 or 1 training standard deviations of each channel."""
    spread = level(severity, (0.1, 0.2, 0.3, 0.5, 1.0)) * reference.spread
    return typed(_steps(x) + spread * generator.standard_normal(x.shape, dtype=np.float32), x)


def dropout(x: Array, severity: int, generator: np.random.Generator, reference: Reference) -> Array:
    """One span of 5, 10, 20, 30 or 50 % of the steps, anywhere, in which every channel is at its training mean."""
    count = x.shape[1]
    length = max(1, round(level(severity, (0.05, 0.1, 0.2, 0.3, 0.5)) * count))
    start = (generator.random(len(x)) * (count - length + 1)).astype(int)[:, None]
    lost = (np.arange(count) >= start) & (np.arange(count) < start + length)
    return typed(np.where(lost[..., None], reference.mean, _steps(x)), x)


def time_warp(x: Array, severity: int, generator: np.random.Generator, reference: Reference) -> Array:
    """The middle comes early or late, by chance, by 3, 6, 10, 15 or 20 % of the length; the ends stay, values between steps
    are interpolated. The delay is half a wave of a sine, so that time never runs backwards."""
    last = x.shape[1] - 1
    bulge = level(severity, (0.03, 0.06, 0.1, 0.15, 0.2)) * last * np.sin(np.pi * np.arange(last + 1) / max(1, last))
    late = np.where(generator.random(len(x)) < 0.5, 1, -1)[:, None]
    at = np.clip(np.arange(last + 1) + late * bulge, 0, last)
    before = np.minimum(at.astype(int), max(0, last - 1))
    part = (at - before)[..., None]
    after = np.minimum(before + 1, last)
    pick = lambda steps: np.take_along_axis(_steps(x), steps[..., None], axis=1)  # noqa: E731
    return typed((1 - part) * pick(before) + part * pick(after), x)


def drift(x: Array, severity: int, generator: np.random.Generator, reference: Reference) -> Array:
    """A straight trend in every channel, from 0 to a normal number of 0.25, 0.5, 1, 1.5 or 2 training standard deviations."""
    steps = _steps(x)
    end = level(severity, (0.25, 0.5, 1.0, 1.5, 2.0)) * generator.standard_normal((len(x), 1, x.shape[2]))
    return typed(steps + np.linspace(0, 1, x.shape[1])[:, None] * end * reference.spread, x)


def dead_channel(x: Array, severity: int, generator: np.random.Generator, reference: Reference) -> Array:
    """One channel, drawn, is at its training mean for the last 20, 40, 60, 80 or 100 % of the steps."""
    steps, length = _steps(x), max(1, round(level(severity, (0.2, 0.4, 0.6, 0.8, 1.0)) * x.shape[1]))
    dead = (generator.random(len(x)) * x.shape[2]).astype(int)
    gone = np.arange(x.shape[1])[:, None] >= x.shape[1] - length
    lost = gone & (by_row(dead, x) == np.arange(x.shape[2]))
    return typed(np.where(lost, reference.mean, steps), x)


def _steps(x: Array) -> Array:
    if x.ndim != 3:
        raise InvalidInput(f"corruptions of sequences take (B, T, F), got {x.shape}")
    return real(x)


SEQUENCE: dict[str, Corruption] = {
    "noise": sensor_noise, "dropout": dropout, "warp": time_warp, "drift": drift, "dead": dead_channel,
}  # fmt: skip
