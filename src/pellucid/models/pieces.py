"""Transformers of what comes as separate pieces: the columns of a table, the tokens of a text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
from keras import layers

from pellucid.layers import FeatureTokenizer, LearnedPositions
from pellucid.models.trunk import Trunk


def tabular_transformer(
    features: int, classes: int, cardinalities: Mapping[int, int] | None = None, **options: Any
) -> Any:
    """A transformer of a table (B, F): every column is a token, so that attention is between columns.

    Args:
        features: The number F of columns.
        classes: The number K of logits.
        cardinalities: For each categorical column its number of categories, as `pl.layers.FeatureTokenizer` takes them.
        options: `width`, `depth`, `heads`, `dropout`, `alpha`, `pool` of `pl.models.Trunk`.

    Raises:
        InvalidOption: A column that is not there, or an option outside its range.

    Example:
        >>> import pellucid as pl
        >>> model = pl.models.tabular_transformer(5, classes=2, cardinalities={4: 3})
        >>> model.get_layer("columns").output.shape, model.output_shape
        ((None, 5, 32), (None, 2))

    References:
        Gorishniy, Rubachev, Khrulkov and Babenko 2021, "Revisiting deep learning models for tabular data",
        arXiv:2106.11959.

    Limits:
        Uncompiled, and untrained. Numeric columns should be scaled alike. On small tables boosted trees are often better.
    """
    trunk, inputs = Trunk.of(options), keras.Input((features,), name="table")
    tokens = FeatureTokenizer(trunk.width, cardinalities, name="columns")(inputs)
    return trunk.model(inputs, tokens, classes, "tabular_transformer")


def text_transformer(length: int, vocabulary: int, classes: int, **options: Any) -> Any:
    """A transformer of token numbers (B, T), with `LearnedPositions`; 0 is padding, which nothing looks at.

    Args:
        length: The number T of tokens that texts are padded or cut to.
        vocabulary: The number of different tokens, 0 among them.
        classes: The number K of logits.
        options: `width`, `depth`, `heads`, `dropout`, `alpha`, `pool` of `pl.models.Trunk`.

    Raises:
        InvalidOption: An option outside its range.

    Example:
        >>> import pellucid as pl
        >>> model = pl.models.text_transformer(length=40, vocabulary=5000, classes=2, pool="attention")
        >>> model.input_shape, model.output_shape
        ((None, 40), (None, 2))

    References:
        Vaswani et al. 2017, "Attention is all you need", arXiv:1706.03762; Devlin et al. 2019, "BERT",
        arXiv:1810.04805.

    Limits:
        Uncompiled, and untrained: embeddings start at random and learn from the labels alone.
    """
    trunk, inputs = Trunk.of(options), keras.Input((length,), dtype="int32", name="tokens")
    tokens = layers.Embedding(vocabulary, trunk.width, mask_zero=True, name="embedding")(inputs)
    return trunk.model(inputs, LearnedPositions(name="positions")(tokens), classes, "text_transformer")
