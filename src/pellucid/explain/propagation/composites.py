"""Composites: which rule each kind of layer gets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pellucid.core.record import Value
from pellucid.errors import InvalidOption
from pellucid.explain.propagation.rules import AlphaBeta, Epsilon, Flat, Gamma, Rule, ZBox, ZPlus


@dataclass(frozen=True, eq=False)
class Composite(Value):
    """A rule for each kind of layer.

    Args:
        dense: The rule of dense layers, and of all that is neither of the others.
        convolution: The rule of convolutions.
        first: The rule of layers that read an input; None for none of its own.
        named: Rules by the layer's name, before all others.

    Raises:
        InvalidOption: Something that is no rule.
    """

    dense: Rule = field(default_factory=Epsilon)
    convolution: Rule = field(default_factory=Epsilon)
    first: Rule | None = None
    named: Mapping[str, Rule] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "named", dict(self.named))
        given = {"dense": self.dense, "convolution": self.convolution, "first": self.first, **self.named}
        for name, rule in given.items():
            if not (isinstance(rule, Rule) or (name == "first" and rule is None)):
                raise InvalidOption(f"{type(self).__name__}.{name}: expected a rule such as pl.Epsilon(), got {rule!r}")

    @property
    def asks(self) -> bool:
        """Whether it makes a difference which layers read the input."""
        direct = any(rule.direct for rule in (self.dense, self.convolution, *self.named.values()))
        return direct or self.first is not None or type(self).rule is not Composite.rule

    def rule(self, name: str, layer: Any, *, is_first: bool) -> Rule:
        """The rule of a layer."""
        if name in self.named:
            return self.named[name]
        if is_first and self.first is not None:
            return self.first
        return self.convolution if "Conv" in type(layer).__name__ else self.dense


@dataclass(frozen=True, eq=False)
class EpsilonPlusFlat(Composite):
    """`Flat` where the input is read, `ZPlus` at convolutions, `Epsilon` at the rest."""

    convolution: Rule = field(default_factory=ZPlus)
    first: Rule | None = field(default_factory=Flat)


@dataclass(frozen=True, eq=False)
class EpsilonGammaBox(Composite):
    """`ZBox` where the input is read, `Gamma` at convolutions, `Epsilon` at the rest.

    Args:
        low: The least value an input can have.
        high: The largest.
    """

    convolution: Rule = field(default_factory=Gamma)
    low: Any = 0.0
    high: Any = 1.0

    def rule(self, name: str, layer: Any, *, is_first: bool) -> Rule:
        """The rule of a layer."""
        if is_first and self.first is None and name not in self.named:
            return ZBox(low=self.low, high=self.high)
        return super().rule(name, layer, is_first=is_first)


@dataclass(frozen=True, eq=False)
class EpsilonAlpha2Beta1(Composite):
    """`AlphaBeta` (2, 1) at convolutions, `Epsilon` at the rest."""

    convolution: Rule = field(default_factory=AlphaBeta)


@dataclass(frozen=True, eq=False)
class EpsilonAlpha2Beta1Flat(EpsilonAlpha2Beta1):
    """The same, with `Flat` where the input is read."""

    first: Rule | None = field(default_factory=Flat)
