"""A recipe: remedies that are used together, whatever their order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pellucid.core.record import Value
from pellucid.errors import InvalidOption
from pellucid.improve.base import Remedy, StepRemedy

_ONCE = {
    "rows": "replace the loss of an example", "combine": "replace the mean over a batch",
    "evaluate": "move the weights at which the loss is taken", "slope": "differentiate the model by its inputs",
    "join": "join models",
}  # fmt: skip
"""Hooks that only one remedy of a recipe can have, and what it does there."""


@dataclass(frozen=True, eq=False, init=False)
class Recipe(Value):
    """Remedies that are used together. Their order says nothing: two recipes of the same remedies are equal.

    Args:
        remedies: Values such as `L2(0.01)`, `MixUp(0.2)`, `SharpnessAware(0.05)`, `TemperatureScaling()`; none for plain
            training. `pellucid methods --verb improve` lists them all.

    Raises:
        InvalidOption: Something that is no remedy, or two that cannot be used together: they take hold of the same thing.

    Example:
        >>> import pellucid as pl
        >>> pl.Recipe(pl.L2(0.01), pl.Dropout(0.2)) == pl.Recipe(pl.Dropout(0.2), pl.L2(0.01))
        True
    """

    remedies: tuple[Remedy, ...] = ()

    def __init__(self, *given: Remedy, remedies: Sequence[Remedy] = ()) -> None:
        chosen = (*given, *remedies)
        for remedy in chosen:
            if not isinstance(remedy, Remedy):
                raise InvalidOption(f"Recipe: expected remedies such as L2(0.01) or Dropout(0.2), got {remedy!r}")
        for one, two in ((a, b) for i, a in enumerate(chosen) for b in chosen[:i]):
            if why := _conflict(two, one):
                raise InvalidOption(f"Recipe: {two!r} and {one!r} {why}; keep one of them")
        object.__setattr__(self, "remedies", tuple(sorted(chosen, key=lambda r: (r.rank, repr(r)))))

    @property
    def in_steps(self) -> list[StepRemedy]:
        """Those that change a step of training."""
        return [r for r in self.remedies if isinstance(r, StepRemedy)]

    @property
    def joining(self) -> Remedy | None:
        """The one that trains several models and joins them."""
        return next((r for r in self.remedies if r.members > 1), None)

    def __str__(self) -> str:
        return " + ".join(map(repr, self.remedies)) or "plain"


def _conflict(one: Remedy, two: Remedy) -> str:
    """Why two remedies cannot be used together; nothing where they can."""
    if one.slot == two.slot:
        return "do the same thing"
    for this, that in ((one, two), (two, one)):
        if why := this.against.get(that.slot):
            return f"cannot be used together: {why}"
    both = (does for hook, does in _ONCE.items() if _has(one, hook) and _has(two, hook))
    return f"both {does}" if (does := next(both, "")) else ""


def _has(remedy: Remedy, hook: str) -> bool:
    """Whether a remedy does something in a hook."""
    if isinstance(remedy, StepRemedy):
        return remedy.acts(hook)
    return getattr(type(remedy), hook, None) not in (None, getattr(StepRemedy, hook))
