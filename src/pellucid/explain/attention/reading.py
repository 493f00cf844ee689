"""The weights of every attention inside a model, by name, read in the run that gives the scores."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pellucid.core.attention import Seen, Site, rows_each, sites, watched
from pellucid.core.dataset import Dataset
from pellucid.core.inputs import broken_row, fingerprint
from pellucid.core.model import Model, wrap
from pellucid.core.record import Provenance, Record, Stopwatch, versions
from pellucid.core.registry import unknown
from pellucid.errors import InvalidInput, UnknownName
from pellucid.shapes import Array, Floats, Inputs, Tensor


@dataclass(frozen=True, eq=False)
class AttentionReading(Record):
    """What a model attends to: `reading["layer"]` or `reading[0]` are the weights (B, H, Q, K) of one attention.

    Attributes:
        weights: Weights (B, H, Q, K) by the name of their layer, in the order they run: row q says how position q divides its
            attention over positions k.
        inputs: What was read, as given.
        output: The model's scores (B, C), from the same run.
        self_attention: By name, whether queries and keys are positions of the same sequence.
        layer_kinds: By name, the class of the layer.
        kind, feature_names, class_names, columns, vocabulary: From the dataset, for reading and drawing.
        provenance: Cost, fingerprints of model and inputs, versions, notes.
    """

    weights: Mapping[str, Floats]
    inputs: Any
    output: Floats
    self_attention: Mapping[str, bool] = field(default_factory=dict)
    layer_kinds: Mapping[str, str] = field(default_factory=dict)
    kind: str = "tabular"
    feature_names: Sequence[str] | None = None
    class_names: Sequence[str] | None = None
    columns: Sequence[str] | None = None
    vocabulary: Sequence[str] | None = None
    provenance: Provenance = field(default_factory=Provenance)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the attentions, in the order they run."""
        return tuple(self.weights)

    def __getitem__(self, key: str | int) -> Floats:
        """Weights (B, H, Q, K) of an attention, by its name or its number.

        Raises:
            UnknownName: There is none of that name or number.
        """
        if isinstance(key, str):
            if key not in self.weights:
                raise UnknownName(unknown("attention", key, self.names))
            return self.weights[key]
        if not -len(self.names) <= key < len(self.names):
            raise UnknownName(f"no attention number {key}; there are {len(self.names)}: {', '.join(self.names)}")
        return self.weights[self.names[key]]

    def __iter__(self) -> Iterator[str]:
        return iter(self.weights)

    def __contains__(self, name: object) -> bool:
        return name in self.weights

    def __len__(self) -> int:
        return len(self.output)

    def __repr__(self) -> str:
        lines = [
            f"  {name}: {w.shape[1]} heads, {w.shape[2]} queries, {w.shape[3]} keys ({self.layer_kinds.get(name, '')})"
            for name, w in self.weights.items()
        ]
        return "\n".join([f"AttentionReading of {len(self)} examples:", *lines])


def attention(model: Any, x: Inputs | Dataset) -> AttentionReading:
    """Read the weights of every attention inside a model, in one run, without changing what it gives.

    a = softmax(q k^T / sqrt(d)) after masks, as the model itself uses it, for each head; fused kernels, which never write it
    down, are computed step by step for the reading only.

    Args:
        model: A model, or what `wrap` takes. Read are MultiHeadAttention, GroupQueryAttention, Attention and
            AdditiveAttention of Keras, the layers of `pellucid.layers`, torch.nn.MultiheadAttention, and torch modules that
            call scaled_dot_product_attention, as Hugging Face's transformers do.
        x: Examples (B, ...), a dict of them for several inputs, or a `Dataset` (its names are kept).

    Returns:
        An `AttentionReading`.

    Raises:
        InvalidInput: There is no attention in the model, the inputs do not fit, or the scores are not finite.

    Example:
        >>> import keras, numpy as np, pellucid as pl
        >>> tokens = keras.Input((5, 8))
        >>> attended = keras.layers.MultiHeadAttention(2, 4, name="look")(tokens, tokens)
        >>> net = keras.Model(tokens, keras.layers.Dense(3)(keras.layers.GlobalAveragePooling1D()(attended)))
        >>> reading = pl.attention(net, np.ones((4, 5, 8)))
        >>> reading
        AttentionReading of 4 examples:
          look: 2 heads, 5 queries, 5 keys (MultiHeadAttention)
        >>> reading["look"].shape, reading["look"][0, 0, 0].astype(float).round(3).tolist()
        ((4, 2, 5, 5), [0.2, 0.2, 0.2, 0.2, 0.2])

    References:
        Vaswani et al. 2017, Attention Is All You Need, arXiv:1706.03762.
        Jain & Wallace 2019, Attention is not Explanation, arXiv:1902.10186.

    Limits:
        A weight says how much of a value is taken, not what the value holds nor whether the score needs it: very different
        weights can give the same output (Jain & Wallace 2019). Deeper layers attend to mixtures of positions, not to tokens.
        All weights are held in memory: B H Q K numbers a layer.
    """
    clock, model = Stopwatch(), wrap(model)
    data = x if isinstance(x, Dataset) else None
    inputs = model.prepare(x)
    found = sites(model, inputs)
    scores, *weights = _read(model, inputs, found)
    if (row := broken_row(scores)) is not None:
        raise InvalidInput(
            f"x: {model.name} gives NaN or infinity for example {row}; what it attends to there says nothing"
        )
    provenance = Provenance(
        method="attention", evaluations=len(scores), seconds=clock.seconds, model=model.fingerprint(),
        inputs=fingerprint(inputs),
        versions=versions(), notes=tuple(note for note in (model.anatomy.note,) if note),
    )  # fmt: skip
    names = [site.name for site in found]
    return AttentionReading(
        weights=dict(zip(names, weights, strict=True)),
        inputs=dict(zip(model.names, inputs, strict=True)) if model.names else inputs[0], output=scores,
        self_attention={site.name: site.self_attention for site in found},
        layer_kinds={site.name: site.kind for site in found}, kind=(data.kind if data else None) or _kind(inputs),
        provenance=provenance, **(data.described if data else {}),
    )  # fmt: skip


def _read(model: Model, inputs: tuple[Array, ...], found: Sequence[Site]) -> tuple[Floats, ...]:
    """Scores (B, C) and the weights (B, H, Q, K) of each site."""

    def step(*tensors: Tensor) -> tuple[Tensor, ...]:
        weights: list[Tensor] = []

        def keep(seen: Seen) -> None:
            weights.append(seen.weights)

        with watched(model, keep):
            scores = model.forward(tensors)
        return (scores, *weights)

    return model.in_chunks("attention", model.compiled("attention", lambda: step), inputs, rows_each(model, found, 2))


def _kind(inputs: Sequence[Array]) -> str:
    """What to take inputs for where no dataset says: tokens are whole numbers (B, T)."""
    if inputs[0].ndim == 2 and inputs[0].dtype.kind in "iu":
        return "text"
    return {4: "image", 3: "sequence"}.get(inputs[0].ndim, "tabular")
