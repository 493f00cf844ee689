"""Rows that are the same, or nearly: pure functions of arrays, bounded in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pellucid.errors import InvalidInput
from pellucid.shapes import Array, Floats, Inputs

CHANCE = 0.001
"""At most this share of rows may have a near neighbour by chance; see `Scale`."""

SAMPLE = 2000
"""Training rows whose nearest neighbours tell what is typical."""

DIRECTIONS = 64
"""Wider rows are searched along so many principal directions, and what is found is checked in full."""


def arrays_of(x: Inputs) -> list[Array]:
    """The arrays of inputs, one or several, in the order of their names."""
    return [np.asarray(x[name]) for name in sorted(x)] if isinstance(x, dict) else [np.asarray(x)]


def shared(first: Array | None, second: Array | None) -> Array:
    """Identifiers that occur on both sides; none where one side has none."""
    return np.array([]) if first is None or second is None else np.intersect1d(first, second)


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


@dataclass(frozen=True)
class Scale:
    """What near means: the typical distance to the nearest other training row, and the distance that counts as near.

    Among rows strewn at random in F columns, a share ln 2 a^F has a neighbour within a times the median distance; in few
    columns that is a lot, so a is lowered until it is at most `CHANCE`.
    """

    typical: float
    limit: float
    fraction: float


def standardised(train: Inputs, test: Inputs, image: bool) -> tuple[Floats, Floats]:
    """Rows as vectors: table columns in units of their training standard deviation, images in units of all pixels'.

    Columns that never vary in training keep their units.

    Raises:
        InvalidInput: NaN or infinity; names the row.
    """
    sides = []
    for name, x in (("train", train), ("test", test)):
        flat = np.concatenate([a.reshape(len(a), -1).astype(np.float32) for a in arrays_of(x)], axis=1)
        if not np.isfinite(flat).all():
            row = int(np.flatnonzero(~np.isfinite(flat).all(axis=1))[0])
            raise InvalidInput(f"{name}: row {row} holds NaN or infinity; impute or drop it before looking for twins")
        sides.append(flat)
    fitted, other = sides
    spread = fitted.std() if image else fitted.std(axis=0)
    spread = np.where(spread > 0, spread, 1).astype(np.float32)
    middle = fitted.mean(axis=0)
    return (fitted - middle) / spread, (other - middle) / spread


def scale(train: Floats, near: float, generator: np.random.Generator) -> Scale:
    """What near means for standardised training rows; see `Scale`. Identical rows do not count as neighbours."""
    from sklearn.neighbors import NearestNeighbors

    rows = generator.permutation(len(train))[:SAMPLE]
    distance = NearestNeighbors(n_neighbors=min(6, len(train))).fit(train).kneighbors(train[rows])[0]
    size = 1e-4 * max(1.0, float(np.sqrt(train.shape[1])))  # below this, rounding
    apart = np.where(distance > size, distance, np.inf).min(axis=1)
    typical = float(np.median(apart[np.isfinite(apart)])) if np.isfinite(apart).any() else 0.0
    varying = max(1, int(np.sum(train.std(axis=0) > 0)))
    fraction = min(near, float((CHANCE / np.log(2)) ** (1 / varying)))
    return Scale(typical, fraction * typical, fraction)


def nearest(train: Floats, test: Floats, generator: np.random.Generator) -> tuple[Floats, Array]:
    """For each test row the distance to its nearest training row, and which it is.

    Wide rows are projected on orthonormal directions, which only ever shortens a distance; the five nearest there are
    measured in full, so a twin is found unless five others look nearer along every direction kept. The directions are about
    the principal ones (Halko, Martinsson and Tropp 2011, doi:10.1137/090771806): any would do, exact ones take far longer.
    """
    from sklearn.neighbors import NearestNeighbors
    from sklearn.utils.extmath import randomized_svd

    here, there = train, test
    if train.shape[1] > DIRECTIONS:
        sample = train[generator.permutation(len(train))[:SAMPLE]]
        count, seed = min(DIRECTIONS, *sample.shape), int(generator.integers(2**31))
        axes = randomized_svd(sample - sample.mean(axis=0), count, n_iter=2, random_state=seed)[2].T
        here, there = train @ axes, test @ axes
    found = NearestNeighbors(n_neighbors=min(5, len(train))).fit(here).kneighbors(there, return_distance=False)
    best, which = np.full(len(test), np.inf), np.zeros(len(test), dtype=int)
    for column in found.T:
        for start in range(0, len(test), 4096):
            part = slice(start, start + 4096)
            distance = np.sqrt(np.sum((train[column[part]] - test[part]) ** 2, axis=1, dtype=float))
            closer = distance < best[part]
            best[part] = np.where(closer, distance, best[part])
            which[part] = np.where(closer, column[part], which[part])
    return best, which
