"""What the units of a hidden layer say of rows, and the model's answers with some of it taken away."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pellucid.core import layers
from pellucid.core.hidden import outputs_of
from pellucid.core.model import Model
from pellucid.errors import InvalidOption, NotApplicable
from pellucid.shapes import Array, Floats, Tensor


def check_layer(owner: Any) -> None:
    """Require the option `layer` to be a name."""
    if not isinstance(owner.layer, str) or not owner.layer:
        raise InvalidOption(f"{type(owner).__name__}.layer: expected the name of a hidden layer, got {owner.layer!r}")


class Units:
    """The units of a layer: its last axis, or the channels where they come first; several positions have the same units.

    Raises:
        UnknownName: There is no layer of that name.
        InvalidInput: The layer is an input, or does nothing when the model runs.
        NotApplicable: The layer runs several times for each row.
    """

    def __init__(self, model: Model, name: str, inputs: Sequence[Array]) -> None:
        shapes = outputs_of(model, name, inputs)
        if len(shapes) > 1 or len(shapes[0]) < 2:
            why = f"runs {len(shapes)} times" if len(shapes) > 1 else "puts out one number"
            raise NotApplicable(f"the layer {name!r} {why} for each row, so that its units are not told apart")
        self.model, self.name, self.inputs = model, name, inputs
        self.layer = layers.find(model.native, name)
        first = getattr(self.layer, "data_format", "") == "channels_first" or (model.is_torch and len(shapes[0]) > 3)
        self.axis = 1 if first else len(shapes[0]) - 1
        self.count = int(shapes[0][self.axis])

    def activations(self, inputs: Sequence[Array]) -> Floats:
        """What each unit puts out for each row (B, U), the mean over positions."""

        def reading(*tensors: Tensor) -> Tensor:
            from keras import ops

            with layers.read(self.layer) as seen:
                self.model.forward(tensors)
            last = ops.moveaxis(ops.cast(seen[-1], "float32"), self.axis, -1)
            return ops.mean(ops.reshape(last, (ops.shape(last)[0], -1, self.count)), axis=1)

        step = self.model.compiled(("units", self.name), lambda: reading)
        return self.model.in_chunks("outputs", step, inputs)

    def scores_within(self, inputs: Sequence[Array], kept: Floats, middle: Floats) -> Floats:
        """Scores (B, K) with middle + (h - middle) kept in place of what the units put out, h; kept is (U, U), middle (U,)."""

        def changed(*tensors: Tensor) -> Tensor:
            from keras import ops

            *given, matrix, centre = tensors

            def make(original: layers.Call) -> layers.Call:
                def call(*inside: Any, **options: Any) -> Any:
                    output = original(*inside, **options)
                    first = output[0] if isinstance(output, list | tuple) else output
                    last = ops.cast(ops.moveaxis(first, self.axis, -1), "float32")
                    found = ops.moveaxis(centre + ops.matmul(last - centre, matrix), -1, self.axis)
                    return layers.with_first(output, ops.cast(found, first.dtype))

                return call

            with layers.replaced(self.layer, make):
                return self.model.forward(given)

        step = self.model.compiled(("within", self.name), lambda: changed)
        held = [a.astype(np.float32) for a in (kept, middle)]
        return self.model.in_chunks("outputs", lambda *part: step(*part, *held), inputs)
