"""Tokens: the columns of a table as vectors, and one more vector that asks on behalf of the answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from pellucid.core.options import whole
from pellucid.errors import InvalidOption
from pellucid.shapes import Tensor


@keras.saving.register_keras_serializable(package="pellucid")
class ClassToken(layers.Layer):
    """One learned token put before the others: (B, T, D) to (B, T + 1, D).

    What it has taken up after some blocks stands for the whole sequence; its row of weights tells from where. A mask
    (B, T) gets one more position, which always counts.

    Example:
        >>> import numpy as np, pellucid as pl
        >>> from keras import ops
        >>> y = pl.layers.ClassToken()(np.ones((2, 5, 3), "float32"))
        >>> tuple(y.shape), ops.convert_to_numpy(y)[0, 1, 0].tolist()
        ((2, 6, 3), 1.0)

    References:
        Devlin et al. 2019, "BERT", arXiv:1810.04805.

    Limits:
        It learns slowly on little data; pooling by attention or the mean is then better.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        """Make the token for inputs (B, T, D)."""
        initializer = keras.initializers.RandomNormal(stddev=0.02)
        self.token = self.add_weight(shape=(1, 1, input_shape[-1]), initializer=initializer, name="token")
        self.built = True

    def call(self, inputs: Tensor) -> Tensor:
        """(B, T, D) to (B, T + 1, D), the token first."""
        token = ops.cast(ops.convert_to_tensor(self.token), inputs.dtype)
        return ops.concatenate([ops.repeat(token, ops.shape(inputs)[0], axis=0), inputs], axis=1)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """The mask with a place before it that counts."""
        return None if mask is None else ops.concatenate([ops.ones_like(mask[:, :1]), mask], axis=1)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """(B, T + 1, D)."""
        batch, length, width = input_shape
        return (batch, None if length is None else length + 1, width)


@keras.saving.register_keras_serializable(package="pellucid")
class FeatureTokenizer(layers.Layer):
    """The columns of a table as tokens, so that attention can weigh them: (B, F) to (B, F, D).

    A numeric column becomes x_f w_f + b_f, a categorical one e_f[x_f] + b_f, with vectors w_f, b_f and rows e_f[0], ...
    of width D that are learned. Column f is token f; with a class token before them it is token f + 1.

    Args:
        width: The width D of a token.
        cardinalities: For each categorical column its number of categories, such as `{2: 5}` for column 2 with values
            0 to 4. Any other value in such a column has one further vector, for what is unknown.
        class_token: Whether a learned token is put before the columns: (B, F + 1, D).

    Raises:
        InvalidOption: A column that is not there, a width or cardinality that is no whole number above 0.

    Example:
        >>> import numpy as np, pellucid as pl
        >>> x = np.array([[0.5, 0.0], [1.5, 2.0]], "float32")
        >>> tokens = pl.layers.FeatureTokenizer(8, cardinalities={1: 3})(x)
        >>> tuple(tokens.shape)
        (2, 2, 8)

    References:
        Gorishniy, Rubachev, Khrulkov and Babenko 2021, "Revisiting deep learning models for tabular data",
        arXiv:2106.11959.

    Limits:
        Numeric columns should be scaled alike. A categorical column has no gradient at its number.
    """

    def __init__(
        self, width: int, cardinalities: Mapping[int, int] | None = None, class_token: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(autocast=False, **kwargs)  # half precision would round the numbers of categories
        self.width, self.class_token = width, bool(class_token)
        whole(self, "width")
        # JSON writes the numbers of columns as text
        self.cardinalities = dict(sorted((int(column), count) for column, count in (cardinalities or {}).items()))
        for column, count in self.cardinalities.items():
            if isinstance(count, bool) or not isinstance(count, int) or count < 1:
                raise InvalidOption(f"cardinalities[{column}]: expected a number of categories, got {count!r}")

    def build(self, input_shape: Any) -> None:
        """Make the vectors for inputs (B, F)."""
        features, rows = input_shape[-1], sum(count + 1 for count in self.cardinalities.values())
        wrong = [column for column in self.cardinalities if not 0 <= column < features]
        if wrong:
            raise InvalidOption(f"cardinalities: columns are 0 to {features - 1}, got {wrong[0]}")
        self._numeric = [f for f in range(features) if f not in self.cardinalities]
        spread = keras.initializers.RandomUniform(-(self.width**-0.5), self.width**-0.5)
        make = lambda name, count: self.add_weight(shape=(count, self.width), initializer=spread, name=name)  # noqa: E731
        self.slope = make("slope", len(self._numeric)) if self._numeric else None
        self.embeddings = make("embeddings", rows) if rows else None
        self.offset = make("offset", features)
        if self.class_token:
            self.class_token_layer = ClassToken(dtype=self.dtype_policy, name="class_token")
            self.class_token_layer.build((input_shape[0], features, self.width))
        self.built = True

    def call(self, inputs: Tensor) -> Tensor:
        """Columns (B, F) to tokens (B, F, D), or (B, F + 1, D) with a class token."""
        parts, columns = [], [*self._numeric, *self.cardinalities]
        if self._numeric:
            values = ops.cast(ops.take(inputs, self._numeric, axis=1), self.compute_dtype)
            parts.append(values[..., None] * ops.cast(self.slope, self.compute_dtype)[None])
        if self.cardinalities:
            rows = self._rows(ops.take(inputs, list(self.cardinalities), axis=1))
            parts.append(ops.cast(ops.take(self.embeddings, rows, axis=0), self.compute_dtype))
        tokens = parts[0] if len(parts) == 1 else ops.concatenate(parts, axis=1)
        if columns != sorted(columns):
            tokens = ops.take(tokens, np.argsort(columns).tolist(), axis=1)
        tokens = tokens + ops.cast(self.offset, self.compute_dtype)[None]
        return self.class_token_layer(tokens) if self.class_token else tokens

    def _rows(self, codes: Tensor) -> Tensor:
        """The row of the embedding for each category (B, C): the last of a column's rows is for what is unknown."""
        counts = np.array(list(self.cardinalities.values()), "int32")
        first = ops.convert_to_tensor(np.cumsum([0, *counts[:-1] + 1]).astype("int32"))
        row, unknown = ops.cast(ops.round(codes), "int32"), ops.convert_to_tensor(counts)
        known = ops.logical_and(ops.logical_and(row >= 0, row < unknown), ops.cast(row, codes.dtype) == codes)
        return first + ops.where(known, row, unknown)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """(B, F, D), or (B, F + 1, D) with a class token."""
        return (input_shape[0], input_shape[1] + self.class_token, self.width)

    def compute_output_spec(self, inputs: Any) -> Any:
        """What `call` gives, without running it."""
        return keras.KerasTensor(self.compute_output_shape(inputs.shape), dtype=self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        """The options, as Keras saves them."""
        columns = {str(column): count for column, count in self.cardinalities.items()}
        return {**super().get_config(), "width": self.width, "cardinalities": columns, "class_token": self.class_token}
