"""Temperature, scales and offsets of logits with the least mean log loss on given rows."""

from __future__ import annotations

import warnings

import numpy as np

from pellucid.errors import NotApplicable
from pellucid.shapes import Array, Floats

RANGE = (0.01, 100.0)
"""Where a temperature is looked for."""

LARGEST = 1e4
"""The largest scale that is believed: beyond it there is none, for the rows can be told apart without error."""


def log_loss(z: Floats, y: Array) -> tuple[float, Floats]:
    """The mean of -log p[label] of logits (N, K), and its gradient by them; one column is the log-odds of class 1."""
    from scipy.special import expit, log_softmax, softmax

    if z.shape[1] == 1:
        odds, yes = z[:, 0], y == 1
        return float(np.mean(np.logaddexp(0, np.where(yes, -odds, odds)))), (expit(odds) - yes)[:, None] / len(y)
    rows = np.arange(len(y))
    slope = softmax(z, axis=1)
    slope[rows, y] -= 1
    return float(-np.mean(log_softmax(z, axis=1)[rows, y])), slope / len(y)


def temperature(z: Floats, y: Array) -> float:
    """T with the least mean log loss of z / T, z (N, K); looked for by its logarithm, of which the loss has one minimum.

    The loss is convex in 1 / T, so it has one minimum in log T as well.
    """
    from scipy.optimize import minimize_scalar

    ends = tuple(np.log(RANGE))
    found = minimize_scalar(
        lambda t: log_loss(z * np.exp(-t), y)[0], bounds=ends, method="bounded", options={"xatol": 1e-9}
    )
    if min(abs(found.x - end) for end in ends) < 1e-3:
        why = "every row is right" if found.x < 0 else "the logits say nothing of the labels"
        warnings.warn(
            f"TemperatureScaling: no temperature is the best on these validation rows, for {why}; {np.exp(found.x):.3g} is "
            "taken, the end of the search; hold out more rows",
            stacklevel=2,
        )
    return float(np.exp(found.x))


def scales(asking: object, z: Floats, y: Array, *, matrix: bool = False) -> tuple[Floats, Floats]:
    """w (K,), or (K, K) for a matrix, and b (K,) with the least mean log loss of w * z + b, or z w + b; z (N, K).

    Raises:
        NotApplicable: There is none: the rows can be told apart without error.
    """
    from scipy.optimize import minimize

    width = z.shape[1]
    unit = float(z.std()) or 1.0  # so that steps are of one size whatever that of the logits
    start = np.concatenate([(np.eye(width) if matrix else np.ones(width)).ravel() * unit, np.zeros(width)])
    u = z / unit

    def loss(numbers: Floats) -> tuple[float, Floats]:
        w, b = numbers[:-width], numbers[-width:]
        value, slope = log_loss(u @ w.reshape(width, width) + b if matrix else u * w + b, y)
        by_w = u.T @ slope if matrix else (u * slope).sum(axis=0)
        return value, np.concatenate([by_w.ravel(), slope.sum(axis=0)])

    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 5000, "gtol": 1e-9, "ftol": 1e-15})
    if found.fun < 1e-6 or np.abs(found.x).max() > LARGEST:
        raise NotApplicable(
            f"{type(asking).__name__}: some scales tell the {len(y)} validation rows apart without error, so none are the best; "
            "use TemperatureScaling, or hold out more rows"
        )
    w, b = found.x[:-width] / unit, found.x[-width:]
    return w.reshape(width, width) if matrix else w, b - b.mean() if width > 1 else b
