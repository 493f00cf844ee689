"""What goes wrong with sound (B, T) or (B, T, channels): noise, level, overload and a narrow line.

Units are those of each clip itself: its own power and its own peak.
"""

from __future__ import annotations

import numpy as np

from pellucid.data.corruptions.base import Corruption, Reference, by_row, level, real, typed
from pellucid.shapes import Array, Floats


def white_noise(x: Array, severity: int, generator: np.random.Generator, reference: Reference) -> Array:
    """White noise at a signal-to-noise ratio of 30, 20, 10, 5 or 0 dB of each clip's own power; silence stays silent."""
    ratio = 10 ** (-level(severity, (30, 20, 10, 5, 0)) / 20)
    loudness = np.sqrt(np.mean(np.square(real(x), dtype=np.float64), axis=_within(x), keepdims=True))
    return typed(x + ratio * loudness * generator.standard_normal(x.shape, dtype=np.float32), x)


def gain(x: Array, severity: int, generator: np.random.Generator, reference: Reference) -> Array:
    """Louder or softer, by chance, by 3, 6, 12, 18 or 24 dB; nothing is cut off where the type has room for it."""
    decibels = np.where(generator.random(len(x)) < 0.5, 1, -1) * level(severity, (3, 6, 12, 18, 24))
    return typed(real(x) * by_row(10 ** (decibels / 20), x), x)


def clipping(x: Array, severity: int, generator: np.random.Generator, reference: Reference) -> Array:
    """Overloaded: all beyond 0.7, 0.5, 0.3, 0.2 or 0.1 of each clip's own peak is cut off."""
    peak = level(severity, (0.7, 0.5, 0.3, 0.2, 0.1)) * np.abs(real(x)).max(axis=_within(x), keepdims=True)
    return typed(np.clip(real(x), -peak, peak), x)


def band_loss(x: Array, severity: int, generator: np.random.Generator, reference: Reference) -> Array:
    """Nothing is heard above 0.7, 0.5, 0.35, 0.25 or 0.15 of the highest frequency (half the sampling rate)."""
    return typed(low_pass(real(x), level(severity, (0.7, 0.5, 0.35, 0.25, 0.15))), x)


def low_pass(x: Floats, edge: float, order: int = 6) -> Floats:
    """A Butterworth filter along the axis of time, forwards and backwards: 6 dB less at the edge, and no delay."""
    from scipy.signal import butter, sosfiltfilt

    sections = butter(order, edge, output="sos")
    return sosfiltfilt(sections, x, axis=1, padlen=min(3 * (2 * len(sections) + 1), x.shape[1] - 1))


def _within(x: Array) -> tuple[int, ...]:
    return tuple(range(1, x.ndim))


AUDIO: dict[str, Corruption] = {"noise": white_noise, "gain": gain, "clipping": clipping, "band": band_loss}
