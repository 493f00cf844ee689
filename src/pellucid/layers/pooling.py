"""Many positions into one vector, by weights that can be read."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops

from pellucid.core.options import one_of, whole
from pellucid.layers.self_attention import spec
from pellucid.layers.simplex import FAMILY
from pellucid.shapes import Tensor


@keras.saving.register_keras_serializable(package="pellucid")
class AttentionPooling(layers.Layer):
    """A sequence as the mean of its positions, each weighted by a learned score.

    Scores e_j = v' tanh(W h_j + b), weights a_j = exp(e_j) / sum_k exp(e_k), context = sum_j a_j h_j.

    Takes h (B, T, F), gives the context (B, F); with `return_attention_scores=True` also the weights (B, 1, 1, T). A mask
    (B, T), given or carried by the input, takes positions out: their weight is exactly 0.

    Args:
        hidden: The width of W h_j + b; None for F.
        alpha: What makes weights of scores: 1.0 for softmax, 1.5 for `entmax15`, 2.0 for `sparsemax`.

    Raises:
        InvalidOption: Another alpha, or `hidden` is not a whole number above 0.

    Example:
        >>> import numpy as np, pellucid as pl
        >>> from keras import ops
        >>> h = np.array([[[1.0, 2.0], [1.0, 2.0], [9.0, 9.0]]], "float32")
        >>> context, a = pl.layers.AttentionPooling()(h, mask=np.array([[True, True, False]]), return_attention_scores=True)
        >>> ops.convert_to_numpy(context).tolist(), ops.convert_to_numpy(a)[0, 0].tolist()
        ([[1.0, 2.0]], [[0.5, 0.5, 0.0]])

    References:
        Bahdanau, Cho and Bengio 2015, "Neural machine translation by jointly learning to align and translate",
        arXiv:1409.0473; Yang et al. 2016, "Hierarchical attention networks", doi:10.18653/v1/N16-1174.

    Limits:
        After other layers have mixed the positions, h_j holds more than the input at j: its weight is then not the
        weight of that input.
    """

    def __init__(self, hidden: int | None = None, alpha: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.hidden, self.alpha = hidden, alpha
        one_of(self, "alpha", tuple(FAMILY))
        if hidden is not None:
            whole(self, "hidden")
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        """Make W, b and v for inputs (B, T, F)."""
        width = self.hidden or input_shape[-1]
        self.hidden_projection = layers.Dense(width, "tanh", dtype=self.dtype_policy, name="hidden_projection")
        self.score_projection = layers.Dense(1, use_bias=False, dtype=self.dtype_policy, name="score_projection")
        self.hidden_projection.build(input_shape)
        self.score_projection.build((*input_shape[:-1], width))
        self.built = True

    def call(self, inputs: Tensor, mask: Any = None, return_attention_scores: bool = False) -> Any:
        """(B, T, F) to (B, F), with the weights (B, 1, 1, T) if asked."""
        scores = self.score_projection(self.hidden_projection(inputs))[:, None, None, :, 0]
        weights = self.normalize(scores, None if mask is None else ops.cast(mask, "bool")[:, None, None, :])
        context = self.attend(weights, inputs[:, None])[:, 0, 0]
        return (context, weights) if return_attention_scores else context

    def normalize(self, scores: Tensor, mask: Tensor | None) -> Tensor:
        """Weights (B, 1, 1, T) that add up to 1 over the positions, of scores and of a mask that broadcasts to them."""
        return FAMILY[self.alpha](scores, mask)

    def attend(self, weights: Tensor, values: Tensor) -> Tensor:
        """The context (B, 1, 1, F): weights (B, 1, 1, T) meet values (B, 1, T, F) here and nowhere else."""
        return ops.matmul(weights, values)

    def compute_mask(self, inputs: Any, mask: Any = None) -> None:
        """None: the positions are gone."""
        return

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """(B, F)."""
        return (input_shape[0], input_shape[-1])

    def compute_output_spec(self, inputs: Any, mask: Any = None, return_attention_scores: bool = False) -> Any:
        """What `call` gives, without running it."""
        return spec(self, inputs.shape, (1, 1), return_attention_scores)

    def get_config(self) -> dict[str, Any]:
        """The options, as Keras saves them."""
        return {**super().get_config(), "hidden": self.hidden, "alpha": self.alpha}
