"""Values and records: frozen dataclasses that save to and load from plain files.

A `Value` is a method, a measure or a setting; a `Record` is a result. Both are written as JSON beside an `.npz` of
their arrays; nothing is ever pickled, so a saved result is safe to open.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import shutil
import tempfile
import time
from abc import ABCMeta
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np

from pellucid.core.contents import contents, of_array
from pellucid.errors import InvalidRecord, PellucidError, UnwritableOutput
from pellucid.shapes import Array

_SETTINGS, _ARRAYS = "record.json", "arrays.npz"


class _Owning(ABCMeta):
    """Makes values that own what they hold, whatever their `__post_init__` does."""

    if not TYPE_CHECKING:  # what it makes is what the class makes, which a checker knows

        def __call__(cls, *args: Any, **options: Any) -> Any:
            made = super().__call__(*args, **options)
            if cls.owns and dataclasses.is_dataclass(made):  # type: ignore[attr-defined]
                for f in dataclasses.fields(made):
                    object.__setattr__(made, f.name, _own(getattr(made, f.name)))
            return made


def _own(value: Any) -> Any:
    """A copy of what its giver could change: arrays that are read-only, lists and dicts of what is copied likewise."""
    if isinstance(value, np.ndarray):
        if value.flags.writeable or value.base is not None:
            value = value.copy()
            value.flags.writeable = False
        return value
    if isinstance(value, Mapping):
        return {key: _own(item) for key, item in value.items()}
    return type(value)(map(_own, value)) if type(value) in (list, tuple) else value


class Value(metaclass=_Owning):
    """A frozen dataclass that is equal by content and can be written down.

    Subclasses are declared with `@dataclass(frozen=True, eq=False)`: equality here also compares arrays.
    """

    _kinds: ClassVar[dict[str, type[Value]]] = {}

    owns: ClassVar[bool] = False
    """Whether it keeps copies of what it is given: settings do, so that their giver cannot change them; data do not."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        Value._kinds[cls.__name__] = cls

    def settings(self) -> dict[str, Any]:
        """The fields by name, as they are."""
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}  # type: ignore[arg-type]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Value) and type(self) is type(other) and written(self) == written(other)

    def __hash__(self) -> int:
        return hash(written(self))


def written(value: Any) -> str:
    """A text that is the same for equal values alone: arrays, functions and models stand in it by their contents."""
    arrays: dict[str, Array] = {}
    plain = encode(value, arrays, contents)
    return json.dumps([_whole(plain), {key: of_array(a) for key, a in arrays.items()}], sort_keys=True, default=str)


def _whole(plain: Any) -> Any:
    """Numbers of one value in one form: 1.0 equals 1, and is written as it is."""
    if isinstance(plain, dict):
        return {key: _whole(item) for key, item in plain.items()}
    if isinstance(plain, list):
        return list(map(_whole, plain))
    return int(plain) if isinstance(plain, float) and plain.is_integer() else plain


Saved = TypeVar("Saved", bound="Record")


@dataclass(frozen=True, eq=False)
class Provenance(Value):
    """Where a result comes from: what was run, on what, at what cost, with which versions.

    `evaluations` counts rows given to the model, a gradient counting as one; `seconds` is wall-clock time.
    """

    method: Any = None
    seed: int | None = None
    evaluations: int = 0
    seconds: float = 0.0
    model: str = ""
    inputs: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Record(Value):
    """A frozen result. Arrays in it are read-only; `save` and `load` write and read a folder of plain files."""

    def __post_init__(self) -> None:
        for f in dataclasses.fields(self):
            object.__setattr__(self, f.name, _frozen(getattr(self, f.name)))

    def save(self, folder: str | Path) -> Path:
        """Write the record to `folder` (made if missing) and give the path; nothing half-written is left behind.

        Raises:
            UnwritableOutput: The folder cannot be made or written.
        """
        arrays: dict[str, Array] = {}
        text = json.dumps(encode(self, arrays), indent=2, allow_nan=False)
        with writing(Path(folder)) as draft:
            (draft / _SETTINGS).write_text(text + "\n", encoding="utf-8")
            if arrays:
                np.savez_compressed(draft / _ARRAYS, **arrays)  # type: ignore[arg-type]
        return Path(folder)

    @classmethod
    def load(cls: type[Saved], folder: str | Path) -> Saved:
        """Read a record that `save` wrote.

        Raises:
            InvalidRecord: The folder holds no record, a damaged one, or one of another kind.
        """
        record = load(folder)
        if not isinstance(record, cls):
            raise InvalidRecord(f"{folder} holds a {type(record).__name__}, expected a {cls.__name__}")
        return record

    def bring_back(self, folder: Path) -> None:
        """Read what a record keeps in files of its own beside the settings and arrays; most keep nothing."""


