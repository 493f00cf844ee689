"""Whether the test rows were really unseen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from pellucid.core import options
from pellucid.core.copies import arrays_of, digests, shared
from pellucid.core.dataset import Dataset
from pellucid.core.measurement import Measurement
from pellucid.core.numbers import agreeing, counted, figure, stated
from pellucid.core.resampling import wilson
from pellucid.errors import InvalidInput, NotApplicable
from pellucid.measure.base import Context, Measure
from pellucid.measure.twins import nearest, scale, standardised
from pellucid.shapes import Array


@dataclass(frozen=True, eq=False)
class Leakage(Measure):
    """How many test rows have a twin in the training data?

    The value is the share of test rows with an exact twin (all numbers equal; -0.0 is 0.0, and of two float types the
    coarser decides) or a near one. Near: the Euclidean distance to a training row is at most `near` times the median
    distance between training rows and their nearest other one. Table columns are measured in units of their training
    standard deviation, images are flattened. With few columns, where close neighbours come by chance, the limit
    shrinks so that at most 1 row in 1,000 would have one. Groups and ids that occur on both sides are leaks too.
    Verdicts: "leaks" or "no leak found".

    `detail`: `exact` and `near` (counts of test rows), `pairs` (N, 2) of test and training row numbers (one training row for
    each), `distance` of each pair, `conflicts` (exact twins whose label differs from a training twin's), `within_train` (share
    of training rows with an exact twin in training), `shared_groups`, `shared_ids`, the limits used, and with a model
    and labels `accuracy`: of all rows, of those with a twin, and of those without.

    Args:
        near: Fraction of the typical distance, at least 0; 0 looks for exact twins only.
        level: Confidence level, in (0, 1).

    Example:
        >>> import numpy as np, pellucid as pl
        >>> x = np.random.default_rng(0).normal(size=(300, 5))
        >>> found, = pl.measure(None, pl.Leakage(), train=x[:250], test=x[240:])
        >>> found.verdict, found.detail["exact"], round(found.value, 3)
        ('leaks', 10, 0.167)

    References:
        Kapoor and Narayanan 2023, doi:10.1016/j.patter.2023.100804. Barz and Denzler 2020, doi:10.3390/jimaging6060041.

    Limits:
        Tables of a few categories repeat rows by chance: compare with `within_train`. A photograph cropped, turned or
        recoloured is not near in pixels. Columns that give the label away, and rows that are close in time, are
        other leaks and not looked for here.
    """

    near: float = 0.05
    level: float = 0.95

    quantity: ClassVar[str] = "leakage"

    def __post_init__(self) -> None:
        options.not_negative(self, "near")
        options.fraction(self, "level")

    def compute(self, context: Context) -> Measurement:
        """See `Measure.compute`."""
        train, test = context.data("train"), context.data("test")
        _comparable(train, test)
        pairs, exact, extra = self._twins(train, test, context)
        twin = np.zeros(len(test), dtype=bool)
        twin[pairs[:, 0]] = True
        groups, ids = shared(train.groups, test.groups), shared(train.ids, test.ids)
        interval = wilson(int(twin.sum()), len(test), self.level)
        value = float(twin.mean())
        verdict = "leaks" if twin.any() or len(groups) or len(ids) else "no leak found"
        detail = {
            "exact": exact, "near": int(twin.sum()) - exact, "pairs": pairs, "shared_groups": groups, "shared_ids": ids,
            "rows_in_shared_groups": 0 if not len(groups) else int(np.isin(test.groups, groups).sum()), **extra,
        }  # fmt: skip
        if context.has_model and test.y is not None and context.task == "classification":
            detail["accuracy"] = self._accuracy(context, twin)
        told = _told(detail, len(test), stated(value, interval, percent=True))
        return Measurement(self.quantity, value, interval, verdict, {"explanation": told, **detail})

    def _twins(self, train: Dataset, test: Dataset, context: Context) -> tuple[Array, int, dict[str, Any]]:
        """Pairs of test and training rows, how many of them are exact, and what else was seen."""
        numbers = all(a.dtype.kind in "biuf" for a in (*arrays_of(train.x), *arrays_of(test.x)))
        here, there = standardised(train.x, test.x, train.kind == "image") if numbers else (None, None)
        places: dict[bytes, list[int]] = {}
        known, asked = digests(train.x, test.x)
        for row, digest in enumerate(known):
            places.setdefault(digest, []).append(row)
        found = {row: places[digest] for row, digest in enumerate(asked) if digest in places}
        which = {row: rows[0] for row, rows in found.items()}
        distance = dict.fromkeys(which, 0.0)
        extra: dict[str, Any] = {
            "conflicts": _conflicts(train, test, found),
            "within_train": sum(len(r) for r in places.values() if len(r) > 1) / len(train),
        }
        if self.near and here is not None and there is not None and train.kind != "text" and len(train) > 1:
            about = scale(here, self.near, context.stream("sample"))
            extra |= {"typical_distance": about.typical, "near_limit": about.limit, "near_fraction": about.fraction}
            rest = np.setdiff1d(np.arange(len(test)), np.fromiter(which, int, len(which)))
            if len(rest) and about.limit > 0:
                far, at = nearest(here, there[rest], context.stream("directions"))
                close = far <= about.limit
                which |= dict(zip(rest[close].tolist(), at[close].tolist(), strict=True))
                distance |= dict(zip(rest[close].tolist(), far[close].tolist(), strict=True))
        order = sorted(which)
        pairs = np.array([(row, which[row]) for row in order], dtype=int).reshape(-1, 2)
        return pairs, len(found), {**extra, "distance": np.array([distance[row] for row in order])}

    def _accuracy(self, context: Context, twin: Array) -> dict[str, Any]:
        right = context.probabilities("test").argmax(axis=1) == context.labels("test")
        parts = {"all": right, "twins": right[twin], "others": right[~twin]}
        return {
            name: {"value": float(part.mean()), "interval": wilson(int(part.sum()), len(part), self.level)}
            if len(part)
            else None
            for name, part in parts.items()
        }


def _comparable(train: Dataset, test: Dataset) -> None:
    shapes = [sorted(x) if isinstance(x, dict) else None for x in (train.x, test.x)]
    if shapes[0] != shapes[1]:
        raise InvalidInput(f"train and test have different inputs: {shapes[0]} and {shapes[1]}")
    for one, two in zip(arrays_of(train.x), arrays_of(test.x), strict=True):
        if one.dtype == object or two.dtype == object:
            raise NotApplicable("Leakage compares numbers or text of one type, but the inputs hold Python objects")
        if one.shape[1:] != two.shape[1:]:
            raise InvalidInput(f"train and test rows differ in shape: {one.shape[1:]} and {two.shape[1:]}")


def _conflicts(train: Dataset, test: Dataset, found: dict[int, list[int]]) -> int:
    if train.y is None or test.y is None:
        return 0
    return sum(bool(np.any(train.y[rows] != test.y[row])) for row, rows in found.items())


def _told(detail: dict[str, Any], count: int, share: str) -> str:
    verb = "is" if detail["exact"] == 1 else "are"
    there = f"{detail['exact']} {verb} in the training data and {detail['near']} nearly so"
    said = [f"Of {counted(count, 'test row')}, {there}: {share}"]
    if detail["conflicts"]:
        said.append(f"{detail['conflicts']} of them with another label")
    shared = {name: len(detail[f"shared_{name}"]) for name in ("groups", "ids")}
    said.extend(
        f"{agreeing(count, name.removesuffix('s'), 'occurs', 'occur')} on both sides"
        for name, count in shared.items()
        if count
    )
    parts = detail.get("accuracy")
    if parts and parts["twins"] and parts["others"]:
        everything, others = (figure(parts[n]["value"], parts[n]["interval"], percent=True) for n in ("all", "others"))
        said.append(f"accuracy is {everything} with and {others} without them")
    return "; ".join(said) + "."
