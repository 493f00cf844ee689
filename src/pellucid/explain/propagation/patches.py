"""Parts of a layer's own work replaced for the length of a block."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any


@contextmanager
def patched(layer: Any, changes: Mapping[str, Callable[..., Any]]) -> Iterator[None]:
    """Put other methods in place of those that a layer has, until the block ends; of names it lacks nothing is said."""
    known = {name: change for name, change in changes.items() if hasattr(layer, name)}
    before = {name: vars(layer).get(name) for name in known}
    try:
        for name, change in known.items():
            object.__setattr__(layer, name, change)
        yield
    finally:
        for name, own in before.items():
            object.__delattr__(layer, name) if own is None else object.__setattr__(layer, name, own)
