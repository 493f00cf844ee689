"""One seed in, independent streams out, and the world's random state left as it was found."""

from __future__ import annotations

import random
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from pellucid import _backend
from pellucid.errors import InvalidInput


def check_seed(seed: int) -> int:
    """Give the seed back as an int, or say what a seed is."""
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise InvalidInput(f"seed: expected a whole number of at least 0, got {seed!r}")
    return int(seed)


def stream(seed: int, *purpose: str | int) -> np.random.Generator:
    """A generator of its own for one purpose, named by words and numbers; the same names give the same numbers."""
    words = [zlib.crc32(str(p).encode()) for p in purpose]
    return np.random.default_rng(np.random.SeedSequence([check_seed(seed), *words]))


def some(count: int, most: int | None, generator: np.random.Generator) -> np.ndarray:
    """Row numbers in order: all of so many, or `most` of them at random.

    Example:
        >>> some(3, 5, stream(0)).tolist(), len(some(1000, 5, stream(0)))
        ([0, 1, 2], 5)
    """
    return np.arange(count) if most is None or count <= most else np.sort(generator.permutation(count)[:most])


@contextmanager
def seeded(seed: int, *purpose: str | int) -> Iterator[None]:
    """Seed Python, NumPy, Keras and the framework for a block, and restore all of their states after it.

    Training needs this: initializers, shuffling and dropout draw from global generators.
    """
    from keras.src.backend.common import global_state

    backend = _backend.current()
    before = random.getstate(), np.random.get_state(), backend.random_state()
    names = ("global_seed_generator", "global_random_seed")  # the second seeds the first when it is made
    keras_before = [global_state.get_global_attribute(name) for name in names]
    generator = keras_before[0]
    drawn = None if generator is None else np.array(generator.state.value)
    number = int(stream(seed, "global", *purpose).integers(2**31))
    try:
        random.seed(number)
        np.random.seed(number)
        backend.seed(number)
        for name, value in zip(names, (None, number), strict=True):
            global_state.set_global_attribute(name, value)
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
        backend.set_random_state(before[2])
        for name, value in zip(names, keras_before, strict=True):
            global_state.set_global_attribute(name, value)
        if generator is not None:
            generator.state.assign(drawn)
