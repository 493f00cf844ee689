"""What `explain` was asked, read from text; and its answer, put into words."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pellucid.core.registry import find, unknown
from pellucid.core.target import Margin, Unit
from pellucid.errors import InvalidInput, InvalidOption, PellucidError, UnknownName


def method(name: str, options: Sequence[str], data: Mapping[str, Any] | None = None) -> Any:
    """The method of a name with options such as `tolerance=0.01`; a value may name another method.

    `data` holds what comes from the data, a `baseline` and a `background`: for a method that takes one and was told none.

    Raises:
        UnknownName: No such method or option; the nearest are offered.
        InvalidOption: A value that the option does not take.
    """
    entry = find(name)
    if entry.verb != "explain":
        raise InvalidOption(
            f"--method: {entry.name} belongs to the verb {entry.verb!r}; see: pellucid methods --verb explain"
        )
    kind = entry.load()
    known = [f.name for f in dataclasses.fields(kind)]
    given = {key: value for key, value in (data or {}).items() if key in known}
    for text in options:
        key, mark, value = text.partition("=")
        if not mark:
            raise InvalidOption(f"--option: expected NAME=VALUE, such as tolerance=0.01, got {text!r}")
        if key not in known:
            raise UnknownName(f"{entry.name}: {unknown('option', key, known)}")
        given[key] = _value(value)
    missing = [f.name for f in dataclasses.fields(kind) if f.name not in given and _is_required(f)]
    if missing:
        raise InvalidOption(f"{entry.name} needs {' and '.join(missing)}: add --option {missing[0]}=...")
    try:
        return kind(**given)
    except PellucidError:
        raise
    except (TypeError, ValueError) as problem:
        raise InvalidOption(f"{entry.name}: {problem}") from None


def _is_required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _value(text: str) -> Any:
    import yaml

    if re.fullmatch(r"[A-Z]\w+", text) and text not in {"True", "False", "None"}:
        try:
            return find(text).load()()
        except UnknownName:
            return text
    try:
        return float(text) if re.fullmatch(r"[-+]?\d+e[-+]?\d+", text) else yaml.safe_load(text)
    except yaml.YAMLError:
        return text


def rows(text: str, count: int) -> list[int]:
    """Row numbers from `0,5` or `0-9`.

    Raises:
        InvalidInput: Not row numbers, or beyond the rows there are.
    """
    found: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d+)(?:-(\d+))?\s*", part)
        if not match:
            raise InvalidInput(f"--rows: expected numbers such as 0,5 or 0-9, got {text!r}")
        first, last = int(match[1]), int(match[2] or match[1])
        if max(first, last) >= count:
            raise InvalidInput(
                f"--rows: there is no row {max(first, last)}; {count} rows are held out, numbered 0 to {count - 1}"
            )
        found += range(first, last + 1)
    if not found:
        raise InvalidInput(f"--rows: {text!r} holds no row")
    return found


def output(text: str, names: Sequence[str] | None) -> Any:
    """The output asked about: "predicted", "label", a class by number or name, `A:B` for a margin, or a hidden unit.

    A unit is `LAYER[3]`, or `LAYER[*,*,3]` for the mean of a channel over its positions.
    """
    if text in ("predicted", "label"):
        return text
    if names and text in names:
        return names.index(text)
    if text.count(":") == 1:
        return Margin(*(output(side, names) for side in text.split(":")))
    if unit := re.fullmatch(r"(.+)\[([\s\d,*-]+)\]", text):
        return Unit(unit[1], tuple(None if i.strip() == "*" else int(i) for i in unit[2].split(",")))
    if text.isdigit():
        return int(text)
    raise UnknownName(f"--of: {unknown('output', text, ['predicted', 'label', *(names or ())])}")


def heading(found: Any, i: int, row: int) -> str:
    """One line about example `i`: its row and the score that is explained."""
    from pellucid.core.numbers import figure

    number = int(found.classes[i])
    names = found.class_names
    what = (
        f"unit {_place(found.unit.index)} of {found.unit.layer}"
        if found.unit is not None
        else "the score"
        if number < 0
        else f"the score of {names[number] if names and number < len(names) else f'class {number}'}"
    )
    start = "" if found.baseline_output is None else f", {figure(float(found.baseline_output[i]))} at the baseline"
    return f"row {row}: {what} is {figure(float(found.output[i]))}{start}"


def _place(index: Any) -> str:
    """A unit's index as it is asked for: `3`, or `*, *, 3`."""
    return ", ".join("*" if i is None else str(i) for i in (index if isinstance(index, tuple) else (index,)))


