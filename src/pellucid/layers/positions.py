"""Where a token stands, added to what it is: attention by itself does not know the order."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers, ops

from pellucid.core.options import whole
from pellucid.errors import InvalidInput
from pellucid.shapes import Tensor


@keras.saving.register_keras_serializable(package="pellucid")
class SinusoidalPositions(layers.Layer):
    """Waves of many lengths added to tokens (B, T, D): nothing is learned, and any length T works.

    p[t, 2i] = sin(t / wavelength^(2i / D)), p[t, 2i + 1] = cos(t / wavelength^(2i / D)).

    Args:
        wavelength: The longest wave is nearly 2 pi times this.

    Example:
        >>> import numpy as np, pellucid as pl
        >>> y = pl.layers.SinusoidalPositions()(np.zeros((1, 2, 2), "float32"))
        >>> [round(float(v), 4) for v in y[0, 1]]
        [0.8415, 0.5403]

    References:
        Vaswani et al. 2017, "Attention is all you need", arXiv:1706.03762.

    Limits:
        Waves are between -1 and 1; they drown tokens that are much smaller.
    """

    def __init__(self, wavelength: float = 10_000.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.wavelength = wavelength
        self.supports_masking = True

    def call(self, inputs: Tensor) -> Tensor:
        """Tokens (B, T, D) with their positions added."""
        length, width = ops.shape(inputs)[1], inputs.shape[-1]
        column = np.arange(width)
        rates = self.wavelength ** -(column // 2 * 2 / width)
        angles = ops.cast(ops.arange(length), "float32")[:, None] * ops.convert_to_tensor(rates.astype("float32"))
        waves = ops.where(ops.convert_to_tensor(column % 2 == 0), ops.sin(angles), ops.cos(angles))
        return inputs + ops.cast(waves, inputs.dtype)[None]

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """As the input."""
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        """The options, as Keras saves them."""
        return {**super().get_config(), "wavelength": self.wavelength}


@keras.saving.register_keras_serializable(package="pellucid")
class LearnedPositions(layers.Layer):
    """A learned vector for each position, added to tokens (B, T, D): y[b, t] = x[b, t] + p[t].

    Args:
        length: The most positions there can be; None for the T that the layer is built with.

    Raises:
        InvalidInput: More tokens than positions, or a `length` of None for inputs of any length.

    Example:
        >>> import numpy as np, pellucid as pl
        >>> layer = pl.layers.LearnedPositions()
        >>> y = layer(np.zeros((2, 5, 3), "float32"))
        >>> tuple(layer.table.shape)
        (5, 3)

    References:
        Devlin et al. 2019, "BERT", arXiv:1810.04805; Dosovitskiy et al. 2021, "An image is worth 16x16 words",
        arXiv:2010.11929.

    Limits:
        Positions that training never saw are noise.
    """

    def __init__(self, length: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.length = length
        if length is not None:
            whole(self, "length")
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        """Make the table for inputs (B, T, D)."""
        length = self.length or input_shape[1]
        if length is None:
            raise InvalidInput(
                "length: inputs of any length need a number of positions; give length=, or SinusoidalPositions"
            )
        initializer = keras.initializers.RandomNormal(stddev=0.02)
        self.table = self.add_weight(shape=(length, input_shape[-1]), initializer=initializer, name="table")
        self.built = True

    def call(self, inputs: Tensor) -> Tensor:
        """Tokens (B, T, D) with their positions added."""
        length, most = inputs.shape[1], self.table.shape[0]
        if length is not None and length > most:
            raise InvalidInput(
                f"inputs: {length} tokens but {most} positions; make the layer with length={length} or more"
            )
        table = ops.convert_to_tensor(self.table)[: ops.shape(inputs)[1]]
        return inputs + ops.cast(table, inputs.dtype)[None]

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """As the input."""
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        """The options, as Keras saves them."""
        return {**super().get_config(), "length": self.length}
