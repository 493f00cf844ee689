"""Models trained anew for a measure, and their answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pellucid.core.dataset import Dataset
from pellucid.core.model import wrap
from pellucid.core.randomness import check_seed
from pellucid.errors import InvalidOption
from pellucid.measure.base import Context
from pellucid.training import fit, fresh

Build = Callable[[], Any]
"""Takes nothing and gives a compiled Keras model."""


def check_build(owner: Any) -> None:
    """Require the option `build` to be a function, and `fit` settings by name."""
    if not callable(owner.build) or hasattr(owner.build, "_flatten_layers"):
        raise InvalidOption(
            f"{type(owner).__name__}.build: expected a function without arguments that gives a compiled Keras model, got "
            f"{type(owner.build).__name__}"
        )
    if owner.fit is not None and not isinstance(owner.fit, Mapping):
        raise InvalidOption(
            f'{type(owner).__name__}.fit: expected settings such as {{"epochs": 10}}, got {owner.fit!r}'
        )


def check_seeds(owner: Any, least: int) -> None:
    """Make the option `seeds` a tuple of at least so many different ones."""
    given = owner.seeds
    if isinstance(given, int) and not isinstance(given, bool):
        found: tuple[int, ...] = tuple(range(given))
    else:
        found = tuple(map(check_seed, given)) if isinstance(given, Sequence) and not isinstance(given, str) else ()
    if len(found) < least or len(set(found)) < len(found):
        raise InvalidOption(
            f"{type(owner).__name__}.seeds: expected a number of at least {least}, or so many different seeds, got {given!r}"
        )
    object.__setattr__(owner, "seeds", found)


def answering(context: Context, net: Any, train: Dataset, test: Dataset | None) -> Context:
    """What a model trained for the measure being computed says of data; its output is read as that of the one at hand."""
    model = wrap(net, context.model.asked) if context.has_model else wrap(net)
    found = Context(model, train, test, 0)
    found.asking = context.asking
    return found


def trained(context: Context, build: Build, settings: Mapping[str, Any] | None, train: Dataset, seed: int) -> Context:
    """The answers of a new model trained on these rows, on them and on the test rows."""
    net = fresh(build, seed)
    fit(net, train, settings=settings, seed=seed, progress=False)
    return answering(context, net, train, context.data("test"))
