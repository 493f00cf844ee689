"""How the values of one example are read: what they are called, how large they are, which colours they take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from pellucid.core.numbers import figure
from pellucid.plot.heat import bound_of, paint
from pellucid.plot.scene import Mark, Raster, Text, shorten, text_width
from pellucid.plot.theme import SMALL
from pellucid.shapes import Array, Floats


@dataclass(frozen=True)
class Reading:
    """What the values of one example say, in words and in colours.

    Signed values are blue and orange; values of a method that promises no contributions, none of them below zero, are
    magnitudes and teal.

    Attributes:
        target: The score asked about, as text.
        method: Name of the method.
        contributes: Whether values are shares of the score, not slopes or activations.
        bound: The size painted opaque; 0 where every value is 0.
        negative: Whether any value is below zero.
    """

    target: str
    method: str
    contributes: bool
    bound: float
    negative: bool

    @property
    def signed(self) -> bool:
        """Whether hue is the sign."""
        return self.contributes or self.negative

    @property
    def quantity(self) -> str:
        """What the colours are, of one part of the input."""
        return "what it counts for" if self.contributes else "its value"

    @property
    def title(self) -> str:
        """What is drawn."""
        if self.contributes:
            return f"What counted for {'and against ' if self.negative else ''}{self.target}"
        return f"{self.method} for {self.target}"

    @property
    def legend(self) -> str:
        """What the colours say, for a description."""
        if not self.bound:
            return "every value is zero"
        if not self.signed:
            return "the stronger the colour, the larger"
        names = (f"speaks for {self.target}", "against") if self.contributes else ("is above zero", "below")
        return f"blue {names[0]}" + (f", orange {names[1]}" if self.negative else "")

    def heading(self, room: float) -> str:
        """The title as a quiet line above a map, in fewer words where there is little room."""
        text = self.title
        if self.contributes:
            words = f"for {'and against ' if self.negative else ''}{self.target}"
            text = f"what counted {words}" if text_width(f"what counted {words}", SMALL) <= room else words
        return shorten(text, room, SMALL)

    def colour(self, value: float) -> str:
        """The meaning whose colour a value takes."""
        if not self.signed:
            return "accent"
        return "for" if value >= 0 else "against"

    def paint(self, values: Floats) -> Array:
        """Pixels (H, W, 4) of values (H, W)."""
        return paint(values, self.bound, signed=self.signed)

    def key(self, x: float, y: float, width: float) -> list[Mark]:
        """The colour scale with its ends labelled, or a word where there is nothing to scale."""
        if not self.bound:
            return [Text(x, y + 12, "zero everywhere", "muted", SMALL)]
        ramp = np.linspace(-self.bound if self.negative else 0, self.bound, 61)[None, :]
        low, high = self._ends(width)
        return [
            Raster(x, y, width, 8, self.paint(ramp)),
            Text(x, y + 24, low, "muted", SMALL),
            Text(x + width, y + 24, high, "muted", SMALL, "end"),
        ]

    def _ends(self, width: float) -> tuple[str, str]:
        size = figure(self.bound)
        low, high = f"−{size}" if self.negative else "0", f"+{size}" if self.signed else size
        if not self.contributes:
            return low, high
        worded = f"{low} against" if self.negative else low, f"for {high}"
        return worded if sum(text_width(w, SMALL) for w in worded) < width - 8 else (low, high)


def reading_of(explanation: Any, index: int, values: Floats) -> Reading:
    """How to read values of one example of an explanation."""
    method = explanation.method
    name = type(method).__name__ if method is not None else "Attribution"
    contributes = bool(getattr(method, "contributes", True))
    bound = bound_of(values) if np.any(values) else 0.0
    return Reading(target_of(explanation, index), name, contributes, bound, bool((values < 0).any()))


def target_of(explanation: Any, index: int) -> str:
    """The score that was asked about, as text."""
    number = int(explanation.classes[index])
    names = explanation.class_names
    if explanation.unit is not None:
        return f"unit {explanation.unit.index} of {explanation.unit.layer}"
    if number < 0:
        return "the output"
    return f"“{names[number]}”" if names is not None and number < len(names) else f"class {number}"
