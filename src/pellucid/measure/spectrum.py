"""Eigenvalues and traces of a symmetric matrix that is only known by its products with vectors.

Notation: N the order of the matrix H; M steps of Lanczos; a *product* takes v (N,) and gives H v (N,).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pellucid.core.resampling import Interval, student
from pellucid.shapes import Array, Floats

Product = Callable[[Floats], Floats]

FIRST = 16
"""Probes by whose spread it is decided how many a trace needs."""


@dataclass(frozen=True)
class Spectrum:
    """What `lanczos` found, the largest first.

    Attributes:
        values: Eigenvalues (M,) of H as seen by the vectors tried; those at both ends are eigenvalues of H.
        errors: How far from each (M,) an eigenvalue of H is at most.
        shares: The part of the spectrum (M,) at each of `values`, summing to 1: the weights of a Gauss rule.
        vectors: Eigenvectors (top, N) of the largest.
    """

    values: Floats
    errors: Floats
    shares: Floats
    vectors: Floats


def lanczos(product: Product, start: Floats, top: int, tolerance: float, most: int) -> Spectrum:
    """The largest eigenvalues, each to `tolerance` times the largest, or as well as `most` products make them.

    With every vector held orthogonal to all before, twice, as rounding would bring found ones back.

    Source: Lanczos 1950, doi:10.6028/jres.045.026; the shares make the quadrature of Golub and Welsch 1969, doi:10.2307/2004418.
    """
    from scipy.linalg import eigh_tridiagonal

    most, top = min(most, len(start)), min(top, len(start))
    basis = np.empty((most, len(start)))
    basis[0] = start / np.linalg.norm(start)
    along, beside = np.empty(most), np.empty(most)
    step = 0
    while True:
        new = product(basis[step])
        along[step] = basis[step] @ new
        for _ in range(2):
            new = new - basis[: step + 1].T @ (basis[: step + 1] @ new)
        beside[step] = np.linalg.norm(new)
        values, turned = eigh_tridiagonal(along[: step + 1], beside[:step])
        errors = beside[step] * np.abs(turned[-1])  # the residuals: an eigenvalue is no farther
        size = np.abs(values).max()
        ended = beside[step] <= 1e-7 * size  # nothing is left outside what was tried
        if ended or step + 1 == most or (step + 1 > top and errors[-top:].max() <= tolerance * size):
            break
        step += 1
        basis[step] = new / beside[step - 1]
    found = turned[:, ::-1][:, :top].T @ basis[: step + 1]
    return Spectrum(values[::-1], errors[::-1], turned[0, ::-1] ** 2, found)


def probed(draw: Callable[[], Array], tolerance: float, most: int, level: float) -> tuple[Array, Interval]:
    """Draws (P, ...), as many as it takes to know the mean of the first of each to `tolerance` of itself; and its interval.

    How many is decided once, by the spread of the first few: to stop as soon as it looks enough would stop at lucky draws.

    Source: Stein 1945, doi:10.1214/aoms/1177731088.
    """
    draws = [draw() for _ in range(min(FIRST, most))]
    first = [d.flat[0] for d in draws]
    short = student(first, level).width / 2 / max(tolerance * abs(np.mean(first)), 1e-300)
    enough = min(most, len(draws) * short**2)
    draws += [draw() for _ in range(len(draws), int(np.ceil(enough)))]
    return np.array(draws), student([d.flat[0] for d in draws], level)


def signs(count: int, generator: np.random.Generator) -> Floats:
    """Numbers (count,) that are 1 or -1."""
    return generator.integers(0, 2, count) * 2.0 - 1.0


def smoothed(spectrum: Spectrum, points: int = 200) -> tuple[Floats, Floats]:
    """Places (points,) and the density of eigenvalues there, each widened to a hundredth of their range.

    Source: Ghorbani, Krishnan and Xiao 2019, arXiv:1901.10159.
    """
    low, high = spectrum.values.min(), spectrum.values.max()
    width = max(high - low, 1e-12) / 100
    at = np.linspace(low - 4 * width, high + 4 * width, points)
    bells = np.exp(-0.5 * ((at[:, None] - spectrum.values) / width) ** 2) / (width * np.sqrt(2 * np.pi))
    return at, bells @ spectrum.shares
