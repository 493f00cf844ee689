"""Reading a saved model without letting it run code of its author."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

from pellucid.errors import UnreadableFile, UnsafeModel

_ZIP, _HDF5, _PICKLE = b"PK\x03\x04", b"\x89HDF", b"\x80"


def read_model(path: Path, *, trust: bool = False) -> Any:
    """Load a Keras model in safe mode.

    Args:
        path: A `.keras` or `.h5` file.
        trust: Load it even if that runs code of its author (Lambda layers); a pickle is refused all the same.

    Raises:
        UnreadableFile: Missing, damaged, cut short, or made of parts that Keras does not know.
        UnsafeModel: A pickle, or a model that needs `trust`.
    """
    _check_kind(path, _first_bytes(path))
    import keras

    try:
        return keras.saving.load_model(path, compile=True, safe_mode=not trust)
    except Exception as problem:  # Keras, h5py and zipfile each have errors of their own
        raise _diagnosed(path, problem) from problem


def _first_bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(8)
    except IsADirectoryError:
        raise UnreadableFile(f"{path} is a folder; save the model as one file: model.save('model.keras')") from None
    except OSError as problem:
        raise UnreadableFile(f"{path}: cannot be read: {problem.strerror or problem}") from None


def _check_kind(path: Path, first: bytes) -> None:
    names: list[str] = []
    if first.startswith(_ZIP) and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    pickled = any(name.endswith("data.pkl") for name in names)  # the way PyTorch saves
    if first.startswith(_PICKLE) or pickled or path.suffix in {".pkl", ".pickle", ".joblib", ".pt", ".pth"}:
        raise UnsafeModel(
            f"{path} is a pickle, which runs code of its author while loading, and is refused; "
            "save a Keras model with model.save('model.keras'), or wrap the model in Python: pl.wrap(model)"
        )
    if first.startswith(_HDF5):
        return
    if not first.startswith(_ZIP):
        raise UnreadableFile(f"{path} is not a Keras model file; save one with model.save('model.keras')")
    if "config.json" not in names:
        raise UnreadableFile(f"{path} is damaged or cut short; save the model again: model.save('model.keras')")


def _diagnosed(path: Path, problem: Exception) -> UnreadableFile | UnsafeModel:
    told = str(problem).strip().splitlines() or [type(problem).__name__]
    if "safe_mode" in str(problem) or "unsafe" in str(problem).lower():
        return UnsafeModel(
            f"{path} holds code of its author (a Lambda layer, for one) that would run while loading; "
            "if you made it or trust who did, say --trust-model"
        )
    if isinstance(problem, zipfile.BadZipFile | OSError | EOFError | KeyError):
        return UnreadableFile(
            f"{path} is damaged or cut short: {told[0]}; save the model again: model.save('model.keras')"
        )
    return UnreadableFile(
        f"{path} could not be loaded: {told[0]}; a model with classes of your own is wrapped in Python: pl.wrap(model)"
    )
