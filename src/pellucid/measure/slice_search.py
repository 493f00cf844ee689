"""Where a model may err more than elsewhere: candidates, from some rows and their losses, that others must confirm."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pellucid.core.copies import arrays_of
from pellucid.core.dataset import Dataset
from pellucid.core.threads import one_thread
from pellucid.shapes import Array, Floats

TREES, DEPTH = 3, 3
"""Trees grown, each without the columns that the roots before it asked about, and the conditions that a slice has at most."""

CLUSTERS, DIRECTIONS = 10, 16
"""Clusters looked for, along so many principal directions of the features."""


@dataclass(frozen=True)
class Candidate:
    """A slice in words, what found it ("tree" or "cluster"), and which rows are in it (B,)."""

    description: str
    by: str
    members: Array


@dataclass(frozen=True)
class Table:
    """The columns (B, F) of a table, their names, and the names that they had before they were encoded."""

    x: Floats
    names: Sequence[str]
    origins: Sequence[str]

    def condition(self, column: int, threshold: float, above: bool) -> str:
        """One side of a threshold in words: "age <= 41.5", "sex is 1", "colour is not red"."""
        values, name, origin = self.x[:, column], self.names[column], self.origins[column]
        different = np.unique(values)
        if len(different) > 2:
            digits = (f"{threshold:.{n}g}" for n in range(3, 18))
            same = lambda text: np.array_equal(values <= float(text), values <= threshold)  # noqa: E731
            return f"{name} {'>' if above else '<='} {next((d for d in digits if same(d)), repr(threshold))}"
        if list(self.origins).count(origin) > 1:
            category = name.removeprefix(origin).lstrip(" =_:.-") or name
            return f"{origin} is {category}" if above else f"{origin} is not {category}"
        return f"{name} is {different[-1 if above else 0]:g}"


def table_of(data: Dataset) -> Table | None:
    """The columns of a table, of all its inputs; None of what has none."""
    if data.kind != "tabular":
        return None
    inputs = sorted(data.x) if isinstance(data.x, dict) else [""]
    parts, names = list[Floats](), list[str]()
    for name, array in zip(inputs, arrays_of(data.x), strict=True):
        if array.ndim <= 2:
            parts.append(_as_numbers(array.reshape(len(array), -1)))
            names += [f"{name} column {i}".strip() for i in range(parts[-1].shape[1])]
    if not parts:
        return None
    alone = not isinstance(data.x, dict)
    names = list(data.feature_names) if alone and data.feature_names else names
    return Table(np.hstack(parts), names, list(data.columns) if alone and data.columns else names)


def _as_numbers(columns: Array) -> Floats:
    """Columns (B, F) as numbers; what is none by the place of its word in the alphabet."""
    if columns.dtype.kind in "biuf":
        return columns.astype(float)
    return np.stack([np.unique(c.astype(str), return_inverse=True)[1].astype(float) for c in columns.T], axis=1)


def by_trees(table: Table, losses: Floats, taught: Array, least: int) -> Iterator[Candidate]:
    """The nodes of shallow regression trees of the loss, grown on the rows `taught` (B,).

    Source: Chung et al. 2019, arXiv:1807.06068.
    """
    from sklearn.tree import DecisionTreeRegressor

    left, x = list(range(table.x.shape[1])), table.x[taught]
    for _ in range(min(TREES, len(left))):
        tree = DecisionTreeRegressor(max_depth=DEPTH, min_samples_leaf=least, random_state=0)
        grown = tree.fit(x[:, left], losses[taught]).tree_
        if grown.node_count < 2:
            return
        for conditions in _paths(grown):
            named = {(left[c], above): threshold for (c, above), threshold in conditions.items()}
            sides = [(table.x[:, c] > t) == above for (c, above), t in named.items()]
            words = " and ".join(table.condition(c, t, above) for (c, above), t in named.items())
            yield Candidate(words, "tree", np.all(sides, axis=0))
        root = table.origins[left[grown.feature[0]]]
        left = [c for c in left if table.origins[c] != root]
        if not left:
            return


def _paths(tree: Any) -> Iterator[dict[tuple[int, bool], float]]:
    """What leads to each node but the root: a threshold for each column and side, of several the last, which is the tightest."""
    waiting: list[tuple[int, dict[tuple[int, bool], float]]] = [(0, {})]
    while waiting:
        node, conditions = waiting.pop()
        if node:
            yield conditions
        if tree.children_left[node] >= 0:
            column, threshold = int(tree.feature[node]), float(tree.threshold[node])
            for child, above in ((tree.children_left[node], False), (tree.children_right[node], True)):
                waiting.append((int(child), {**conditions, (column, above): threshold}))


def by_clusters(features: Floats, taught: Array, mixture: bool, generator: np.random.Generator) -> Iterator[Candidate]:
    """Clusters of features (B, D), found on the rows `taught` (B,), to which all rows are then given.

    Source: Eyuboglu et al. 2022, arXiv:2203.14960; without their labels and predictions, by which errors would find themselves.
    """
    from sklearn.cluster import KMeans
    from sklearn.decomposition import PCA
    from sklearn.mixture import GaussianMixture

    seed, known = int(generator.integers(2**31)), features[taught]
    count = min(CLUSTERS, len(np.unique(known, axis=0)))
    if count < 2:
        return
    with one_thread():
        axes = PCA(min(DIRECTIONS, *known.shape), svd_solver="full").fit(known)
        found = (
            GaussianMixture(
                count, covariance_type="diag", reg_covar=1e-6 + 1e-3 * float(known.var()), random_state=seed
            )
            if mixture
            else KMeans(count, n_init=3, random_state=seed)
        ).fit(axes.transform(known))
        of_rows = found.predict(axes.transform(features))
    for cluster in range(count):
        yield Candidate(f"cluster {cluster + 1}", "cluster", of_rows == cluster)


def most_suspicious(found: Sequence[Candidate], losses: Floats, taught: Array, most: int) -> list[Candidate]:
    """Of candidates with the same rows one, and of these the `most` whose losses on the rows `taught` are most surely larger.

    They are ordered by Welch's t; those that are not worse, or hold more than half of the rows, are no slices served worse.
    """
    ranked: dict[bytes, tuple[float, Candidate]] = {}
    for candidate in found:
        inside, outside = losses[taught & candidate.members], losses[taught & ~candidate.members]
        if min(len(inside), len(outside)) < 2 or len(inside) > len(outside):
            continue
        apart = inside.mean() - outside.mean()
        error = np.sqrt(inside.var(ddof=1) / len(inside) + outside.var(ddof=1) / len(outside))
        if apart > 0:
            ranked.setdefault(candidate.members.tobytes(), (float(apart / max(error, 1e-12)), candidate))
    return [c for _, c in sorted(ranked.values(), key=lambda pair: -pair[0])[:most]]
