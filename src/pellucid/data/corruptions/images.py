"""What goes wrong with images (B, H, W, C): sensors, lenses, weather, files and where the camera stood.

Any number of channels and any range of values: what is in units of the range is scaled by that of the training data, and
values stay within it (and within the image's own, where that is wider).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pellucid.data.corruptions.base import Corruption, Reference, by_row, level, real, typed
from pellucid.shapes import Array, Floats

DIRECTIONS = 8
"""Directions in which a camera may move, over half a turn."""


def _as_image(found: Array, x: Array, reference: Reference) -> Array:
    """Values kept within the range of the data (of training and of the image), in the type they came in."""
    low, high = x.min(axis=(1, 2, 3)), x.max(axis=(1, 2, 3))
    ends = (np.minimum(reference.low, low), np.maximum(reference.high, high))
    return typed(np.clip(found, *(by_row(end, x) for end in ends)), x)


def _range(reference: Reference) -> float:
    return reference.high - reference.low or 1.0


# -- sensors -------------------------------------------------------------------------------------------------------


def pixel_noise(x: Array, severity: int, generator: np.random.Generator, reference: Reference) -> Array:
    """Gaussian noise of 0.08, 0.12, 0.18, 0.26 or 0.38 of the value range on every pixel."""
    spread = level(severity, (0.08, 0.12, 0.18, 0.26, 0.38)) * _range(reference)
    return _as_image(x + spread * generator.standard_normal(x.shape, dtype=np.float32), x, reference)


def shot_noise(x: Array, severity: int, generator: np.random.Generator, reference: Reference) -> Array:
    """Light that comes in photons: 60, 25, 12, 5 or 3 of them make the highest value, each pixel's number Poisson."""
    photons = level(severity, (60, 25, 12, 5, 3))
    light = np.clip((real(x) - reference.low) / _range(reference), 0, None) * photons
    counts = [draws.poisson(row) for draws, row in zip(generator.spawn(len(x)), light, strict=True)]
    return _as_image(reference.low + np.stack(counts) / photons * _range(reference), x, reference)


def impulse_noise(x: Array, severity: int, generator: np.random.Generator, reference: Reference) -> Array:
    """3, 6, 9, 17 or 27 % of the values are the lowest or the highest there is, by chance."""
    share, drawn = level(severity, (0.03, 0.06, 0.09, 0.17, 0.27)), generator.random(x.shape, dtype=np.float32)
    found = np.where(drawn < share / 2, reference.low, np.where(drawn < share, reference.high, x))
    return _as_image(found, x, reference)


# -- lenses --------------------------------------------------------------------------------------------------------


def blur(x: Array, severity: int, generator: np.random.Generator, reference: Reference) -> Array:
    """Gaussian blur of 0.1, 0.15, 0.2, 0.3 or 0.4 times the root of the shorter side, in pixels (28 pixels: 0.5 to 2.1)."""
    from scipy.ndimage import gaussian_filter

    width = level(severity, (0.1, 0.15, 0.2, 0.3, 0.4)) * np.sqrt(min(x.shape[1:3]))
    return _as_image(gaussian_filter(real(x), (0, width, width, 0), mode="nearest"), x, reference)


def motion(x: Array, severity: int, generator: np.random.Generator, reference: Reference) -> Array:
    """Smeared along a line of 5, 8, 12, 16 or 24 % of the shorter side, beyond the pixel itself; its direction is drawn."""
    length = level(severity, (0.05, 0.08, 0.12, 0.16, 0.24)) * min(x.shape[1:3])
    way, found = (generator.random(len(x)) * DIRECTIONS).astype(int), real(x).copy()
    for i in range(DIRECTIONS):
        found[way == i] = _convolved(found[way == i], line(length, np.pi * i / DIRECTIONS))
    return _as_image(found, x, reference)


def defocus(x: Array, severity: int, generator: np.random.Generator, reference: Reference) -> Array:
    """Every point a disc of radius 0.2, 0.3, 0.4, 0.6 or 0.8 times the root of the shorter side, in pixels."""
    radius = level(severity, (0.2, 0.3, 0.4, 0.6, 0.8)) * np.sqrt(min(x.shape[1:3]))
    return _as_image(_convolved(real(x), disc(radius)), x, reference)


