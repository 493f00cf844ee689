"""How many threads a library may take."""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import cache
from typing import Any


def one_thread() -> AbstractContextManager[Any]:
    """For a block, scikit-learn computes in one thread: several that wait for each other take a hundred times as long on a
    busy machine.
    """
    return _libraries().limit(limits=1)


@cache
def _libraries() -> Any:
    """The libraries of the process that have threads; looking for them takes longer than a small fit."""
    import sklearn.ensemble  # noqa: F401  # loads those that scikit-learn brings
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
