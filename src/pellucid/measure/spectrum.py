"""Eigenvalues and traces of a symmetric matrix that is only known by its products with vectors.

Notation: N the order of the matrix H; M steps of Lanczos; a *product* takes v (N,) and gives H v (N,).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pellucid.core.resampling import Interval, student
from pellucid.shapes import Array, Floats

Product = Callable[[Floats], Floats]

FIRST = 16
"""Probes by whose spread it is decided how many a trace needs."""

DOUBT = 0.01
"""The share of random starts that may miss an eigenvalue, as they hardly lean its way."""

ROUNDING = 1e-6
"""What products in single precision leave unknown, as a share of the largest eigenvalue."""


@dataclass(frozen=True)
class Krylov:
    """What M products, each with what the one before left, tell of a symmetric matrix.

    Attributes:
        basis: The vectors tried (M, N), orthonormal.
        values: The matrix's eigenvalues (M,) as these see it, the largest first; those at both ends are eigenvalues of it.
        turned: Their vectors (M, M), one a column, in terms of `basis`.
        beside: How long what each product left over was (M,).
        left: What the last product left over (N,).
    """

    basis: Array
    values: Floats
    turned: Array
    beside: Floats
    left: Floats

    @property
    def shares(self) -> Floats:
        """The part of the spectrum (M,) at each of `values`, summing to 1: the weights of a Gauss rule.

        Source: Golub and Welsch 1969, doi:10.2307/2004418.
        """
        return self.turned[0] ** 2

    @property
    def ended(self) -> bool:
        """Whether nothing is left outside what was tried."""
        return bool(self.beside[-1] <= 1e-7 * np.abs(self.values).max())

    @property
    def inner(self) -> Array:
        """The matrix (M, M) in terms of `basis`."""
        return (self.turned * self.values) @ self.turned.T

    def images(self, inside: Floats) -> Floats:
        """The matrix times sum_m inside_m basis_m (N,)."""
        return (self.inner @ inside) @ self.basis + self.left * inside[-1]

    def diagonal(self) -> Floats:
        """The diagonal (N,) of the matrix times the projection onto what was tried."""
        return np.sum((self.inner @ self.basis) * self.basis, axis=0) + self.left * self.basis[-1]

    def loose(self, count: int) -> float:
        """How far the matrix turns the largest of its vectors out of what was tried: the norm of their residuals."""
        return float(self.beside[-1] * np.linalg.norm(self.turned[-1, :count]))

    @cached_property
    def ceiling(self) -> float:
        """No eigenvalue is larger, but for a share `DOUBT` of random starts.

        After M products a start q that leans by u^T q on the eigenvector u of an eigenvalue a has left a vector that leans on it
        by p(a) u^T q, p(a) = prod_m (a - value_m) / beside_m. That is at most 1, and of a random q few lean on u by less than
        `DOUBT` / sqrt(2 N / pi); so p(a) is at most the inverse of that.

        Source: van Dorsselaer, Hochstenbach and van der Vorst 1999, https://ir.cwi.nl/pub/4505.
        """
        from scipy.optimize import bisect

        if self.ended:
            return float(self.values[0] + self.beside[-1])
        most = np.log(np.sqrt(2 * len(self.left) / np.pi) / DOUBT) + np.log(self.beside).sum()
        beyond = lambda a: np.log(np.maximum(a - self.values, 1e-300)).sum() - most  # noqa: E731
        return float(bisect(beyond, self.values[0], self.values[0] + 2 * np.exp(most / len(self.values))))


@dataclass(frozen=True)
class Pairs:
    """Orthonormal vectors (K, N) and what the matrix makes of them (K, N), each nearly a multiple of the vector."""

    vectors: Array
    images: Array

    @property
    def values(self) -> Floats:
        """Their eigenvalues (K,), the largest first."""
        return np.sum(self.vectors * self.images, axis=1)

    @property
    def loose(self) -> float:
        """How far the matrix turns them out of what they span, at most."""
        rest = self.images - self.values[:, None] * self.vectors
        return float(np.linalg.norm(rest, 2)) if len(rest) else 0.0

    def joined(self, found: Krylov, count: int, top: int) -> Pairs:
        """The largest `top` of these and of the `count` largest found in what is orthogonal to these."""
        vectors = found.turned[:, :count].T @ found.basis
        images = found.values[:count, None] * vectors + np.outer(found.turned[-1, :count], found.left)
        images += (vectors @ self.images.T) @ self.vectors  # what orthogonality had taken out
        vectors, images = np.vstack([self.vectors, vectors]), np.vstack([self.images, images])
        inner = vectors @ images.T
        order = np.linalg.eigh((inner + inner.T) / 2)[1][:, ::-1][:, :top].T
        return Pairs(order @ vectors, order @ images)


@dataclass(frozen=True)
class Spectrum:
    """What `largest` found.

    Attributes:
        values: The largest eigenvalues (K,) of H, the largest first.
        errors: How far each (K,) is from the eigenvalue of its place at most, but for few starts.
        vectors: Their eigenvectors (K, N).
        images: H times these (K, N).
        first: What the first start told of the whole spectrum.
        least: The smallest eigenvalue seen.
    """

    values: Floats
    errors: Floats
    vectors: Array
    images: Array
    first: Krylov
    least: float


def lanczos(
    product: Product, start: Floats, most: int, enough: Callable[[Krylov], bool], beside: Array | None = None
) -> Krylov:
    """Products with a start, with what each leaves over, and so on, until it is enough, nothing is left or `most` are made.

    Every vector is held orthogonal to all before and to the rows of `beside` (K, N), twice, as rounding would bring them back.

    Source: Lanczos 1950, doi:10.6028/jres.045.026.
    """
    from scipy.linalg import eigh_tridiagonal

    most, known, step = min(most, len(start)), np.empty((0, len(start))) if beside is None else beside, 0
    basis, along, left = np.empty((most, len(start))), np.empty(most), np.empty(most)
    basis[0] = start / np.linalg.norm(start)
    while True:
        new = product(basis[step])
        along[step] = basis[step] @ new
        for rows in (known, basis[: step + 1]) * 2:
            new = new - rows.T @ (rows @ new)
        left[step] = np.linalg.norm(new)
        values, turned = eigh_tridiagonal(along[: step + 1], left[:step])
        found = Krylov(basis[: step + 1], values[::-1], turned[:, ::-1], left[: step + 1], new)
        if found.ended or step + 1 == most or enough(found):
            return found
        step += 1
        basis[step] = new / left[step - 1]


def largest(
    product: Product, order: int, top: int, tolerance: float, most: int, generator: np.random.Generator
) -> Spectrum:
    """The largest eigenvalues, each to `tolerance` times the largest, or as well as `most` products make them.

    A residual only says that some eigenvalue is near, not which. So another random start is made orthogonal to those found,
    until one shows that nothing as large is left there; what it finds instead is taken in, and so equal ones are found too.
    With R the residuals of those found, C what H is beside them, and c the largest eigenvalue of C: the i-th is off by at most
    2 R^2 / (g + sqrt(g^2 + 4 R^2)) for the gap g = value_i - c, and where c is above value_i by that difference more.

    Source: Li and Li 2005, doi:10.1016/j.laa.2004.08.026; see also `Krylov.ceiling`.
    """
    top, left, tried, beside = min(top, order), most, list[Krylov](), -np.inf
    known = Pairs(np.empty((0, order)), np.empty((0, order)))
    while len(known.vectors) < order and left > 0:
        fresh, enough = _stopping(known, top, tolerance)
        start = generator.standard_normal(order)
        start -= known.vectors.T @ (known.vectors @ start)
        found = lanczos(product, start, -(-2 * left // 3), enough, known.vectors)
        beside = found.ceiling
        tried, left = [*tried, found], left - len(found.values)
        if not fresh(found):
            break
        known = known.joined(found, fresh(found), top)
    beside = beside if len(known.vectors) < order else -np.inf
    least = float(min(t.values[-1] for t in tried))
    return Spectrum(known.values, _errors(known, beside), known.vectors, known.images, tried[0], least)


def _stopping(known: Pairs, top: int, tolerance: float) -> tuple[Callable[[Krylov], int], Callable[[Krylov], bool]]:
    """How many of what a start finds belong to the largest; and whether these, or that there are none, are known well enough."""
    edge = known.values[-1] if len(known.vectors) == top else -np.inf

    def slack(found: Krylov) -> float:
        return max(tolerance / 2, ROUNDING) * float(np.abs([*known.values[:1], *found.values[[0, -1]]]).max())

    def fresh(found: Krylov) -> int:
        return min(top, int(np.sum(found.values > edge + slack(found))))

    def enough(found: Krylov) -> bool:
        if count := fresh(found):
            return count < len(found.values) and found.loose(count) <= slack(found)
        return found.ceiling <= edge + slack(found)

    return fresh, enough


def _errors(known: Pairs, beside: float) -> Floats:
    """How far each value may be from the eigenvalue of its place, with nothing larger than `beside` beside them."""
    values, loose = known.values, known.loose
    gap = np.maximum(values - beside, 0)
    turned = 2 * loose**2 / np.maximum(gap + np.sqrt(gap**2 + 4 * loose**2), 1e-300)
    return turned + np.maximum(beside - values, 0) + ROUNDING * np.abs(values).max()


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


def smoothed(spectrum: Krylov, points: int = 200) -> tuple[Floats, Floats]:
    """Places (points,) and the density of eigenvalues there, each widened to a hundredth of their range.

    Source: Ghorbani, Krishnan and Xiao 2019, arXiv:1901.10159.
    """
    low, high = spectrum.values.min(), spectrum.values.max()
    width = max(high - low, 1e-12) / 100
    at = np.linspace(low - 4 * width, high + 4 * width, points)
    bells = np.exp(-0.5 * ((at[:, None] - spectrum.values) / width) ** 2) / (width * np.sqrt(2 * np.pi))
    return at, bells @ spectrum.shares
