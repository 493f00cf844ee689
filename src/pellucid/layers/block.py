"""A transformer block: attention between positions, then a small network at each."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

from pellucid.core.options import one_of, whole
from pellucid.layers.self_attention import OverPositions, SelfAttention, SparseAttention
from pellucid.layers.simplex import FAMILY
from pellucid.shapes import Tensor


@keras.saving.register_keras_serializable(package="pellucid")
class TransformerBlock(OverPositions):
    """A pre-norm block of a transformer: x + Attention(LN(x)), then x + MLP(LN(x)).

    MLP(x) = W_2 gelu(W_1 x + b_1) + b_2 at each position. Takes (B, T, F), gives (B, T, F); with
    `return_attention_scores=True` also the weights (B, H, T, T). Masks are honoured and passed on as by `SelfAttention`,
    which is the sublayer `attention`.

    Args:
        heads: The number H of heads.
        key_dim: The width of queries, keys and values in one head; None for F // H.
        hidden: The width of the MLP inside; None for 4 F.
        dropout: The share dropped in training: of the weights, and of what attention and MLP add.
        causal: Whether a position sees only itself and those before it.
        alpha: What makes weights of scores: 1.0 for softmax, 1.5 for `entmax15`, 2.0 for `sparsemax`.

    Raises:
        InvalidOption: Another alpha, or a number that is not whole and above 0.

    Example:
        >>> import numpy as np, pellucid as pl
        >>> y, weights = pl.layers.TransformerBlock(2)(np.ones((1, 3, 4), "float32"), return_attention_scores=True)
        >>> tuple(y.shape), tuple(weights.shape)
        ((1, 3, 4), (1, 2, 3, 3))

    References:
        Vaswani et al. 2017, "Attention is all you need", arXiv:1706.03762; Xiong et al. 2020, "On layer normalization in
        the transformer architecture", arXiv:2002.04745.

    Limits:
        Half of what a position holds comes around the attention: weights of one block are not the flow through it.
    """

    def __init__(
        self,
        heads: int,
        key_dim: int | None = None,
        hidden: int | None = None,
        dropout: float = 0.0,
        causal: bool = False,
        alpha: float = 1.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.heads, self.key_dim, self.hidden, self.alpha = heads, key_dim, hidden, alpha
        self.dropout, self.causal = dropout, causal
        one_of(self, "alpha", tuple(FAMILY))
        for name in ("heads", "key_dim", "hidden"):
            if name == "heads" or getattr(self, name) is not None:
                whole(self, name)
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        """Make the parts for inputs (B, T, F)."""
        width, own = input_shape[-1], {"dtype": self.dtype_policy}
        options = {"key_dim": self.key_dim, "dropout": self.dropout, "causal": self.causal, "name": "attention", **own}
        dense = self.alpha == 1.0
        self.attention = (
            SelfAttention(self.heads, **options) if dense else SparseAttention(self.heads, self.alpha, **options)
        )
        self.attention_norm = layers.LayerNormalization(epsilon=1e-6, name="attention_norm", **own)
        self.mlp_norm = layers.LayerNormalization(epsilon=1e-6, name="mlp_norm", **own)
        self.mlp_hidden = layers.Dense(self.hidden or 4 * width, "gelu", name="mlp_hidden", **own)
        self.mlp_output = layers.Dense(width, name="mlp_output", **own)
        self.branch_dropout = layers.Dropout(self.dropout, name="branch_dropout", **own)
        for part in (self.attention, self.attention_norm, self.mlp_norm, self.mlp_hidden):
            part.build(input_shape)
        self.mlp_output.build((*input_shape[:-1], self.mlp_hidden.units))
        self.built = True

    def call(
        self,
        inputs: Tensor,
        mask: Any = None,
        attention_mask: Any = None,
        return_attention_scores: bool = False,
        training: bool | None = None,
    ) -> Any:
        """(B, T, F) to (B, T, F), with the weights (B, H, T, T) if asked."""
        drop = lambda h: self.branch_dropout(h, training=training) if self.dropout else h  # noqa: E731
        attended = self.attention(
            self.attention_norm(inputs), mask=mask, attention_mask=attention_mask,
            return_attention_scores=return_attention_scores, training=training,
        )  # fmt: skip
        attended, weights = attended if return_attention_scores else (attended, None)
        x = inputs + drop(attended)
        x = x + drop(self.mlp_output(self.mlp_hidden(self.mlp_norm(x))))
        return (x, weights) if return_attention_scores else x

    def get_config(self) -> dict[str, Any]:
        """The options, as Keras saves them."""
        names = ("heads", "key_dim", "hidden", "dropout", "causal", "alpha")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}
