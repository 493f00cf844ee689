"""What every transformer here is: tokens, their positions, blocks of attention, one vector, logits."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import keras
from keras import layers

from pellucid.core.options import one_of, whole
from pellucid.core.registry import unknown
from pellucid.errors import InvalidOption
from pellucid.layers import AttentionPooling, ClassToken, TransformerBlock
from pellucid.layers.simplex import FAMILY
from pellucid.shapes import Tensor

POOLS = ("class", "mean", "attention")


@dataclass(frozen=True)
class Trunk:
    """The part that all builders share; its fields are options of each of them.

    tokens (B, T, width) -> with a class token before them where `pool` asks for it -> `depth` blocks -> layer
    normalization -> one vector (B, width) -> logits (B, classes).

    Args:
        width: The length of a token's vector.
        depth: The number of blocks, "block_1", "block_2", ...
        heads: The number of heads in each.
        dropout: The share dropped in training, in every block.
        alpha: What makes weights of scores in every block: 1.0 softmax, 1.5 `entmax15`, 2.0 `sparsemax`.
        pool: How tokens become one vector: "class" reads a token of its own, "mean" is the mean over tokens that are not
            masked, "attention" is `AttentionPooling`.

    Raises:
        InvalidOption: An option outside its range, or heads that do not divide the width.

    Example:
        >>> import pellucid as pl
        >>> model = pl.models.tabular_transformer(6, 2, width=16, depth=1, pool="mean")
        >>> model.output_shape
        (None, 2)
    """

    width: int = 32
    depth: int = 2
    heads: int = 4
    dropout: float = 0.0
    alpha: float = 1.0
    pool: str = "class"

    def __post_init__(self) -> None:
        for name in ("width", "depth", "heads"):
            whole(self, name)
        one_of(self, "alpha", tuple(FAMILY))
        one_of(self, "pool", POOLS)
        if self.width % self.heads:
            raise InvalidOption(f"heads: expected a divisor of the width {self.width}, got {self.heads}")
        if not 0 <= self.dropout < 1:
            raise InvalidOption(f"dropout: expected a share from 0 up to 1, got {self.dropout!r}")

    @classmethod
    def of(cls, options: dict[str, Any]) -> Trunk:
        """A trunk of the options that a builder was given."""
        names = [field.name for field in fields(cls)]
        for name in options:
            if name not in names:
                raise InvalidOption(unknown("option", name, names))
        return cls(**options)

    def model(self, inputs: Any, tokens: Tensor, classes: int, name: str) -> Any:
        """The model from its input to logits, given how the input becomes tokens with positions."""
        if isinstance(classes, bool) or not isinstance(classes, int) or classes < 1:
            raise InvalidOption(f"classes: expected a whole number of at least 1, got {classes!r}")
        x = ClassToken(name="class_token")(tokens) if self.pool == "class" else tokens
        for number in range(1, self.depth + 1):
            x = TransformerBlock(self.heads, dropout=self.dropout, alpha=self.alpha, name=f"block_{number}")(x)
        x = layers.LayerNormalization(epsilon=1e-6, name="norm")(x)
        return keras.Model(inputs, layers.Dense(classes, name="logits")(self._pooled(x)), name=name)

    def _pooled(self, x: Tensor) -> Tensor:
        if self.pool == "class":
            return x[:, 0]
        return (layers.GlobalAveragePooling1D if self.pool == "mean" else AttentionPooling)(name="pool")(x)
