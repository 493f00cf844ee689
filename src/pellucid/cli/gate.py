"""A gate: limits that a build fails on when a model breaks them.

    gap.accuracy: {max: 0.05}
    performance.accuracy: {min: 0.9, bound: low}

`bound` says what is compared: the estimate (`value`, the default), or an end of its confidence interval: `low`, `high`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from pellucid.core.measurement import Measurement
from pellucid.core.registry import unknown
from pellucid.core.resampling import Interval
from pellucid.errors import InvalidOption, UnknownName, UnreadableFile


class Limit(BaseModel):
    """What one number may be."""

    model_config = ConfigDict(extra="forbid", strict=True)

    min: float | None = None
    max: float | None = None
    bound: Literal["value", "low", "high"] = "value"

    @model_validator(mode="after")
    def _says_something(self) -> Limit:
        if self.min is None and self.max is None:
            raise ValueError("give min, max or both")
        ends = [end for end in (self.min, self.max) if end is not None]
        if any(end != end for end in ends) or ends != sorted(ends):
            raise ValueError("expected numbers, min at most max")
        return self

    def __str__(self) -> str:
        parts = [
            "" if self.min is None else f"at least {self.min:g}",
            "" if self.max is None else f"at most {self.max:g}",
        ]
        return " and ".join(filter(None, parts))


class Number(NamedTuple):
    """A measured number with its interval."""

    value: float | None
    interval: Interval | None


class Outcome(NamedTuple):
    """One limit, held against what was measured."""

    name: str
    limit: Limit
    number: Number
    compared: float | None
    passed: bool
    reason: str = ""


def read_gate(path: Path) -> dict[str, Limit]:
    """The limits of a YAML file, by the name of the number.

    Raises:
        UnreadableFile: The file cannot be read or is no YAML; names the line.
        UnknownName: A key that does not exist; the nearest is offered.
        InvalidOption: A limit that is no number, or an empty gate.
    """
    import yaml

    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as problem:
        raise UnreadableFile(f"{path}: cannot be read: {problem.strerror or problem}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as problem:
        mark = getattr(problem, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise UnreadableFile(
            f"{path}{where}: not readable as YAML: {getattr(problem, 'problem', None) or problem}"
        ) from None
    if not isinstance(found, Mapping) or not found:
        raise InvalidOption(f"{path}: expected limits by name, such as  gap.accuracy: {{max: 0.05}}")
    return {str(name): _limit(path, str(name), given) for name, given in found.items()}


def _limit(path: Path, name: str, given: Any) -> Limit:
    if not isinstance(given, Mapping):
        raise InvalidOption(f"{path}: {name}: expected {{min: ...}} or {{max: ...}}, got {given!r}")
    for key in given:
        if key not in Limit.model_fields:
            raise UnknownName(f"{path}: {name}: {unknown('key', str(key), Limit.model_fields)}")
    try:
        return Limit.model_validate({key: float(v) if type(v) is int else v for key, v in given.items()})
    except ValidationError as problem:
        first = problem.errors()[0]
        where = ".".join(map(str, (name, *first["loc"])))
        raise InvalidOption(
            f"{path}: {where}: {first['msg'].removeprefix('Value error, ')}, got {first['input']!r}"
        ) from None


def numbers(measurements: Iterable[Measurement]) -> dict[str, Number]:
    """Every number that can be limited: each measurement, and each part of one that has a value and an interval."""
    found = {}
    for item in measurements:
        found[item.name] = Number(item.value, item.interval)
        quantity = item.name.split(".")[0]
        for part, told in item.detail.items():
            if isinstance(told, Mapping) and {"value", "interval"} <= set(told):
                found.setdefault(f"{quantity}.{part}", Number(told["value"], told["interval"]))
    return found


def judge(limits: Mapping[str, Limit], measured: Mapping[str, Number]) -> list[Outcome]:
    """Hold each limit against its number; what was not measured does not pass.

    Raises:
        UnknownName: A limit on a number that the audit does not have; the nearest are offered.
    """
    for name in limits:
        if name not in measured:
            raise UnknownName(f"gate: {unknown('number', name, measured)}")
    return [_held(name, limit, measured[name]) for name, limit in limits.items()]


def _held(name: str, limit: Limit, number: Number) -> Outcome:
    if number.value is None:
        return Outcome(name, limit, number, None, False, "could not be measured")
    if limit.bound != "value" and number.interval is None:
        return Outcome(name, limit, number, None, False, "has no interval")
    compared = float(number.value if limit.bound == "value" else getattr(number.interval, limit.bound))
    above = limit.min is None or compared >= limit.min
    below = limit.max is None or compared <= limit.max
    reason = "" if above and below else "too low" if not above else "too high"
    return Outcome(name, limit, number, compared, above and below, reason)


def summary(outcomes: Iterable[Outcome]) -> list[dict[str, Any]]:
    """The outcomes with plain keys, for JSON."""
    return [
        {
            "name": o.name,
            **o.limit.model_dump(exclude_none=True),
            "compared": o.compared,
            "passed": o.passed,
            "reason": o.reason,
        }
        for o in outcomes
    ]


def show(outcomes: Iterable[Outcome], console: Any) -> None:
    """Print the outcomes as a table."""
    from rich.table import Table

    from pellucid.core.numbers import figure, span

    table = Table("gate", "limit", "compared", "found", "95 % interval", "", box=None, padding=(0, 2, 0, 0))
    for o in outcomes:
        verdict = "[green]holds[/]" if o.passed else f"[bold red]broken: {o.reason}[/]"
        what = {"value": "the estimate", "low": "the low end", "high": "the high end"}[o.limit.bound]
        table.add_row(o.name, str(o.limit), what, figure(*o.number), span(o.number.interval), verdict)
    console.print(table)
