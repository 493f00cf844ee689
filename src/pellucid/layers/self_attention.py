"""Self-attention whose weights can be read: scaled dot products, a map from scores to weights, a weighted sum."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops

from pellucid.core.options import one_of, whole
from pellucid.errors import InvalidOption
from pellucid.layers.simplex import FAMILY, softmax
from pellucid.shapes import Tensor


def spec(layer: Any, shape: Any, rows: tuple[int | None, int | None], weights: bool) -> Any:
    """What a layer gives for inputs of a shape (B, T, F), without running it: with weights (B, *rows, T) if asked."""
    output = keras.KerasTensor(layer.compute_output_shape(shape), dtype=layer.compute_dtype)
    return (output, keras.KerasTensor((shape[0], *rows, shape[1]), dtype=layer.compute_dtype)) if weights else output


class OverPositions(layers.Layer):
    """A layer with heads that gives (B, T, F) for (B, T, F), and its weights (B, H, T, T) if asked."""

    heads: int

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """As the input."""
        return tuple(input_shape)

    def compute_output_spec(
        self,
        inputs: Any,
        mask: Any = None,
        attention_mask: Any = None,
        return_attention_scores: bool = False,
        training: bool | None = None,
    ) -> Any:
        """What `call` gives, without running it."""
        return spec(self, inputs.shape, (self.heads, inputs.shape[1]), return_attention_scores)


@keras.saving.register_keras_serializable(package="pellucid")
class SelfAttention(OverPositions):
    """Every position takes up from every other what it asks for, by weights that can be read.

    For each head h, with queries Q = X W_q, keys K = X W_k and values V = X W_v of width D:

    weights = softmax(Q K' / sqrt(D)) over the keys, context = weights V, output = (contexts side by side) W_o.

    Takes (B, T, F), gives (B, T, F); with `return_attention_scores=True` also the weights (B, H, T, T), queries first.
    A mask (B, T), given or carried by the input, takes positions out as keys: their weight is exactly 0. Rows of masked
    queries are computed like others, and are for what follows to ignore. `attention_mask` (B, T, T) or (B, H, T, T)
    says for each query which keys it may see.

    Args:
        heads: The number H of heads.
        key_dim: The width D of queries, keys and values in one head; None for F // H.
        dropout: The share of weights dropped in training.
        causal: Whether a position sees only itself and those before it.
        use_bias: Whether the four projections have biases.
        seed: Decides what is dropped.

    Raises:
        InvalidOption: `heads` or `key_dim` is not a whole number above 0, or F is less than H.

    Example:
        >>> import keras, numpy as np, pellucid as pl
        >>> layer = pl.layers.SelfAttention(heads=2)
        >>> y, weights = layer(np.ones((1, 3, 4), "float32"), return_attention_scores=True)
        >>> tuple(y.shape), tuple(weights.shape), keras.ops.convert_to_numpy(weights)[0, 0, 0].round(2)
        ((1, 3, 4), (1, 2, 3, 3), array([0.33, 0.33, 0.33], dtype=float32))

    References:
        Vaswani et al. 2017, "Attention is all you need", arXiv:1706.03762.

    Limits:
        A weight says how much of a value is taken, not how much the value matters to the answer: values differ in length,
        and other ways lead around the layer. Verify before weights are read as an explanation.
    """

    def __init__(
        self,
        heads: int,
        key_dim: int | None = None,
        dropout: float = 0.0,
        causal: bool = False,
        use_bias: bool = True,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.heads, self.key_dim = heads, key_dim
        whole(self, "heads")
        if key_dim is not None:
            whole(self, "key_dim")
        self.dropout, self.causal, self.use_bias, self.seed = dropout, causal, use_bias, seed
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        """Make the projections for inputs (B, T, F)."""
        features = input_shape[-1]
        depth = self.key_dim or features // self.heads
        if not depth:
            raise InvalidOption(
                f"heads: {self.heads} heads cannot share {features} features; give key_dim or fewer heads"
            )
        per_head, shape = "btf,fhd->bhtd", (self.heads, None, depth)
        for name in ("query", "key", "value"):
            setattr(self, f"{name}_projection", self._projection(per_head, shape, "hd", name))
            getattr(self, f"{name}_projection").build(input_shape)
        self.output_projection = self._projection("bhtd,hdf->btf", (None, features), "f", "output")
        self.output_projection.build((input_shape[0], self.heads, input_shape[1], depth))
        self.weight_dropout = layers.Dropout(
            self.dropout, seed=self.seed, dtype=self.dtype_policy, name="weight_dropout"
        )
        self.scale = depth**-0.5
        self.built = True

    def _projection(self, equation: str, shape: tuple[int | None, ...], bias: str, name: str) -> Any:
        bias_axes, own = bias if self.use_bias else None, {"dtype": self.dtype_policy, "name": f"{name}_projection"}
        layer = layers.EinsumDense(equation, shape, bias_axes=bias_axes, **own)
        layer.supports_masking = True  # each position is projected by itself: Keras would warn of a mask
        return layer

    def call(
        self,
        inputs: Tensor,
        mask: Any = None,
        attention_mask: Any = None,
        return_attention_scores: bool = False,
        training: bool | None = None,
    ) -> Any:
        """(B, T, F) to (B, T, F), with the weights (B, H, T, T) if asked."""
        scores = self.score(self.query_projection(inputs), self.key_projection(inputs))
        weights = self.normalize(scores, self._visible(inputs, mask, attention_mask))
        kept = self.weight_dropout(weights, training=training) if self.dropout else weights
        output = self.output_projection(self.attend(kept, self.value_projection(inputs)))
        return (output, weights) if return_attention_scores else output

    def score(self, queries: Tensor, keys: Tensor) -> Tensor:
        """Scaled dot products (B, H, Q, K) of queries (B, H, Q, D) and keys (B, H, K, D)."""
        return ops.matmul(queries * ops.cast(self.scale, queries.dtype), ops.swapaxes(keys, -2, -1))

    def normalize(self, scores: Tensor, mask: Tensor | None) -> Tensor:
        """Weights (B, H, Q, K) that add up to 1 over the keys, of scores and of a mask that broadcasts to them."""
        return softmax(scores, mask)

    def attend(self, weights: Tensor, values: Tensor) -> Tensor:
        """The context (B, H, Q, D): weights (B, H, Q, K) meet values (B, H, K, D) here and nowhere else."""
        return ops.matmul(weights, values)

    def _visible(self, inputs: Tensor, mask: Any, attention_mask: Any) -> Tensor | None:
        """True where a query may see a key, broadcasting to (B, H, Q, K); None where all may."""
        parts = []
        if mask is not None:
            parts.append(ops.cast(mask, "bool")[:, None, None, :])
        if attention_mask is not None:
            given = ops.cast(attention_mask, "bool")
            parts.append(given if len(given.shape) == 4 else given[:, None])
        if self.causal:
            position = ops.arange(ops.shape(inputs)[1])
            parts.append((position[:, None] >= position[None, :])[None, None])
        seen = None
        for part in parts:
            seen = part if seen is None else ops.logical_and(seen, part)
        return seen

    def get_config(self) -> dict[str, Any]:
        """The options, as Keras saves them."""
        names = ("heads", "key_dim", "dropout", "causal", "use_bias", "seed")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


@keras.saving.register_keras_serializable(package="pellucid")
class SparseAttention(SelfAttention):
    """Self-attention that looks at few positions: the weights of all others are exactly 0.

    As `SelfAttention`, with sparsemax or 1.5-entmax in place of softmax: weights = entmax_alpha(Q K' / sqrt(D)).

    Args:
        heads: The number H of heads.
        alpha: 1.5 for `entmax15`, 2.0 for `sparsemax`, which is sparser.
        options: `key_dim`, `dropout`, `causal`, `use_bias` and `seed` of `SelfAttention`.

    Raises:
        InvalidOption: Another alpha, or as for `SelfAttention`.

    Example:
        >>> import keras, numpy as np, pellucid as pl
        >>> x = 3 * np.random.default_rng(0).normal(size=(1, 8, 4)).astype("float32")
        >>> keras.utils.set_random_seed(0)
        >>> _, weights = pl.layers.SparseAttention(heads=1, alpha=2.0)(x, return_attention_scores=True)
        >>> bool((keras.ops.convert_to_numpy(weights) == 0).mean() > 0.3)
        True

    References:
        Martins and Astudillo 2016, "From softmax to sparsemax", arXiv:1602.02068; Peters, Niculae and Martins 2019,
        "Sparse sequence-to-sequence models", arXiv:1905.05702.

    Limits:
        Zero weight in one layer is not zero influence: the residual path and other layers carry the position on. A
        position without weight has no gradient through the weights either.
    """

    def __init__(self, heads: int, alpha: float = 1.5, **options: Any) -> None:
        super().__init__(heads, **options)
        self.alpha = alpha
        one_of(self, "alpha", (1.5, 2.0))

    def normalize(self, scores: Tensor, mask: Tensor | None) -> Tensor:
        """See `SelfAttention.normalize`."""
        return FAMILY[self.alpha](scores, mask)

    def get_config(self) -> dict[str, Any]:
        """The options, as Keras saves them."""
        return {**super().get_config(), "alpha": self.alpha}
