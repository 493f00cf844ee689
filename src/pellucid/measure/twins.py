"""Rows that are nearly the same: pure functions of arrays, bounded in memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pellucid.core.copies import arrays_of
from pellucid.errors import InvalidInput
from pellucid.shapes import Array, Floats, Inputs

CHANCE = 0.001
"""At most this share of rows may have a near neighbour by chance; see `Scale`."""

SAMPLE = 2000
"""Training rows whose nearest neighbours tell what is typical."""

DIRECTIONS = 64
"""Wider rows are searched along so many principal directions, and what is found is checked in full."""


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
    spread = fitted.std(dtype=float) if image else fitted.std(axis=0, dtype=float)
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
    varying = max(1, int(np.sum(train.std(axis=0, dtype=float) > 0)))
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
