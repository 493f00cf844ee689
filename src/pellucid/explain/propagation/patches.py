"""Parts of a layer's own work replaced for the length of a block."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from pellucid.core import layers


@contextmanager
def patched(layer: Any, changes: Mapping[str, Callable[..., Any]]) -> Iterator[None]:
    """Put other methods in place of those that a layer has, until the block ends; of names it lacks nothing is said."""
    with ExitStack() as stack:
        for name, change in changes.items():
            if hasattr(layer, name):
                stack.enter_context(layers.attribute(layer, name, change))
        yield
