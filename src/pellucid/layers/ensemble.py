"""The answers of several members as one."""

from __future__ import annotations

from math import log
from typing import Any

import keras
from keras import layers, ops

from pellucid.core.options import one_of
from pellucid.shapes import Tensor

HOW = ("softmax", "sigmoid")
"""What makes probabilities of scores."""

TINY = 1e-37
"""The least probability that has a logarithm here; the smallest numbers of float32 are below it."""


@keras.saving.register_keras_serializable(package="pellucid")
class EnsembleLogits(layers.Layer):
    """Logits whose probabilities are the mean of the members' probabilities.

    Softmax:  log (1/M sum_m softmax(z_m)).   Sigmoid:  log p / (1 - p),  p = 1/M sum_m sigmoid(z_m).

    Takes a list of M tensors (B, K), or one, and gives (B, K). A softmax, or a sigmoid, after it gives the mean itself. Sums are
    taken of logarithms, so that nothing becomes 0 that is not.

    Args:
        how: What makes probabilities of a member's scores: "softmax" over the last axis, or "sigmoid" of each.
        of: Whether members give "scores" or "probabilities".

    Raises:
        InvalidOption: Another `how` or `of`.

    Example:
        >>> import numpy as np, pellucid as pl
        >>> from keras import ops
        >>> sure, even = np.array([[9.0, -9.0]], "float32"), np.array([[0.0, 0.0]], "float32")
        >>> mean = ops.softmax(pl.layers.EnsembleLogits()([sure, even]))
        >>> ops.convert_to_numpy(mean).round(3).tolist()
        [[0.75, 0.25]]

    References:
        Lakshminarayanan, Pritzel and Blundell 2017, "Simple and scalable predictive uncertainty estimation using deep
        ensembles", arXiv:1612.01474.

    Limits:
        Of probabilities, those below 1e-37 are taken for 1e-37, those of a sigmoid within 1e-7 of 0 and 1 for 1e-7 from it: give
        scores where there are any.
    """

    def __init__(self, how: str = "softmax", of: str = "scores", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.how, self.of = how, of
        one_of(self, "how", HOW)
        one_of(self, "of", ("scores", "probabilities"))

    def call(self, inputs: Any) -> Tensor:
        """M times (B, K) to (B, K)."""
        members = inputs if isinstance(inputs, list | tuple) else [inputs]
        signs = (1,) if self.how == "softmax" else (1, -1)
        sides = [self.mean([self.logarithm(z, sign) for z in members]) for sign in signs]
        return sides[0] if len(sides) == 1 else sides[0] - sides[1]

    def logarithm(self, z: Tensor, sign: int = 1) -> Tensor:
        """Log-probabilities (B, K) of one member; with `sign` -1 of the other answer to a yes-or-no question."""
        if self.of == "probabilities":
            return ops.log(ops.maximum(z if sign > 0 else 1 - z, TINY if self.how == "softmax" else 1e-7))
        return ops.log_softmax(z, axis=-1) if self.how == "softmax" else ops.log_sigmoid(sign * z)

    @staticmethod
    def mean(logarithms: list[Tensor]) -> Tensor:
        """The logarithm of the mean of numbers that are given by their logarithms."""
        if len(logarithms) == 1:
            return logarithms[0]
        return ops.logsumexp(ops.stack(logarithms, axis=0), axis=0) - log(len(logarithms))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """(B, K)."""
        return input_shape[0] if isinstance(input_shape[0], list | tuple) else input_shape

    def get_config(self) -> dict[str, Any]:
        """The options, as Keras saves them."""
        return {**super().get_config(), "how": self.how, "of": self.of}