def line(length: float, angle: float) -> Floats:
    """A kernel (S, S) that smears evenly along a line of so many pixels; it sums to 1."""
    reach = int(np.ceil(length / 2)) + 1
    along = ((np.arange(16 * reach) + 0.5) / (16 * reach) - 0.5) * length
    at = np.arange(-reach, reach + 1)
    rows, columns = (np.clip(1 - np.abs(at[:, None] - along * way), 0, 1) for way in (np.sin(angle), np.cos(angle)))
    return rows @ columns.T / len(along)  # each point of the line shared among the four pixels around it


def disc(radius: float, parts: int = 31) -> Floats:
    """A kernel (S, S) that smears evenly over a disc of so many pixels: the share of each pixel inside it; it sums to 1."""
    reach = int(np.ceil(radius))
    at = (np.arange((2 * reach + 1) * parts) + 0.5) / parts - reach - 0.5
    inside = np.add.outer(at**2, at**2) <= max(radius, 0.5) ** 2
    kernel = inside.reshape(2 * reach + 1, parts, 2 * reach + 1, parts).mean(axis=(1, 3))
    return kernel / kernel.sum()


def _convolved(x: Array, kernel: Floats) -> Array:
    from scipy.ndimage import convolve

    return convolve(x, kernel[None, :, :, None].astype(x.dtype), mode="nearest")


# -- weather and light ---------------------------------------------------------------------------------------------


def fog(x: Array, severity: int, generator: np.random.Generator, reference: Reference) -> Array:
    """15, 30, 40, 50 or 65 % of the light is fog's: 0.7 to 1 of the value range, in drifts an eighth of a side wide."""
    from scipy.ndimage import gaussian_filter

    share = level(severity, (0.15, 0.3, 0.4, 0.5, 0.65))
    drifts = generator.standard_normal((*x.shape[:3], 1), dtype=np.float32)
    drifts = gaussian_filter(drifts, (0, x.shape[1] / 8, x.shape[2] / 8, 0), mode="wrap")
    low, high = (end(drifts, axis=(1, 2), keepdims=True) for end in (np.min, np.max))
    light = 0.7 + 0.3 * (drifts - low) / np.maximum(high - low, 1e-12)
    return _as_image((1 - share) * real(x) + share * (reference.low + _range(reference) * light), x, reference)


def brightness(x: Array, severity: int, generator: np.random.Generator, reference: Reference) -> Array:
    """0.1, 0.2, 0.3, 0.4 or 0.5 of the value range more, or less, by chance, on all of an image."""
    more = level(severity, (0.1, 0.2, 0.3, 0.4, 0.5)) * _range(reference)
    return _as_image(real(x) + by_row(np.where(generator.random(len(x)) < 0.5, more, -more), x), x, reference)


def contrast(x: Array, severity: int, generator: np.random.Generator, reference: Reference) -> Array:
    """Deviations from each image's mean, channel by channel, shrunk to 0.75, 0.5, 0.4, 0.3 or 0.15 of their size."""
    kept = level(severity, (0.75, 0.5, 0.4, 0.3, 0.15))
    mean = real(x).mean(axis=(1, 2), keepdims=True)
    return _as_image(mean + kept * (x - mean), x, reference)


# -- files ---------------------------------------------------------------------------------------------------------


def pixelate(x: Array, severity: int, generator: np.random.Generator, reference: Reference) -> Array:
    """Shrunk to 0.6, 0.5, 0.4, 0.3 or 0.25 of each side, by averages of blocks, and enlarged again."""
    kept, found = level(severity, (0.6, 0.5, 0.4, 0.3, 0.25)), real(x)
    for axis in (1, 2):
        size = x.shape[axis]
        block = np.arange(size) * max(1, round(kept * size)) // size
        starts, counts = np.unique(block, return_index=True, return_counts=True)[1:]
        sums = np.add.reduceat(found, starts, axis=axis)
        found = (sums / np.expand_dims(counts, tuple({0, 1, 2, 3} - {axis}))).take(block, axis=axis)
    return _as_image(found, x, reference)


