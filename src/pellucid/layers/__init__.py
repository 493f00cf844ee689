"""Keras layers whose weights can be read: attention dense and sparse, tokens, positions and a transformer block; and those
that remedies leave in a model: the mean of an ensemble, and isotonic calibration.

They are ordinary Keras 3 layers: they save and load with a model, honour and pass on masks, run in mixed precision and
on every framework. Wherever weights meet values, they do so in one method, `attend(weights, values)`, and nowhere else.
Where Keras itself loads a model that holds them, `import pellucid.layers` first; pellucid does so by itself.
"""

from pellucid.layers.block import TransformerBlock
from pellucid.layers.ensemble import EnsembleLogits
from pellucid.layers.isotonic import Isotonic
from pellucid.layers.pooling import AttentionPooling
from pellucid.layers.positions import LearnedPositions, SinusoidalPositions
from pellucid.layers.self_attention import SelfAttention, SparseAttention
from pellucid.layers.simplex import entmax15, softmax, sparsemax
from pellucid.layers.tokens import ClassToken, FeatureTokenizer

__all__ = [
    "AttentionPooling", "ClassToken", "EnsembleLogits", "FeatureTokenizer", "Isotonic", "LearnedPositions", "SelfAttention",
    "SinusoidalPositions", "SparseAttention", "TransformerBlock", "entmax15", "softmax", "sparsemax",
]  # fmt: skip
