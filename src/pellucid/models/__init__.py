"""Small transformers for six kinds of data, built on `pellucid.layers`: one trunk, six ways to make tokens.

Each builder gives an uncompiled Keras model whose outputs are logits:

    model = pl.models.vision_transformer((8, 8, 1), classes=10, patch=2)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(2e-3), loss, metrics=["accuracy"])

Layers have the same names in all of them: "positions", "class_token", "block_1" with its "attention", "norm", "pool",
"logits".
"""

from pellucid.models.patches import audio_transformer, sequence_transformer, video_transformer, vision_transformer
from pellucid.models.pieces import tabular_transformer, text_transformer
from pellucid.models.trunk import Trunk

__all__ = [
    "Trunk", "audio_transformer", "sequence_transformer", "tabular_transformer", "text_transformer", "video_transformer",
    "vision_transformer",
]  # fmt: skip
