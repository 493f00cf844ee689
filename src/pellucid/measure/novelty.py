"""Scores of how familiar a row is to a model, large for rows like those it learned from: pure functions of its answers.

Notation: z (B, K) logits; h (B, D) features, the inputs of the last layer, whose weights are W (D, K) and b (K,).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pellucid.shapes import Array, Floats

NEIGHBOURS = 50
"""Which nearest training row counts, of 1,000 and more; of fewer, a twentieth."""


@dataclass(frozen=True)
class Known:
    """What the training rows look like to the model.

    Attributes:
        features: Their features (B, D).
        logits: Their logits (B, K).
        labels: Their classes (B,).
        kernel: The weights of the last layer (D, K).
        bias: Its biases (K,).
    """

    features: Floats
    logits: Floats
    labels: Array
    kernel: Floats
    bias: Floats

    @cached_property
    def spread(self) -> tuple[Floats, Floats]:
        """The means of the classes (K, D), and a matrix (D, D) that makes their common covariance the identity.

        Directions in which the training rows do not differ at all are left out.
        """
        classes, index = np.unique(self.labels, return_inverse=True)
        means = np.stack([self.features[index == k].mean(axis=0) for k in range(len(classes))])
        centred = self.features - means[index]
        values, vectors = np.linalg.eigh(centred.T @ centred / len(centred))
        kept = values > 1e-10 * max(values[-1], 1e-300)
        return means, vectors[:, kept] / np.sqrt(values[kept])

    @cached_property
    def outside(self) -> tuple[Floats, Floats, float]:
        """Where features have no effect on the logits (D,), the directions (D, R) training rows hardly use, and ViM's scale."""
        origin = -np.linalg.pinv(self.kernel.T) @ self.bias
        centred, size = self.features - origin, self.features.shape[1]
        used = 1000 if size >= 2048 else 512 if size >= 768 else size // 2
        _, vectors = np.linalg.eigh(centred.T @ centred / len(centred))  # rising
        unused = vectors[:, : size - used]
        left = np.linalg.norm(centred @ unused, axis=1).mean()
        return origin, unused, float(self.logits.max(axis=1).mean() / max(left, 1e-12))


def softmax(known: Known | None, logits: Floats, features: Floats | None) -> Floats:
    """The largest class probability.

    Source: Hendrycks and Gimpel 2017, arXiv:1610.02136.
    """
    del known, features
    return np.exp(logits.max(axis=1) - _log_sum(logits))


def energy(known: Known | None, logits: Floats, features: Floats | None) -> Floats:
    """log sum_k exp z_k.

    Source: Liu et al. 2020, arXiv:2010.03759.
    """
    del known, features
    return _log_sum(logits)


def mahalanobis(known: Known, logits: Floats, features: Floats) -> Floats:
    """- min_k (h - mean_k)^T C^-1 (h - mean_k), C the covariance within classes.

    Source: Lee et al. 2018, arXiv:1807.03888; at the last features alone, without noise added to the inputs.
    """
    del logits
    means, whiten = known.spread
    rows, centres = features @ whiten, means @ whiten
    square = (rows**2).sum(axis=1)[:, None] - 2 * rows @ centres.T + (centres**2).sum(axis=1)
    return -square.min(axis=1)


def nearest(known: Known, logits: Floats, features: Floats) -> Floats:
    """Minus the distance to the k-th nearest training row, features being scaled to length 1.

    Source: Sun et al. 2022, arXiv:2204.06507.
    """
    from sklearn.neighbors import NearestNeighbors

    del logits
    count = int(np.clip(len(known.features) // 20, 1, NEIGHBOURS))
    unit = lambda h: h / np.maximum(np.linalg.norm(h, axis=1, keepdims=True), 1e-12)  # noqa: E731
    found = NearestNeighbors(n_neighbors=count).fit(unit(known.features))
    return -found.kneighbors(unit(features))[0][:, -1]


def vim(known: Known, logits: Floats, features: Floats) -> Floats:
    """log sum_k exp z_k minus the scaled length of h in directions that training rows hardly use.

    Source: Wang et al. 2022, arXiv:2203.10807.
    """
    origin, unused, scale = known.outside
    return _log_sum(logits) - scale * np.linalg.norm((features - origin) @ unused, axis=1)


def _log_sum(logits: Floats) -> Floats:
    from scipy.special import logsumexp

    return logsumexp(logits, axis=1)


SCORES: dict[str, Callable[..., Floats]] = {
    "softmax": softmax,
    "energy": energy,
    "mahalanobis": mahalanobis,
    "nearest": nearest,
    "vim": vim,
}
"""Every score by its name."""

OF_FEATURES = ("mahalanobis", "nearest", "vim")
"""Those that need the features of training rows."""
