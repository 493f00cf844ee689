"""What a model makes of its inputs before the last layer: the features that its answer is a linear function of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pellucid.core import layers
from pellucid.core.anatomy import run_recorded
from pellucid.core.model import Model
from pellucid.core.tensors import to_array
from pellucid.errors import NotApplicable
from pellucid.shapes import Array, Floats, Tensor


def last_dense(model: Model, inputs: Sequence[Array]) -> Any:
    """The dense layer that gives the model's scores.

    Raises:
        NotApplicable: The last layer that weighs its inputs is of another kind, or there is none.
    """
    return model.kept(("last dense",), lambda: _found(model, inputs))


def _found(model: Model, inputs: Sequence[Array]) -> Any:
    _, calls = run_recorded(model, [a[:1] for a in inputs])
    weighing = [call for call in calls if len(getattr(_kernel(call.layer), "shape", ())) > 1]
    if weighing and len(_kernel(weighing[-1].layer).shape) == 2 and len(weighing[-1].inputs[0].shape) == 2:
        return weighing[-1].layer
    raise NotApplicable(f"{model.name} does not end in a dense layer, whose inputs would be its features")


def _kernel(layer: Any) -> Any:
    return getattr(layer, "kernel", None) if hasattr(layer, "call") else getattr(layer, "weight", None)


def kernel_and_bias(model: Model, layer: Any) -> tuple[Floats, Floats]:
    """The weights (D, K) and biases (K,) of a dense layer."""
    kernel = to_array(_kernel(layer))
    kernel = kernel.T if model.is_torch else kernel
    bias = getattr(layer, "bias", None)
    return kernel, to_array(bias) if bias is not None else 0 * kernel[0]


def features(model: Model, inputs: Sequence[Array]) -> Floats:
    """What goes into the last dense layer (B, D).

    Raises:
        NotApplicable: See `last_dense`.
    """
    layer = last_dense(model, inputs)

    def reading(*tensors: Tensor) -> Tensor:
        from keras import ops

        with layers.fed(layer) as seen:
            model.forward(tensors)
        return ops.cast(seen[-1], "float32")

    return model.in_chunks("outputs", model.compiled(("features",), lambda: reading), inputs)
