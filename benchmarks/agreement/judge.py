"""How far apart two libraries are, and which of them is right: the closed form decides, or what a method promises."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from benchmarks.agreement.rows import VARIANTS, Row, Variant
from benchmarks.agreement.samples import Sample

Maps = Mapping[str, np.ndarray]


def difference(found: np.ndarray, other: np.ndarray) -> float:
    """max |a - b| / max |b|; infinite where a is not finite."""
    if found.shape != other.shape:
        raise ValueError(f"maps of shapes {found.shape} and {other.shape} cannot be compared")
    away, size = np.abs(found - other).max(), np.abs(other).max()
    return float(np.inf if not np.isfinite(away) else away / size if size else away)


def missed(found: np.ndarray, promised: np.ndarray) -> float:
    """By how much the sums of maps miss what they should add up to, relative to the largest of it."""
    return float(np.abs(found.sum(1) - promised).max() / np.abs(promised).max())


def rounded(value: float | None) -> float | None:
    """Three digits."""
    return None if value is None else float(f"{value:.3g}")


RIGHT = 5
"""How many times the largest difference that is none a side may be off and still be right: what float32 loses differs."""


@dataclass(frozen=True)
class Side:
    """What can be said of one library's maps.

    Attributes:
        off: Distance from the closed form; None where there is none.
        gap: By how much its sums miss what they should add up to; None where nothing is promised.
        variant: What it does in place of the definition, where its numbers are that.
    """

    off: float | None
    gap: float | None
    variant: Variant | None = None

    def right(self, within: float) -> bool | None:
        """Whether it is; None where nothing decides."""
        known = [number for number in (self.off, self.gap) if number is not None]
        return max(known) <= RIGHT * within if known else None

    def kept(self) -> dict[str, Any]:
        """As it is written down."""
        return {"off": rounded(self.off), "gap": rounded(self.gap), "does": self.variant.text if self.variant else None}


@dataclass(frozen=True)
class Judge:
    """What decides about one method on one kind of model.

    Attributes:
        row: The method.
        truth: Its closed form (B, N), where there is one.
        promised: What its values add up to (B,), where it says.
        variants: What libraries may compute in its place.
    """

    row: Row
    truth: np.ndarray | None
    promised: np.ndarray | None
    variants: tuple[tuple[Variant, np.ndarray], ...]

    @classmethod
    def of(cls, row: Row, sample: Sample, definitions: Maps) -> Judge:
        """What is known about a method on a model."""
        kept = not (row.promise == "score" and sample.kind.biases) and not (row.at != "input" and sample.kind.bypassed)
        promise = row.promise if kept else None
        keyed = ((v, f"{row.name}:{v.name}/{sample.kind.name}") for v in VARIANTS)
        return cls(
            row,
            definitions.get(f"{row.name}/{sample.kind.name}"),
            sample.promised(promise) if promise else None,
            tuple((v, definitions[key]) for v, key in keyed if key in definitions),
        )

    def side(self, library: str, found: np.ndarray) -> Side:
        """What can be said of a library's map."""
        off = None if self.truth is None else difference(found, self.truth)
        side = Side(off, None if self.promised is None else missed(found, self.promised))
        if side.right(self.row.within) is not False:
            return side
        near = (v for v, map_ in self.variants if library.startswith(v.library) and self._is(found, map_))
        return replace(side, variant=next(near, None))

    def _is(self, found: np.ndarray, other: np.ndarray) -> bool:
        return difference(found, other) <= RIGHT * self.row.within

    def compare(self, ours: tuple[str, np.ndarray], theirs: tuple[str, np.ndarray]) -> dict[str, Any]:
        """A comparison as it is kept: the difference, what is known of either side, and who is right."""
        found, sides = difference(ours[1], theirs[1]), (self.side(*ours), self.side(*theirs))
        right = "both" if found <= self.row.within else self._right(sides)
        told = {"difference": rounded(found), "right": right}
        return told if right == "both" else told | {"ours": sides[0].kept(), "theirs": sides[1].kept()}

    def _right(self, sides: tuple[Side, Side]) -> str:
        known = [side.right(self.row.within) for side in sides]
        if None in known:
            return "open"
        mine, other = (good or bool(s.variant and s.variant.sound) for good, s in zip(known, sides, strict=True))
        return {(True, False): "Pellucid", (False, True): "peer", (True, True): "either", (False, False): "neither"}[
            mine, other
        ]