def accuracy(found: Any, i: int) -> str:
    """How exact the map of example `i` is."""
    from pellucid.core.numbers import counted, figure

    size = None if found.error is None else figure(float(found.error[i]), percent=True)
    error = None if size is None else f"estimated error of the whole map {size}"
    gap = None if found.gap is None else f"sums up to within {figure(float(found.gap[i]))}"
    reached = None if found.converged[i] else "NOT converged: raise max_evaluations or the tolerance"
    cost = counted(int(found.evaluations[i]), "model evaluation")
    return type(found.method).__name__ + ": " + "; ".join(filter(None, [error, gap, reached, cost]))


def largest(found: Any, i: int, top: int | None = None) -> list[dict[str, Any]]:
    """The `top` inputs (None: all) of example `i` that count most: name, value, attribution, standard error."""
    parts = [part for name in _inputs(found) for part in _parts(found, name, i)]
    return sorted(parts, key=lambda part: -abs(part["attribution"]))[:top]


def _inputs(found: Any) -> Sequence[Any]:
    return list(found.values) if isinstance(found.values, dict) else [None]


def _parts(found: Any, name: Any, i: int) -> list[dict[str, Any]]:
    pick = lambda maps: np.asarray(maps if name is None else maps[name])[i]  # noqa: E731
    values = pick(found.values)
    given = np.zeros(()) if found.hidden else pick(found.inputs)
    errors = None if found.standard_error is None else pick(found.standard_error)
    return [
        {
            "input": _label(found, name, index) + _word(found, given, index),
            "value": float(given[index]) if given.shape == values.shape else None,  # one number for several channels
            "attribution": float(values[index]),
            "standard_error": None if errors is None else float(errors[index]),
        }
        for index in np.ndindex(values.shape)
    ]


def _word(found: Any, given: Any, index: tuple[int, ...]) -> str:
    """The word at a place of a text, where the words are known."""
    known = found.vocabulary
    if known is None or found.hidden or len(index) != 1 or given.dtype.kind not in "iu":
        return ""
    return f" “{known[int(given[index])]}”"


def _label(found: Any, name: Any, index: tuple[int, ...]) -> str:
    names = found.feature_names
    if found.hidden:
        return f"{name or found.layer} [{', '.join(map(str, index))}]"
    if len(index) == 1 and names is not None and name is None:
        return str(names[index[0]])
    place = f"({', '.join(map(str, index[:-1] if found.kind == 'image' and len(index) == 3 else index))})"
    place = f"pixel {place}" if found.kind == "image" else f"position {place}"
    return place if name is None else f"{name} {place}"


def summary(found: Any, picked: Sequence[int]) -> dict[str, Any]:
    """The whole answer with plain keys, for JSON."""
    pick = lambda numbers, i: None if numbers is None else float(numbers[i])  # noqa: E731
    examples = [
        {
            "row": row,
            "class": int(found.classes[i]),
            "output": float(found.output[i]),
            "baseline_output": pick(found.baseline_output, i),
            "error": pick(found.error, i),
            "gap": pick(found.gap, i),
            "converged": bool(found.converged[i]),
            "evaluations": int(found.evaluations[i]),
            "inputs": largest(found, i),
        }
        for i, row in enumerate(picked)
    ]
    notes = list(found.provenance.notes)
    return {"method": repr(found.method), "seed": found.provenance.seed, "notes": notes, "examples": examples}
