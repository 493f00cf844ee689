"""What a model takes: inputs checked, named and put into its structure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pellucid.errors import InvalidInput
from pellucid.shapes import Array, Inputs, Tensor


def input_names(native: Any) -> tuple[str, ...] | None:
    """Names of a functional model's inputs where it has several."""
    try:
        inputs = native.inputs
    except (AttributeError, ValueError):
        return None
    if not inputs or len(inputs) == 1:
        return None
    struct = getattr(native, "_inputs_struct", None)
    if isinstance(struct, Mapping) and len(struct) == len(inputs):
        return tuple(sorted(struct))  # the keys that it was made with, in the order in which Keras flattens them
    return tuple(i.name for i in inputs)


def packed(native: Any, names: tuple[str, ...] | None, tensors: Sequence[Tensor]) -> Any:
    """Tensors in the structure a Keras model takes."""
    if names is None:
        return tensors[0]
    if input_names(native) is None:  # a subclassed model that is given a dict
        return dict(zip(names, tensors, strict=True))
    import keras

    return keras.tree.pack_sequence_as(native._inputs_struct, list(tensors))


def numbers(name: str, given: Any) -> Array:
    """What was given as an array of finite numbers, examples first; or an error that says what is wrong with it."""
    try:
        array = np.asarray(given)
    except ValueError as problem:
        raise InvalidInput(f"{name}: the examples have different shapes: {problem}") from problem
    if array.dtype.kind == "b":
        array = array.astype(np.float32)
    if array.dtype.kind not in "iuf":
        raise InvalidInput(f"{name}: expected numbers, got {array.dtype}; encode text and categories as numbers first")
    if array.ndim == 0 or array.shape[0] == 0:
        raise InvalidInput(f"{name}: expected at least one example along the first axis, got shape {array.shape}")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        count = int((~np.isfinite(array)).sum())
        raise InvalidInput(f"{name}: {count} values are NaN or infinite, the first at {where}; impute or drop them")
    if array.dtype == np.float64 and array.size and np.abs(array).max() > np.finfo(np.float32).max:
        raise InvalidInput(f"{name}: a value of {array.flat[np.abs(array).argmax()]:.3g} is beyond float32; scale it")
    return array


def fingerprint(arrays: Sequence[Array]) -> str:
    """Sixteen hexadecimal digits that change with any number of some inputs."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(plain_bytes(array))
    return digest.hexdigest()[:16]


def plain_bytes(array: Array) -> memoryview:
    """An array's bytes in order, copied only where they do not lie so."""
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def broken_row(rows: Array) -> int | None:
    """The first row of (B, ...) that holds NaN or infinity."""
    fine = np.isfinite(rows)
    return None if fine.all() else int(np.argmin(fine.reshape(len(rows), -1).all(axis=1)))


def broken_input(x: Inputs) -> tuple[str, int] | None:
    """The name of an input, "x" for a single one, and its first example that holds NaN or infinity."""
    for name, array in (x if isinstance(x, Mapping) else {"x": x}).items():
        if array.dtype.kind == "f" and (at := broken_row(array)) is not None:
            return name, at
    return None


def check_tokens(name: str, array: Array, embedding: Any) -> None:
    """Raise where tokens are no rows of the embedding that reads them; frameworks differ in what they would do."""
    size = getattr(embedding, "input_dim", getattr(embedding, "num_embeddings", None))
    if size is None or not array.size:
        return
    wrong = (array < 0) | (array >= size) | (array != np.floor(array))
    if wrong.any():
        where = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise InvalidInput(f"{name}: tokens are 0 to {size - 1}, got {array[where]} at {where}")


def check_shapes(native: Any, names: tuple[str, ...] | None, arrays: Sequence[Array]) -> None:
    """Raise where arrays do not have the shapes that a Keras model states."""
    try:
        expected = [tuple(i.shape) for i in native.inputs]
    except (AttributeError, TypeError, ValueError):  # a subclassed model states no shapes
        return
    for name, shape, array in zip(names or ("x",), expected, arrays, strict=True):
        fits = len(shape) == array.ndim and all(s in (None, a) for s, a in zip(shape[1:], array.shape[1:], strict=True))
        if not fits:
            wanted = ", ".join(["B", *("any" if s is None else str(s) for s in shape[1:])])
            hint = "; for a single example give x[None]" if array.ndim == len(shape) - 1 else ""
            raise InvalidInput(f"{name}: the model takes ({wanted}), got {array.shape}{hint}")
