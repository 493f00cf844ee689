"""Checks of a method's options, made when the method is made.

Each check names the option, what it expects and what came, so that a wrong option never reaches a model.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from numbers import Integral, Real
from typing import Any

from pellucid.errors import InvalidOption


def _refuse(owner: object, name: str, expected: str, value: Any) -> InvalidOption:
    return InvalidOption(f"{type(owner).__name__}.{name}: expected {expected}, got {value!r}")


def _is_real(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and value == value


def positive(owner: object, *names: str) -> None:
    """Require each named option of `owner` to be a number above zero."""
    for name in names:
        value = getattr(owner, name)
        if not _is_real(value) or not 0 < value < float("inf"):
            raise _refuse(owner, name, "a finite number above 0", value)


def not_negative(owner: object, *names: str) -> None:
    """Require each named option of `owner` to be zero or more."""
    for name in names:
        value = getattr(owner, name)
        if not _is_real(value) or not 0 <= value < float("inf"):
            raise _refuse(owner, name, "a finite number of at least 0", value)


def fraction(owner: object, *names: str) -> None:
    """Require each named option of `owner` to lie strictly between zero and one."""
    for name in names:
        value = getattr(owner, name)
        if not _is_real(value) or not 0 < value < 1:
            raise _refuse(owner, name, "a number between 0 and 1, both excluded", value)


def from_zero_below_one(owner: object, *names: str) -> None:
    """Numbers of at least 0 and below 1."""
    for name in names:
        value = getattr(owner, name)
        if not _is_real(value) or not 0 <= value < 1:
            raise _refuse(owner, name, "a number of at least 0 and below 1", value)


def whole(owner: object, name: str, least: int = 1) -> None:
    """Require the named option to be a whole number of at least `least`."""
    value = getattr(owner, name)
    if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
        raise _refuse(owner, name, f"a whole number of at least {least}", value)


def ends(owner: object, name: str, expected: str, above: float = -inf, most: float = inf) -> None:
    """Require the named option to be two finite numbers above one and up to another, the smaller first."""
    value = getattr(owner, name)
    two = isinstance(value, tuple) and len(value) == 2 and all(_is_real(v) and abs(v) < inf for v in value)
    if not two or not above < value[0] <= value[1] <= most:
        raise _refuse(owner, name, f"{expected}, the smaller first", value)


def one_of(owner: object, name: str, choices: Sequence[Any]) -> None:
    """Require the named option to be one of `choices`."""
    value = getattr(owner, name)
    if value not in choices:
        raise _refuse(owner, name, "one of " + ", ".join(map(repr, choices)), value)


def some_of(owner: object, name: str, choices: Sequence[str], *, none: bool = False) -> None:
    """Require the named option to be some of `choices`, one of them by itself included; it becomes a tuple."""
    value = getattr(owner, name)
    given = (value,) if isinstance(value, str) else tuple(value) if isinstance(value, Sequence) else (value,)
    if not set(given) <= set(choices) or not (given or none):
        raise _refuse(owner, name, "some of " + ", ".join(map(repr, choices)), value)
    object.__setattr__(owner, name, given)


def instance(owner: object, name: str, kind: type, expected: str) -> None:
    """Require the named option to be an instance of `kind`; `expected` says so in words."""
    value = getattr(owner, name)
    if not isinstance(value, kind):
        raise _refuse(owner, name, expected, value)
