"""What things without a written form of their own are made of: functions, models, and objects such as a loss.

Two functions of one name may compute different things, and so may two models of one shape. What is told here changes with
what they do, and neither with where they lie in memory nor with how Keras numbers its layers.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
import types
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from pellucid.shapes import Array

LIBRARIES = frozenset(
    {"keras", "numpy", "tensorflow", "jax", "jaxlib", "torch", "sklearn", "scipy", "builtins", "math"}
)
"""What is in them is known by name: their versions are told elsewhere."""

_PASSING = {"name", "_name", "path", "_path", "built"}
"""Attributes that say nothing of what an object does."""

_KERAS_OWN = {"build", "quantize", "train_function", "test_function", "predict_function", "loss"}
"""What Keras itself sets in layers and models, some of it only once they have run."""

CHUNK = 2**20
"""Numbers that are looked at together: a copy of large data would not fit beside them."""

_FUNCTIONS = (types.FunctionType, types.MethodType, functools.partial)


def contents(value: Any, within: frozenset[int] = frozenset()) -> Any:
    """A plain form of anything; `within` are the things around it, which are not told again."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, bytes):
        return ["bytes", _short(value)]
    if id(value) in within:
        return ["again", type(value).__qualname__]
    tell = functools.partial(contents, within=within | {id(value)})
    for kind, told in _KINDS.items():
        if isinstance(value, kind):
            return told(value, tell)
    return _model(value, tell) or _object(value, tell)


def of_array(array: Array) -> list[Any]:
    """Kind, shape and numbers of an array: zeros are alike whatever their sign, and so are all NaN."""
    flat = np.ascontiguousarray(array.astype(str) if array.dtype == object else array).reshape(-1)
    digest = hashlib.sha256()
    for start in range(0, flat.size, CHUNK):
        part = flat[start : start + CHUNK]
        if part.dtype.kind in "fc":
            part = np.where(np.isnan(part), part.dtype.type(np.nan), part + part.dtype.type(0))
        digest.update(part.tobytes())
    return [flat.dtype.str, list(array.shape), digest.hexdigest()[:32]]


def of_config(ask: Callable[[], Any]) -> str:
    """What a Keras object says of itself; nothing where its author gave it no way to."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that code cannot be loaded safely: nothing is to be loaded from this
            return re.sub(r" at 0x[0-9a-f]+", "", json.dumps(ask(), sort_keys=True, default=str))
    except (NotImplementedError, TypeError, ValueError, AttributeError):
        return ""


Tell = Callable[[Any], Any]


def _function(function: types.FunctionType, tell: Tell) -> Any:
    """Code, defaults, what it closes over, and the module's own things that it reads."""
    if _of_library(function):
        return ["function", function.__module__, function.__qualname__]
    held = [_in_cell(cell, tell) for cell in function.__closure__ or ()]
    given = [tell(function.__defaults__), tell(function.__kwdefaults__)]
    return ["function", tell(function.__code__), given, held, _read(function, tell)]


def _in_cell(cell: Any, tell: Tell) -> Any:
    try:
        return tell(cell.cell_contents)
    except ValueError:  # a name that has no value yet
        return ["empty"]


def _read(function: types.FunctionType, tell: Tell) -> Any:
    """Numbers, arrays and functions of its own module that a function reads by name."""
    found = {}
    for name in _names(function.__code__):
        there = function.__globals__.get(name)
        ours = isinstance(there, types.FunctionType) and there.__module__ == function.__module__
        if ours or isinstance(there, int | float | str | tuple | list | np.ndarray | np.generic):
            found[name] = tell(there)
    return found


def _names(code: types.CodeType) -> list[str]:
    inner = [name for part in code.co_consts if isinstance(part, types.CodeType) for name in _names(part)]
    return sorted({*code.co_names, *inner})


def _code(code: types.CodeType, tell: Tell) -> Any:
    return ["code", _short(code.co_code), [tell(part) for part in code.co_consts], list(code.co_names)]


