"""Recipes read from text such as `l2=L2(0.01)+Dropout(0.2)`: names from the registry, values as they are; nothing is run."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Any

from pellucid.core.registry import entries, find, unknown
from pellucid.errors import InvalidOption, PellucidError, UnknownName

_FORM = 'NAME=REMEDY, several remedies joined by "+", such as l2=L2(0.01)+Dropout(0.2)'


def read(texts: Sequence[str]) -> dict[str, Any]:
    """Recipes by name, plain training first where none of them is plain.

    Raises:
        InvalidOption: Text of another form, or a value that a remedy does not take.
        UnknownName: No such remedy; the nearest are offered.
    """
    from pellucid.improve.recipe import Recipe

    found: dict[str, Any] = {}
    for text in texts:
        name, mark, told = text.partition("=")
        if not mark or not name.strip():
            raise InvalidOption(f"--recipe: expected {_FORM}, got {text!r}")
        if name.strip() in found:
            raise InvalidOption(f"--recipe: two are called {name.strip()!r}; give each a name of its own")
        found[name.strip()] = Recipe(*_remedies(told, text))
    plain = any(not recipe.remedies for recipe in found.values())
    return found if plain else {"plain": Recipe(), **found}


def _remedies(told: str, text: str) -> list[Any]:
    if told.strip() in ("", "plain"):
        return []
    try:
        tree = ast.parse(told.strip(), mode="eval").body
    except (SyntaxError, ValueError):
        raise InvalidOption(f"--recipe: expected {_FORM}, got {text!r}") from None
    return [_remedy(node, text) for node in _terms(tree)]


def _terms(node: ast.expr) -> list[ast.expr]:
    """What is added up, in order."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return [*_terms(node.left), *_terms(node.right)]
    return [node]


def _remedy(node: ast.expr, text: str) -> Any:
    call = node if isinstance(node, ast.Call) else ast.Call(node, [], [])
    if not isinstance(call.func, ast.Name):
        raise InvalidOption(f"--recipe: expected {_FORM}, got {text!r}")
    try:
        entry = find(call.func.id)
    except UnknownName:
        entry = None
    if entry is None or entry.verb != "improve":
        raise UnknownName(f"--recipe: {unknown('remedy', call.func.id, [e.name for e in entries('improve')])}")
    given = [_value(a, text) for a in call.args]
    named = {str(k.arg): _value(k.value, text) for k in call.keywords}
    try:
        return entry.load()(*given, **named)
    except PellucidError:
        raise
    except (TypeError, ValueError) as problem:
        raise InvalidOption(f"--recipe: {entry.name}: {problem}") from None


def _value(node: ast.expr, text: str) -> Any:
    """A number, a text, True, False, None, or a list of them."""
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError):
        raise InvalidOption(
            f"--recipe: expected numbers or text between the brackets, got {ast.unparse(node)!r} in {text!r}"
        ) from None
