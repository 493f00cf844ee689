"""A model in training whose attention has a price: it is read in every run, and what it costs is added to the loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pellucid.core.attention import Seen, rows_each, sites, watched
from pellucid.core.chunks import run
from pellucid.core.dataset import Dataset
from pellucid.core.model import Model
from pellucid.errors import NotApplicable
from pellucid.improve.attention import AttentionRemedy
from pellucid.shapes import Tensor

BESIDE = "beside_"
"""Before the slot of a remedy, the name of the input that it needs."""


class Priced:
    """A Keras model, and the one around it that is trained in its place.

    Args:
        model: The compiled model.
        remedies: What its attention costs.
        train: The training data.

    Raises:
        InvalidInput: There is no attention in the model, or rationales that do not fit the data.
    """

    def __init__(self, model: Any, remedies: Sequence[AttentionRemedy], train: Dataset) -> None:
        self.remedies, self.inside, self._train = remedies, Model(model), train
        seen = sites(self.inside, self.inside.prepare(train.take(slice(0, 1)).x))
        self._each = rows_each(self.inside, seen, 2)
        found = {r.slot: r.beside(len(train)) for r in remedies}
        self._beside = {BESIDE + slot: array for slot, array in found.items() if array is not None}
        self.model = _around(self)
        self.model.compile(**model._compile_config.config)
        self.model(self.train.take(slice(0, 1)).x, training=False)

    @property
    def train(self) -> Dataset:
        """The training data, with what the prices have to know of each example."""
        x = self._train.x
        given = dict(x) if isinstance(x, dict) else {"x": x}
        if clash := set(given) & set(self._beside):
            raise NotApplicable(f"an input of the model has the name {min(clash)!r}; give it another")
        return Dataset({**given, **self._beside}, self._train.y)

    def run(self, inputs: Mapping[str, Tensor], training: Any) -> tuple[Any, list[Tensor]]:
        """What the model gives, and the prices (B,)."""
        own = {name: t for name, t in inputs.items() if name not in self._beside}
        weights: dict[str, Tensor] = {}

        def read(seen: Seen) -> None:
            weights[seen.name] = seen.weights

        with watched(self.inside, read):
            out = self.inside.native(own if self.inside.names else own["x"], training=training)
        return out, [r.price(weights, inputs.get(BESIDE + r.slot)) for r in self.remedies]

    def costs(self, inputs: Mapping[str, Tensor], training: Any) -> tuple[Any, list[Tensor]]:
        """What the model gives, and what is added to its loss."""
        from keras import ops

        out, prices = self.run(inputs, training)
        return out, [ops.mean(p) for p in prices]

    def amounts(self) -> dict[str, float]:
        """What each price comes to on average over the training data, at the present weights."""
        whole: Any = self.train.x
        names = list(whole)

        def step(*tensors: Tensor) -> tuple[Tensor, ...]:
            return tuple(self.run(dict(zip(names, tensors, strict=True)), False)[1])

        compiled = self.inside.compiled(("prices", tuple(names)), lambda: step)
        rows, pad = self.inside.comfortable, self.inside.backend.static_shapes  # not measured, so that logs are equal
        columns = run(compiled, list(whole.values()), self._each, rows, pad=pad)
        return {r.slot: float(c.mean(dtype=np.float64)) for r, c in zip(self.remedies, columns, strict=True)}


def _around(priced: Priced) -> Any:
    import keras

    class Attentive(keras.Model):
        """Gives what the model inside gives, and adds the prices of its attention."""

        def __init__(self) -> None:
            super().__init__(name=priced.inside.native.name)
            self.inside = priced.inside.native

        def call(self, inputs: Any, training: Any = None) -> Any:
            out, prices = priced.costs(inputs, training)
            for price in prices:
                self.add_loss(price)
            return out

    return Attentive()
