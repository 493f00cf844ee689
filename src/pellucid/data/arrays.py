"""Reading arrays: NPZ files, never the pickles that can hide in them."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pellucid.core.dataset import Dataset
from pellucid.core.registry import unknown
from pellucid.core.splitting import holdout
from pellucid.data.split import Splits
from pellucid.data.tables import read_bytes
from pellucid.errors import UnknownName, UnreadableFile
from pellucid.shapes import Array

_INPUTS = ("x", "X", "images", "data")
_LABELS = ("y", "Y", "labels", "target")


def read_npz(path: Path) -> dict[str, Array]:
    """The arrays of an NPZ file by name.

    Raises:
        UnreadableFile: Not an NPZ file, damaged, or holding Python objects, which only a pickle can bring back.
    """
    try:
        with np.load(io.BytesIO(read_bytes(path)), allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except UnreadableFile:
        raise
    except ValueError as problem:
        if "allow_pickle" in str(problem) or "pickled" in str(problem):
            raise UnreadableFile(
                f"{path}: holds Python objects (a pickle), which could run code while loading and are refused; "
                "save plain numbers: np.savez(path, x=x, y=y)"
            ) from None
        raise UnreadableFile(f"{path}: not a readable NPZ file: {problem}") from None
    except Exception as problem:  # zipfile, zlib and NumPy each have errors of their own for a damaged file
        raise UnreadableFile(f"{path}: not a readable NPZ file, damaged or cut short: {problem}") from None


class Choice(NamedTuple):
    """What the user said about the arrays: the names of labels and groups, and the kind of data."""

    target: str | None = None
    groups: str | None = None
    kind: str | None = None


def load_arrays(path: Path, choice: Choice, test: float | Path, seed: int) -> Splits:
    """Data sets from an NPZ file: `x` and `y` are parted, `x_train`, `y_train`, `x_test`, `y_test` are taken as they are.

    Names of the form `train_images`, `train_labels` are understood too. 8-bit images are divided by 255, and images
    without a channel axis (B, H, W) get one.
    """
    archive, notes = read_npz(path), []
    if isinstance(test, Path):
        train = _dataset(path, archive, ("train", ""), choice, notes)
        held = _dataset(test, read_npz(test), ("test", ""), choice, [])
    elif _named(archive, "train", _INPUTS):
        train = _dataset(path, archive, ("train",), choice, notes)
        held = _dataset(path, archive, ("test",), choice, [])
    else:
        whole = _dataset(path, archive, ("",), choice, notes)
        kept, out = holdout(whole.y, test, groups=whole.groups, classes=whole.task == "classification", seed=seed)
        train, held = whole.take(kept), whole.take(out)
    rename = lambda data, part: dataclasses.replace(data, name=f"{path.stem} ({part})")  # noqa: E731
    return Splits(rename(train, "train"), rename(held, "test"), path.stem, None, tuple(notes))


def _named(archive: Mapping[str, Array], part: str, names: Sequence[str]) -> str | None:
    """The array that goes by one of the names in a part ("train", "test" or ""): x, x_train or train_x."""
    forms = [form for name in names for form in ((f"{name}_{part}", f"{part}_{name}") if part else (name,))]
    return next((form for form in forms if form in archive), None)


def _dataset(
    path: Path, archive: Mapping[str, Array], parts: Sequence[str], choice: Choice, notes: list[str]
) -> Dataset:
    part = next((part for part in parts if _named(archive, part, _INPUTS)), None)
    wanted = (choice.target,) if choice.target else _LABELS
    labels = None if part is None else _named(archive, part, wanted)
    if part is None or labels is None:
        if part is not None and choice.target:
            raise UnknownName(f"{path}: {unknown('array', choice.target, archive)}")
        raise UnreadableFile(
            f"{path}: expected the arrays x and y, or x_train, y_train, x_test and y_test; "
            f"the file holds {', '.join(archive) or 'nothing'}"
        )
    inputs = _named(archive, part, _INPUTS) or ""
    x, kind = _inputs(path, inputs, archive[inputs], choice.kind, notes)
    y = _labels(path, labels, archive[labels])
    if len(x) != len(y):
        raise UnreadableFile(f"{path}: {inputs} has {len(x)} examples, but {labels} has {len(y)}")
    groups = None
    if choice.groups:
        found = _named(archive, part, (choice.groups,)) or (choice.groups if choice.groups in archive else None)
        if found is None:
            raise UnknownName(f"{path}: {unknown('array', choice.groups, archive)}")
        groups = archive[found]
    text: dict[str, Any] = {
        n: archive[n].astype(str) for n in ("class_names", "feature_names", "vocabulary") if n in archive
    }
    ids = np.arange(len(x))
    if tuple(parts) != ("",):  # row 3 of one array is not row 3 of another
        ids = np.char.add(f"{path.stem}/{inputs} ", ids.astype(str))
    return Dataset(x, y, kind=kind, groups=groups, ids=ids, **text)


def _inputs(path: Path, name: str, x: Array, kind: str | None, notes: list[str]) -> tuple[Array, str | None]:
    """Inputs as numbers that fit a model, and their kind."""
    if x.ndim < 2 or not len(x):
        raise UnreadableFile(f"{path}: {name}: expected examples along the first of two or more axes, got {x.shape}")
    if x.dtype.kind not in "biuf":
        raise UnreadableFile(f"{path}: {name}: expected numbers, got {x.dtype}")
    if x.dtype.kind == "f" and not np.isfinite(x).all():
        at = tuple(int(i) for i in np.argwhere(~np.isfinite(x))[0])
        raise UnreadableFile(f"{path}: {name}: the value at {at} is {x[at]}, expected finite numbers")
    kind = kind or ("image" if x.ndim == 4 or (x.ndim == 3 and x.dtype == np.uint8) else None)
    if kind == "image":
        x = x[..., None] if x.ndim == 3 else x
        if x.dtype == np.uint8:
            notes.append("8-bit image values were divided by 255, to lie between 0 and 1")
            x = x.astype(np.float32) / 255
    if x.dtype.kind in "iu":
        return x, kind
    return x.astype(np.float32), kind


def _labels(path: Path, name: str, y: Array) -> Array:
    y = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
    if y.ndim == 2 and y.dtype.kind in "biuf" and np.all(y.sum(1) == 1) and np.isin(y, (0, 1)).all():
        y = y.argmax(1)  # one-hot rows
    if y.ndim != 1 or y.dtype.kind not in "biuf":
        raise UnreadableFile(
            f"{path}: {name}: expected class numbers or real numbers of shape (B,), got {y.dtype} {y.shape}"
        )
    if y.dtype.kind == "f" and not np.isfinite(y).all():
        raise UnreadableFile(f"{path}: {name}: the value at {int(np.argmin(np.isfinite(y)))} is missing or infinite")
    return y.astype(np.int64) if y.dtype.kind in "biu" else y