def load(folder: str | Path) -> Any:
    """Read any saved record; see `Record.load`."""
    try:
        plain = json.loads((Path(folder) / _SETTINGS).read_text(encoding="utf-8"))
        path = Path(folder) / _ARRAYS
        arrays = dict(np.load(path, allow_pickle=False)) if path.exists() else {}
        record = decode(plain, arrays)
        record.bring_back(Path(folder))
        return record
    except PellucidError:
        raise
    except Exception as problem:
        raise InvalidRecord(f"{folder} is not a readable record: {problem}") from problem


@contextmanager
def writing(folder: Path) -> Iterator[Path]:
    """A draft folder that replaces the files of `folder` when the block ends well, and vanishes when it does not."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    except OSError as problem:
        raise UnwritableOutput(f"cannot write to {folder}: {problem.strerror or problem}") from problem
    try:
        yield draft
        folder.mkdir(exist_ok=True)
        for item in sorted(draft.iterdir()):
            old = folder / item.name
            if old.is_dir():
                shutil.rmtree(old)
            item.replace(old)
    except OSError as problem:
        raise UnwritableOutput(f"cannot write to {folder}: {problem.strerror or problem}") from problem
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _frozen(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        value = value.view()
        value.flags.writeable = False
    elif isinstance(value, dict):
        value = {key: _frozen(item) for key, item in value.items()}
    elif isinstance(value, list):
        value = tuple(map(_frozen, value))
    return value


def encode(value: Any, arrays: dict[str, Array], tell: Callable[[Any], Any] | None = None) -> Any:
    """The JSON form of a value; arrays go into `arrays` and leave a reference.

    `tell` gives a form to what has none (a function, a model); without it there is only its name.
    """
    again = functools.partial(encode, arrays=arrays, tell=tell)
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"$float": repr(value)}
    if isinstance(value, np.generic):
        return again(value.item())
    if isinstance(value, np.ndarray):
        key = f"a{len(arrays)}"
        arrays[key] = value.astype(str) if value.dtype == object else value
        return {"$array": key}
    if isinstance(value, Value):
        return {"$type": type(value).__name__, **{name: again(item) for name, item in value.settings().items()}}
    if isinstance(value, Mapping):
        return {str(key): again(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return {"$tuple": list(map(again, value))}
    if isinstance(value, list):
        return list(map(again, value))
    if isinstance(value, set | frozenset):
        return list(map(again, sorted(value, key=repr)))  # in an order that is the same in another process
    return {"$opaque": tell(value) if tell else getattr(value, "__qualname__", None) or repr(value)}


def decode(plain: Any, arrays: Mapping[str, Array]) -> Any:
    """The value that `encode` wrote; an opaque thing (a function, say) comes back as its name."""
    if isinstance(plain, list):
        return [decode(item, arrays) for item in plain]
    if not isinstance(plain, dict):
        return plain
    if "$float" in plain:
        return float(plain["$float"])
    if "$array" in plain:
        return arrays[plain["$array"]]
    if "$tuple" in plain:
        return tuple(decode(item, arrays) for item in plain["$tuple"])
    if "$opaque" in plain:
        return str(plain["$opaque"])
    fields = {key: decode(item, arrays) for key, item in plain.items() if key != "$type"}
    return _kind(plain["$type"])(**fields) if "$type" in plain else fields


def _kind(name: str) -> type[Value]:
    if name not in Value._kinds:
        from pellucid.core.registry import import_all

        import_all()
    if name not in Value._kinds:
        raise InvalidRecord(f"the record holds a {name!r}, which this version of Pellucid does not know")
    return Value._kinds[name]


@functools.cache
def _versions(backend: str) -> Mapping[str, str]:
    found = {}
    for package in ("pellucid", "keras", "numpy", {"tensorflow": "tensorflow-cpu"}.get(backend, backend)):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "unknown"
    return {**found, "backend": backend}


def versions() -> dict[str, str]:
    """Versions of Pellucid, Keras, NumPy and the framework in use."""
    import keras

    return dict(_versions(keras.backend.backend()))


class Stopwatch:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self._start = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Seconds so far."""
        return time.perf_counter() - self._start