def jpeg(x: Array, severity: int, generator: np.random.Generator, reference: Reference) -> Array:
    """Compressed as JPEG of quality 25, 18, 15, 10 or 7: three channels as colours, any other number one by one."""
    quality = int(level(severity, (25, 18, 15, 10, 7)))
    bytes_ = np.clip(np.rint((real(x) - reference.low) / _range(reference) * 255), 0, 255).astype(np.uint8)
    if x.shape[-1] == 3:
        found = np.stack([_compressed(image, quality) for image in bytes_])
    else:
        planes = np.moveaxis(bytes_, -1, 1).reshape(-1, *x.shape[1:3])
        done = np.stack([_compressed(plane, quality) for plane in planes])
        found = np.moveaxis(done.reshape(len(x), x.shape[-1], *x.shape[1:3]), 1, -1)
    return _as_image(reference.low + found / 255 * _range(reference), x, reference)


def _compressed(image: Array, quality: int) -> Array:
    from io import BytesIO

    from PIL import Image  # which scikit-image and matplotlib bring

    file = BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


def posterize(x: Array, severity: int, generator: np.random.Generator, reference: Reference) -> Array:
    """Every value the nearest of 16, 8, 6, 4 or 2, evenly spread over the range."""
    steps = level(severity, (16, 8, 6, 4, 2)) - 1
    share = (real(x) - reference.low) / _range(reference)
    return _as_image(reference.low + np.rint(share * steps) / steps * _range(reference), x, reference)


# -- where the camera stood ----------------------------------------------------------------------------------------


def rotation(x: Array, severity: int, generator: np.random.Generator, reference: Reference) -> Array:
    """Turned by 5, 10, 15, 20 or 30 degrees, left or right by chance; the border is continued outwards."""
    angle = np.radians(level(severity, (5, 10, 15, 20, 30)))
    cos, sin = np.cos(angle), np.sin(angle)
    turns = [np.array([[cos, s], [-s, cos]]) for s in (sin, -sin)]
    return _as_image(_moved(x, generator, turns), x, reference)


def translation(x: Array, severity: int, generator: np.random.Generator, reference: Reference) -> Array:
    """Moved by 4, 8, 12, 16 or 24 % of each side, up or down and left or right by chance; the border is continued outwards."""
    shift = level(severity, (0.04, 0.08, 0.12, 0.16, 0.24)) * np.array(x.shape[1:3])
    ways = [shift * way for way in ((1, 1), (1, -1), (-1, 1), (-1, -1))]
    return _as_image(_moved(x, generator, [np.eye(2)] * 4, ways), x, reference)


def scale(x: Array, severity: int, generator: np.random.Generator, reference: Reference) -> Array:
    """Enlarged or shrunk, by chance, 1.1, 1.2, 1.3, 1.4 or 1.6 times; the border is continued outwards."""
    factor = level(severity, (1.1, 1.2, 1.3, 1.4, 1.6))
    return _as_image(_moved(x, generator, [np.eye(2) / factor, np.eye(2) * factor]), x, reference)


def shear(x: Array, severity: int, generator: np.random.Generator, reference: Reference) -> Array:
    """Each row moved by 0.1, 0.2, 0.3, 0.4 or 0.5 times its distance from the middle, left or right by chance."""
    slope = level(severity, (0.1, 0.2, 0.3, 0.4, 0.5))
    return _as_image(_moved(x, generator, [np.array([[1, 0], [s, 1]]) for s in (slope, -slope)]), x, reference)


def _moved(x: Array, generator: np.random.Generator, maps: Sequence[Floats], shifts: Sequence[Floats] = ()) -> Array:
    """Every image by one of the maps, drawn: pixel p of the result is pixel M (p - c) + c - shift of the image, c its middle."""
    from scipy.ndimage import affine_transform

    middle, found = (np.array(x.shape[1:3]) - 1) / 2, real(x).copy()
    way = (generator.random(len(x)) * len(maps)).astype(int)
    for i, row in enumerate(found):
        turn = maps[way[i]]
        offset = middle - turn @ middle - (shifts[way[i]] if len(shifts) else 0)
        for c in range(x.shape[-1]):
            row[..., c] = affine_transform(row[..., c], turn, offset, order=1, mode="nearest")
    return found


IMAGE: dict[str, Corruption] = {
    "noise": pixel_noise, "shot": shot_noise, "impulse": impulse_noise, "blur": blur, "motion": motion,
    "defocus": defocus, "fog": fog, "brightness": brightness, "contrast": contrast, "pixelate": pixelate, "jpeg": jpeg,
    "posterize": posterize, "rotation": rotation, "translation": translation, "scale": scale, "shear": shear,
}  # fmt: skip
