"""Probabilities put right by a rising function of each, given by its knots."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from pellucid.core.options import whole
from pellucid.shapes import Floats, Tensor


@keras.saving.register_keras_serializable(package="pellucid")
class Isotonic(layers.Layer):
    """Each class's probability through a piecewise linear function of its own, then all of them divided by their sum.

    q_k = f_k(p_k) / sum_j f_j(p_j);  f_k runs straight from knot to knot and is level before the first and after the last.

    Takes p (B, K), gives q (B, K); where all f are 0, q is 1/K. With one function there is no dividing: of two columns it reads
    the second, and gives 1 - f and f; a single column becomes f.

    Args:
        functions: How many: the number of classes, or 1 for a yes-or-no question.
        knots: The most knots of a function; shorter ones repeat their last.

    Raises:
        InvalidOption: Fewer than one of either.

    Example:
        >>> import numpy as np, pellucid as pl
        >>> from keras import ops
        >>> layer = pl.layers.Isotonic(functions=1, knots=3)
        >>> layer.set_functions([([0.0, 0.5, 1.0], [0.1, 0.2, 0.9])])
        >>> ops.convert_to_numpy(layer(np.array([[0.25], [0.75], [2.0]], "float32")))[:, 0].astype(float).round(3).tolist()
        [0.15, 0.55, 0.9]

    References:
        Zadrozny and Elkan 2002, "Transforming classifier scores into accurate multiclass probability estimates",
        doi:10.1145/775047.775151.

    Limits:
        Where a function is level, its gradient is zero: gradients of what comes after say little there.
    """

    def __init__(self, functions: int, knots: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.functions, self.knots = functions, knots
        whole(self, "functions")
        whole(self, "knots")
        shape = (functions, knots)
        self.at = self.add_weight(shape=shape, initializer="zeros", trainable=False, dtype="float32", name="at")
        self.height = self.add_weight(shape=shape, initializer="zeros", trainable=False, dtype="float32", name="height")

    def set_functions(self, knots: Sequence[tuple[Any, Any]]) -> None:
        """Take the places (N,) and heights (N,) of the knots of each function."""
        for weight, which in ((self.at, 0), (self.height, 1)):
            weight.assign(np.stack([_padded(function[which], self.knots) for function in knots]))

    def call(self, inputs: Tensor) -> Tensor:
        """(B, K) to (B, K)."""
        steps = self.steps(inputs)
        if self.functions > 1:
            return self.shared_out(steps)
        return ops.concatenate([1 - steps, steps], axis=1) if inputs.shape[-1] == 2 else steps

    def steps(self, p: Tensor) -> Tensor:
        """f_k(p_k), (B, K); (B, 1) where there is one function."""
        first = p.shape[-1] - self.functions
        return ops.stack([self._step(k, p[:, first + k]) for k in range(self.functions)], axis=1)

    def _step(self, k: int, p: Tensor) -> Tensor:
        at, height, last = self.at[k], self.height[k], self.knots - 1
        given = ops.stop_gradient(p) * 1  # a copy in one piece, which torch asks for
        passed = ops.searchsorted(at, given, side="right")
        low, high = ops.clip(passed - 1, 0, last), ops.clip(passed, 0, last)
        start, width = ops.take(at, low), ops.take(at, high) - ops.take(at, low)
        share = ops.where(width > 0, (p - start) / ops.where(width > 0, width, 1.0), 0.0)
        return ops.take(height, low) + share * (ops.take(height, high) - ops.take(height, low))

    @staticmethod
    def shared_out(steps: Tensor) -> Tensor:
        """Rows (B, K) that sum to one."""
        total = ops.sum(steps, axis=-1, keepdims=True)
        return ops.where(total > 0, steps / ops.where(total > 0, total, 1.0), 1.0 / steps.shape[-1])

    def compute_output_shape(self, input_shape: Any) -> Any:
        """(B, K)."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """The options, as Keras saves them."""
        return {**super().get_config(), "functions": self.functions, "knots": self.knots}


def _padded(numbers: Any, count: int) -> Floats:
    numbers = np.asarray(numbers, np.float32)
    return np.concatenate([numbers, np.full(count - len(numbers), numbers[-1], np.float32)])