def _class(kind: type, tell: Tell) -> Any:
    """Its name, and the code of what its author wrote in it and in the classes it comes from."""
    own = [k for k in kind.__mro__ if not _of_library(k)]
    written = {f"{k.__qualname__}.{n}": tell(v) for k in own for n, v in vars(k).items() if _is_code(v)}
    return ["class", kind.__qualname__, written]


def _is_code(value: Any) -> bool:
    return isinstance(value, types.FunctionType | staticmethod | classmethod | property)


def _object(value: Any, tell: Tell) -> Any:
    """Its class, what it says of itself, and what it holds under names of its own."""
    said = re.sub(r'"name": "[^"]*"', "", of_config(value.get_config)) if hasattr(value, "get_config") else ""
    deep = not _of_library(type(value))
    held = {n: tell(v) for n, v in getattr(value, "__dict__", {}).items() if n not in _PASSING and _is_plain(v, deep)}
    return ["object", tell(type(value)), said, dict(sorted(held.items()))]


def _is_plain(value: Any, deep: bool) -> bool:
    """Whether an attribute is told: functions and what has a configuration always, numbers where the class is no library's."""
    if isinstance(value, _FUNCTIONS):
        return True
    if hasattr(value, "get_config"):
        return not isinstance(value, type)
    return deep and isinstance(value, int | float | str | tuple | np.ndarray | np.generic)


def _model(value: Any, tell: Tell) -> Any:
    """Weights and structure of a model, wrapped or not; None for what is none."""
    from pellucid import _backend
    from pellucid.core.model import Model, wrap

    if not (isinstance(value, Model) or hasattr(value, "_flatten_layers") or _backend.is_torch_module(value)):
        return None
    model = value if isinstance(value, Model) else wrap(value)
    if model.is_keras:
        return ["model", model.asked, model.fingerprint(), structure(model.native)]
    inside = repr(model.native) if model.is_torch else tell(model.native)
    return ["model", model.asked, model.fingerprint(), inside]


def structure(model: Any) -> list[Any]:
    """How a Keras model is built: its configuration with layers by number, and the code of what its author wrote."""
    said = of_config(model.get_config)
    for number, name in enumerate(dict.fromkeys(re.findall(r'"name": ("[^"]*")', said))):
        said = said.replace(name, f'"#{number}"')
    return [said, [_layer(layer) for layer in model._flatten_layers(include_self=True)]]


def _layer(layer: Any) -> Any:
    """The code of a layer's class, where it is no library's, and its functions, such as an activation: a name says too little."""
    own = {n: f for n, f in vars(layer).items() if n not in _KERAS_OWN and isinstance(f, _FUNCTIONS)}
    return [contents(type(layer)), contents(own)]


def _partial(value: functools.partial[Any], tell: Tell) -> Any:
    return ["partial", tell(value.func), tell(value.args), tell(value.keywords)]


def _mapping(value: Mapping[Any, Any], tell: Tell) -> Any:
    return ["mapping", sorted(([str(key), tell(item)] for key, item in value.items()), key=lambda pair: pair[0])]


def _of_library(thing: Any) -> bool:
    return str(getattr(thing, "__module__", "")).split(".")[0] in LIBRARIES


def _short(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32]


_KINDS: dict[Any, Callable[[Any, Tell], Any]] = {
    types.FunctionType: _function,
    types.CodeType: _code,
    types.MethodType: lambda m, tell: ["method", tell(m.__func__), tell(m.__self__)],
    types.BuiltinFunctionType: lambda f, tell: ["builtin", f.__module__, f.__qualname__],
    types.ModuleType: lambda m, tell: ["module", m.__name__],
    staticmethod | classmethod: lambda m, tell: tell(m.__func__),
    property: lambda p, tell: [tell(p.fget), tell(p.fset)],
    functools.partial: _partial,
    np.ndarray: lambda a, tell: of_array(a),
    np.generic: lambda a, tell: a.item(),
    Mapping: _mapping,
    tuple | list: lambda items, tell: [tell(item) for item in items],
    set | frozenset: lambda items, tell: sorted((tell(item) for item in items), key=repr),
    type: _class,
}
