"""Rows that are the same in two sets of data."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from pellucid.core.dataset import Dataset
from pellucid.errors import InvalidInput
from pellucid.shapes import Array, Inputs


def arrays_of(x: Inputs) -> list[Array]:
    """The arrays of inputs, one or several, in the order of their names."""
    return [np.asarray(x[name]) for name in sorted(x)] if isinstance(x, dict) else [np.asarray(x)]


def shared(first: Array | None, second: Array | None) -> Array:
    """Identifiers that occur on both sides; none where one side has none."""
    return np.array([]) if first is None or second is None else np.intersect1d(first, second)


def refuse_overlap(known: Dataset, held: Dataset, names: tuple[str, str] = ("train", "validation")) -> None:
    """Raise where examples are in both, more than copies within the known data let expect."""
    first, second = names
    if len(both := shared(known.ids, held.ids)):
        raise InvalidInput(
            f"{second}: the example {both.tolist()[0]!r} (ids) is in {first} as well; hold out examples of their own"
        )
    inside, outside = digests(known.x, held.x)
    seen, again = set(inside), len(inside) - len(set(inside))
    copies = sum(row in seen for row in outside)
    expected = len(outside) * min(1.0, 2 * again / len(inside))
    if copies > expected + 3 * np.sqrt(expected) + 0.01 * len(outside):
        what = {"train": "training examples"}.get(first, f"{first} examples")
        raise InvalidInput(
            f"{second}: {copies} of its {len(outside)} examples are copies of {what} ({first} has {again} copies "
            "within itself); what is stopped, chosen or judged by them would look too good: hold out examples of their own"
        )


def digests(first: Inputs, second: Inputs) -> tuple[list[bytes], list[bytes]]:
    """Sixteen bytes for each row of two sets: equal exactly where the rows hold equal numbers (or text).

    The coarser type of the two decides what is equal; -0.0 equals 0.0.
    """
    sides: tuple[list[Array], list[Array]] = ([], [])
    for one, two in zip(arrays_of(first), arrays_of(second), strict=True):
        kind = _coarser(one, two)
        for side, array in zip(sides, (one, two), strict=True):
            flat = array.reshape(len(array), -1).astype(kind)
            side.append(np.ascontiguousarray(flat + 0.0 if flat.dtype.kind == "f" else flat))  # -0.0 + 0.0 is 0.0
    return _hashed(sides[0]), _hashed(sides[1])


def _coarser(one: Array, two: Array) -> np.dtype:
    kinds = one.dtype.kind, two.dtype.kind
    if any(k not in "biuf" for k in kinds):
        return np.result_type(one.astype(str), two.astype(str))
    if "f" not in kinds:
        return np.dtype(np.int64)
    reals = [a.dtype for a in (one, two) if a.dtype.kind == "f"]
    return min(reals, key=lambda d: d.itemsize)


def _hashed(parts: Sequence[Array]) -> list[bytes]:
    found = []
    for row in range(len(parts[0])):
        digest = hashlib.blake2b(digest_size=16)
        for part in parts:
            digest.update(part[row].tobytes())
        found.append(digest.digest())
    return found
