"""Work in chunks: memory bounded, nothing retraced, sizes found by measuring.

A *step* is a compiled function of arrays that start with the examples; inside, it may make several rows of each example
(points on a path, masked copies). A chunk holds as many examples as keep those rows within the size.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pellucid.shapes import Array

COMFORTABLE = 64 * 2**20
"""Bytes of activations in a first-guess chunk: where larger ones no longer gained anything on two cores."""

CEILING = 512 * 2**20
"""Bytes of activations that a chunk never exceeds."""

Step = Callable[..., Any]


class ChunkSizes:
    """Rows a step, by kind of step; measured at the first use that is long enough to pay for it."""

    def __init__(self, row_bytes: int, comfortable: int = COMFORTABLE) -> None:
        self._guess, usual = (int(np.clip(size // max(1, row_bytes), 16, 8192)) for size in (comfortable, COMFORTABLE))
        self._long = 16 * usual
        self._ceiling = max(1, CEILING // max(1, row_bytes))
        self._found: dict[Any, int] = {}

    def rows(self, kind: Any, step: Step, examples: Sequence[Array], each: int) -> int:
        """Rows a chunk for this kind of step, each example making `each` rows."""
        guess = min(self._guess, self._ceiling)
        if kind not in self._found and len(examples[0]) * each >= self._long:
            self._found[kind] = self._measure(step, examples, each, guess)
        return self._found.get(kind, guess)

    def _measure(self, step: Step, examples: Sequence[Array], each: int, guess: int) -> int:
        """Double the size for as long as rows a second rise by a twentieth or more."""
        best, best_rate, size = guess, 0.0, max(1, guess // 2)
        while size <= self._ceiling and size <= len(examples[0]) * each:
            count = max(1, size // each)
            part = [a[:count] for a in examples]
            step(*part)  # traces, and wakes the caches
            start = time.perf_counter()
            step(*part)
            rate = count * each / (time.perf_counter() - start)
            if rate < 1.05 * best_rate:
                break
            best, best_rate, size = size, rate, size * 2
        return best


def run(step: Step, examples: Sequence[Array], each: int, rows: int, *, pad: bool) -> Any:
    """Apply a step chunk by chunk and join what it gives along the examples.

    Args:
        step: Takes the arrays of one chunk; gives an array or a tuple of arrays, examples first.
        examples: Arrays (B, ...).
        each: Rows the step makes of one example.
        rows: Rows a chunk may hold.
        pad: Whether to keep to few sizes, each of which is compiled: powers of two, a ragged end filled up with its last row.
    """
    count, size = len(examples[0]), max(1, rows // each)
    size = 1 << (size.bit_length() - 1) if pad else -(-count // -(-count // size))  # or: no small chunk is left over
    wholes: list[Array] = []
    result: Any = ()
    for start in range(0, count, size):
        chunk = [a[start : start + size] for a in examples]
        real = len(chunk[0])
        if pad and real < size:
            full = min(size, 1 << (real - 1).bit_length())
            chunk = [np.concatenate([c, np.repeat(c[-1:], full - real, axis=0)]) for c in chunk]
        result = step(*chunk)
        parts = [part[:real] for part in (result if isinstance(result, tuple) else (result,))]
        if real == count:
            wholes = parts
        else:  # copied once, into place: what a framework gives may be its own memory
            wholes = wholes or [np.empty((count, *part.shape[1:]), part.dtype) for part in parts]
            for whole, part in zip(wholes, parts, strict=True):
                whole[start : start + real] = part
    return tuple(wholes) if isinstance(result, tuple) else wholes[0]
