"""Opening a model file that someone else may have made: nothing in it is run unless its owner says so."""

from __future__ import annotations

import importlib
import json
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pellucid.errors import UnreadableFile, UnsafeModel

_ZIP, _HDF5 = b"PK\x03\x04", b"\x89HDF\r\n\x1a\n"
_PICKLES = (".pkl", ".pickle", ".joblib", ".pt", ".pth", ".bin", ".ckpt")
_CODE = {"Lambda", "__lambda__", "TorchModuleWrapper", "TFSMLayer"}
_ALLOW = (
    "if you made the file or trust who did, allow it: load_model(path, trust=True), on the command line --trust-model"
)


def load_model(path: str | Path, *, trust: bool = False) -> Any:
    """Load a Keras model from a `.keras` or `.h5` file in safe mode.

    The file is looked at before Keras sees it: it must be whole, and must not hold code (a Lambda layer is Python byte
    code, a wrapped torch module a pickle, a TFSMLayer a graph). A file that is itself a pickle is never opened.

    Args:
        path: The file.
        trust: Whether the owner allows code in the file to run. Pickles stay refused.

    Raises:
        UnsafeModel: A pickle, or code in a file that is not trusted; says how it may be allowed.
        UnreadableFile: No such file, cut short, damaged, or built on classes that are not known here.

    Example:
        >>> load_model("model.pkl")
        Traceback (most recent call last):
        ...
        pellucid.errors.UnreadableFile: model.pkl: no such file

    Limits:
        Safe mode keeps code from running; it does not make an unknown author's weights trustworthy.
    """
    path = Path(path)
    config = _config(path)
    found = sorted(_CODE & set(_class_names(config)))
    if found and not trust:
        raise UnsafeModel(f"{path}: holds code that would run while loading ({', '.join(found)}); {_ALLOW}")
    if any(name.startswith("pellucid>") for name in _class_names(config, "registered_name")):
        importlib.import_module("pellucid.layers")  # Keras knows them once they are imported
    return _loaded(path, trust)


def registered(name: str) -> type:
    """The class of a layer of this package, by the name that model files know it by."""
    import keras

    importlib.import_module("pellucid.layers")
    return keras.saving.get_registered_object(f"pellucid>{name}")  # type: ignore[return-value]


def _config(path: Path) -> Any:
    """The model's description, read without Keras; what is no model file raises."""
    if path.is_dir():
        raise UnreadableFile(f"{path} is a folder; save the model as one file: model.save('model.keras')")
    try:
        with path.open("rb") as file:
            start = file.read(8)
    except FileNotFoundError:
        raise UnreadableFile(f"{path}: no such file") from None
    except OSError as problem:
        raise UnreadableFile(f"{path}: cannot be read: {problem.strerror or problem}") from None
    if not start:
        raise UnreadableFile(f"{path}: the file is empty")
    if _is_pickle(path, start):
        raise UnsafeModel(
            f"{path}: a pickle, which runs its author's code while loading, and is never opened; "
            "in the program that made it, save the model with model.save('model.keras')"
        )
    if start.startswith(_ZIP):
        return _zip_config(path)
    if start == _HDF5:
        return _hdf5_config(path)
    raise UnreadableFile(f"{path}: neither a .keras nor an HDF5 file; save the model with model.save('model.keras')")


def _is_pickle(path: Path, start: bytes) -> bool:
    if start[:1] == b"\x80" and 2 <= start[1] <= 5:
        return True
    if path.suffix.lower() in _PICKLES and start != _HDF5:
        return True
    if not start.startswith(_ZIP):
        return False
    try:
        with zipfile.ZipFile(path) as archive:  # torch.save writes a zip around a pickle
            return any(name.endswith(".pkl") for name in archive.namelist())
    except zipfile.BadZipFile:
        return False


def _zip_config(path: Path) -> Any:
    try:
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()
            if broken:
                raise UnreadableFile(f"{path}: damaged: {broken} does not match its checksum")
            missing = {"config.json", "model.weights.h5"} - set(archive.namelist())
            if missing:
                raise UnreadableFile(f"{path}: not a .keras file: {' and '.join(sorted(missing))} missing in it")
            return json.loads(archive.read("config.json"))
    except UnreadableFile:
        raise
    except Exception as problem:  # zipfile, zlib and json each have errors of their own for a damaged file
        raise UnreadableFile(f"{path}: damaged or cut short: {problem}; copy or save it again") from None


def _hdf5_config(path: Path) -> Any:
    import h5py

    try:
        with h5py.File(path, "r") as file:
            config = file.attrs.get("model_config")
    except OSError as problem:
        raise UnreadableFile(f"{path}: damaged or cut short: {problem}; copy or save it again") from None
    if config is None:
        raise UnreadableFile(f"{path}: holds weights without a model; save the whole model: model.save('model.keras')")
    return json.loads(config)


def _class_names(config: Any, key: str = "class_name") -> Iterator[str]:
    """Every class named anywhere in a model's description."""
    if isinstance(config, Mapping):
        if isinstance(config.get(key), str):
            yield config[key]
        for part in config.values():
            yield from _class_names(part, key)
    elif isinstance(config, list):
        for part in config:
            yield from _class_names(part, key)


def _loaded(path: Path, trust: bool) -> Any:
    try:
        return _by_keras(path, trust, compile=True)
    except Exception as first:
        try:  # a loss or metric of the author's own is not needed to run the model
            return _by_keras(path, trust, compile=False)
        except Exception:
            if "safe_mode" in str(first) or "unsafe" in str(first).lower():
                raise UnsafeModel(f"{path}: refused by Keras in safe mode: {first}; {_ALLOW}") from None
            told = str(first).strip().splitlines()[0] if str(first).strip() else type(first).__name__
            raise UnreadableFile(
                f"{path}: Keras cannot load it: {told}; where the model uses classes of its own, register them "
                "(keras.saving.register_keras_serializable) or pass the loaded model from Python"
            ) from first


def _by_keras(path: Path, trust: bool, *, compile: bool) -> Any:
    import warnings

    import keras

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras's own, about NumPy and about optimizers that were never used
        return keras.saving.load_model(path, safe_mode=not trust, compile=compile)
