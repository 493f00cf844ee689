"""The second derivatives of a model's loss by its weights, known by their products with vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pellucid.core import loss
from pellucid.core.model import Model, to_array
from pellucid.measure.spectrum import signs
from pellucid.shapes import Array, Floats

PARTS = 10
"""Parts of the rows, whose curvatures tell how much other rows would change it."""


class Hessian:
    """Products with the Hessian of the mean loss of rows, all of them or parts of one size."""

    def __init__(self, model: Model, inputs: Sequence[Array], labels: Array) -> None:
        self.model, self.rows, self.evaluations = model, len(labels), 0
        self.variables = list(model.weights)
        self.shapes = [tuple(v.shape) for v in self.variables]
        self.ends = np.cumsum([int(np.prod(s)) for s in self.shapes])
        self.order = int(self.ends[-1])
        size = -(-self.rows // PARTS)
        self.whole = [*inputs, labels.astype(np.int32 if model.task == "classification" else np.float32)]
        self.parts = [np.arange(i, i + size) for i in range(0, self.rows, size)]
        self.product = model.backend.hessian_vector(self._loss, self.variables)

    def _loss(self, *tensors: Any) -> Any:
        from keras import ops

        *inputs, labels, counts = tensors
        rows = loss.of_rows(self.model, self.model.forward(inputs), labels)
        return ops.sum(counts * rows)

    def _chunks(self, part: Array) -> Any:
        """The rows of a part in chunks of one size, the last one filled up with rows that count 0."""
        number = -(-len(part) // max(1, self.model.comfortable // 2))
        size = -(-len(part) // number)
        for start in range(0, len(part), size):
            chunk = part[start : start + size]
            counts = np.zeros(size, np.float32)
            counts[: int(np.sum(chunk < self.rows))] = 1
            chunk = np.minimum(np.append(chunk, np.repeat(chunk[-1:], size - len(chunk))), self.rows - 1)
            yield [*(a[chunk] for a in self.whole), counts]

    def __call__(self, vector: Floats) -> Floats:
        """H v (N,)."""
        self.evaluations += self.rows
        return self._times(np.arange(self.rows), self._split(vector)) / self.rows

    def by_part(self, vector: Floats) -> tuple[Floats, Floats]:
        """H v (N,), and v^T H_p v (P,) of the mean loss of each part of the rows."""
        self.evaluations += self.rows
        found = [self._times(part, self._split(vector)) for part in self.parts]
        sizes = np.array([np.sum(part < self.rows) for part in self.parts])
        return np.sum(found, axis=0) / self.rows, np.array(found) @ vector / sizes

    def _times(self, part: Array, vector: Sequence[Array]) -> Floats:
        """The sum over the rows of a part of their Hessians times a vector."""
        return sum((flat(self.product(arrays, vector)) for arrays in self._chunks(part)), np.zeros(self.order))

    def slope(self) -> float:
        """The norm of the gradient of the mean loss."""
        total, gradient = np.zeros(self.order), self.model.backend.parameter_gradient(self._loss, self.variables)
        for arrays in self._chunks(np.arange(self.rows)):
            total += flat(gradient(arrays)[1])
        self.evaluations += self.rows
        return float(np.linalg.norm(total / self.rows))

    def _split(self, vector: Floats) -> list[Array]:
        pieces = np.split(vector.astype(np.float32), self.ends[:-1])
        return [p.reshape(s) for p, s in zip(pieces, self.shapes, strict=True)]

    def weights(self) -> Floats:
        """All weights (N,)."""
        return flat([to_array(v) for v in self.variables])

    def each(self, values: Floats) -> Floats:
        """Sums of values (N,) over each array of weights."""
        return np.array([part.sum() for part in np.split(values, self.ends[:-1])])

    def layers(self) -> list[dict[str, Any]]:
        """The arrays of weights, with their names and sizes."""
        names = [getattr(v, "path", f"weight {i}") for i, v in enumerate(self.variables)]
        sizes = np.diff(self.ends, prepend=0)
        each = zip(names, sizes, self._kernels(), strict=True)
        return [{"name": n, "weights": int(s), "kernel": k} for n, s, k in each]

    def _kernels(self) -> list[bool]:
        """Which arrays are kernels: units weigh the same inputs."""
        if self.model.is_torch:
            return [len(s) > 1 for s in self.shapes]
        return [len(s) > 1 and v.path.endswith("kernel") for v, s in zip(self.variables, self.shapes, strict=True)]

    def mixed(self, generator: np.random.Generator) -> Floats:
        """A direction (N,): in each kernel (inputs, units) W, r (s^T W) for random signs r and s; 0 elsewhere."""
        pieces = []
        for weight, kernel in zip(self._split(self.weights()), self._kernels(), strict=True):
            piece = np.zeros(weight.shape)
            if kernel:
                matrix = (
                    weight.reshape(len(weight), -1).T if self.model.is_torch else weight.reshape(-1, weight.shape[-1])
                )
                r, s = (signs(len(matrix), generator) for _ in range(2))
                mixed = np.outer(r, s @ matrix)
                piece = (mixed.T if self.model.is_torch else mixed).reshape(weight.shape)
            pieces.append(piece)
        return flat(pieces)


def flat(arrays: Sequence[Array]) -> Floats:
    """The numbers of all arrays in one (N,)."""
    return np.concatenate([np.asarray(a, np.float64).ravel() for a in arrays])
