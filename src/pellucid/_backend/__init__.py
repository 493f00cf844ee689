"""The only place that names a framework.

`keras.ops` runs on all three frameworks but cannot differentiate; the few functions in `contract.Backend` fill that
gap. `current()` gives the one that Keras is running on.
"""

from __future__ import annotations

import importlib
from functools import cache
from typing import Any, cast

from pellucid._backend.contract import Backend
from pellucid.errors import BackendMismatch


@cache
def _load(name: str) -> Backend:
    if name not in {"tensorflow", "jax", "torch"}:
        raise BackendMismatch(
            f"Keras runs on {name!r}, which cannot differentiate; set KERAS_BACKEND to tensorflow, jax or torch "
            "before Python starts"
        )
    return cast(Backend, importlib.import_module(f"pellucid._backend.{name}"))


def current() -> Backend:
    """The backend that Keras runs on in this process."""
    import keras

    return _load(keras.backend.backend())


def is_torch_module(model: object) -> bool:
    """Whether `model` is a plain `torch.nn.Module`; never imports torch to find out."""
    names = {f"{kind.__module__}.{kind.__name__}" for kind in type(model).__mro__}
    keras_layer = any(name.startswith("keras.") for name in names)
    return "torch.nn.modules.module.Module" in names and not keras_layer


def torch_backend(model: Any) -> Backend:
    """The torch backend, for a plain `torch.nn.Module`; an error with the remedy where Keras runs on another."""
    import keras

    if (running := keras.backend.backend()) != "torch":
        raise BackendMismatch(
            f"{type(model).__name__} is a torch.nn.Module, but Keras runs on {running!r} here; start Python with the "
            "environment variable KERAS_BACKEND=torch (or set it in os.environ before the first import of keras)"
        )
    return _load("torch")


def call_with(layer: Any, call: Any, weights: Any, x: Any) -> Any:
    """What a layer's own `call` gives for x with other weights: pairs of a variable of the layer and a tensor."""
    import keras

    if is_torch_module(layer):
        return cast(Any, _load("torch")).call_with(layer, weights, x)
    with keras.StatelessScope(state_mapping=weights):
        return call(x)


def watched(module: Any, instead: Any) -> Any:
    """Call `instead(name, function, args, kwargs)` in place of each torch function, for a `with` block."""
    return cast(Any, _load("torch")).watched(module, instead)
