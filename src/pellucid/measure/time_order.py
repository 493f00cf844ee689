"""Whether the test rows come after the training rows, as what the model will be used on does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from pellucid.core import options
from pellucid.core.measurement import Measurement
from pellucid.core.numbers import counted, stated
from pellucid.core.resampling import Interval, wilson
from pellucid.errors import InvalidInput, InvalidOption, NotApplicable
from pellucid.measure.base import Context, Measure
from pellucid.measure.memorization import losses
from pellucid.shapes import Array, Floats

FEWEST = 10
"""Test rows below which nothing is said of quality along time."""


@dataclass(frozen=True, eq=False)
class TimeOrder(Measure):
    """Was the model trained on the past and tested on the future?

    A model that has seen what came after the test rows looks better than it will be. The value is the share of test rows that are
    older than the newest training row, with Wilson's interval. Rows of equal time are not older. Verdicts: "past and future are
    mixed" where any is, else "later rows are held out".

    With a model and labels it is also asked whether the quality falls along the test rows: Spearman's rank correlation rho of
    loss and time, above 0 where later rows are served worse. Its interval is Fisher's, with the variance (1 + rho^2 / 2) / (n
    - 3) of Bonett and Wright, and its p the two-sided one of no correlation.

    `detail`: `earlier` (count of such test rows), `training_later` (share of training rows newer than the oldest test row),
    `newest_train`, `oldest_test` and `newest_test` as they were given, and `fading`: `rho`, `interval`, `p` and `falls`
    (whether the interval lies above 0), or None.

    Args:
        by: The name of a column that both sets have, or {"train": times, "test": times}, one for each row: numbers, dates
            (`datetime64`, or text such as "2024-03-01"), or `datetime` objects.
        level: Confidence level of each interval, in (0, 1).

    Raises:
        InvalidInput: A column that does not exist, times for another number of rows, missing times, or no times at all.
        InvalidOption: `by` is neither a name nor such a mapping.

    Example:
        >>> import numpy as np, pellucid as pl
        >>> day = np.arange("2024-01-01", "2024-04-10", dtype="datetime64[D]")
        >>> x = np.random.default_rng(0).normal(size=(100, 2))
        >>> by = {"train": day[:80], "test": day[70:90]}
        >>> found, = pl.measure(None, pl.TimeOrder(by), train=x[:80], test=x[70:90])
        >>> found.verdict, found.value, found.detail["newest_train"]
        ('past and future are mixed', 0.45, '2024-03-20')

    References:
        Kapoor and Narayanan 2023, doi:10.1016/j.patter.2023.100804. Wilson 1927, doi:10.1080/01621459.1927.10502953. Spearman
        1904, doi:10.2307/1412159. Bonett and Wright 2000, doi:10.1007/BF02294183.

    Limits:
        One training row with a wrong date makes all test rows older: look at `training_later` too. Rows held out by time can
        still share patients or machines with training (`Leakage` looks for these), and columns may be filled in later than
        the row's time says (`TargetLeakage`). Quality may fall along time for other reasons than age, such as harder rows,
        and fall and rise again unseen.
    """

    by: str | Mapping[str, Any]
    level: float = 0.95

    quantity: ClassVar[str] = "time_order"

    def __post_init__(self) -> None:
        options.fraction(self, "level")
        if not isinstance(self.by, str) and not (isinstance(self.by, Mapping) and set(self.by) == {"train", "test"}):
            got = f"a mapping of {', '.join(map(str, self.by))}" if isinstance(self.by, Mapping) else repr(self.by)
            raise InvalidOption(
                f'TimeOrder.by: expected a column\'s name, or {{"train": times, "test": times}}, got {got}'
            )

    def compute(self, context: Context) -> Measurement:
        """See `Measure.compute`."""
        raw = {split: self._times(context, split) for split in ("train", "test")}
        train, test = comparable(raw["train"], raw["test"])
        if np.ptp(np.concatenate([train, test])) == 0:
            raise NotApplicable("TimeOrder compares times, but all rows have the same")
        earlier = int(np.sum(test < train.max()))
        value, interval = earlier / len(test), wilson(earlier, len(test), self.level)
        verdict = "past and future are mixed" if earlier else "later rows are held out"
        fading = None
        if context.has_model and context.data("test").y is not None and len(test) >= FEWEST:
            fading = along(losses(context, "test"), test, self.level)
        detail = {
            "earlier": earlier, "training_later": float(np.mean(train > test.min())), "fading": fading,
            "newest_train": str(raw["train"][train.argmax()]), "oldest_test": str(raw["test"][test.argmin()]),
            "newest_test": str(raw["test"][test.argmax()]),
        }  # fmt: skip
        share = stated(value, interval, percent=True)
        told = (
            f"Of {counted(len(test), 'test row')} {share} are older than the newest training row, of {detail['newest_train']}; "
            f"test rows are of {detail['oldest_test']} to {detail['newest_test']}."
        )
        told = f"{told}{_faded(fading)}"
        return Measurement(self.quantity, value, interval, verdict, {"explanation": told, **detail})

    def _times(self, context: Context, split: str) -> Array:
        """The time (B,) of each row of a split, as it was given."""
        data = context.data(split)
        if isinstance(self.by, Mapping):
            times = np.asarray(self.by[split])
            if times.shape != (len(data),):
                raise InvalidInput(
                    f"TimeOrder.by: {split} needs one time for each of its {len(data)} rows, got shape {times.shape}"
                )
            return times
        names = () if isinstance(data.x, dict) or data.x.ndim != 2 else data.feature_names or ()
        if self.by not in names:
            known = ", ".join(names[:20]) or "none"
            raise InvalidInput(
                f"TimeOrder.by: {split} has no column {self.by!r} (its named columns: {known}); give times for each row"
            )
        return data.x[:, list(names).index(self.by)]


def comparable(first: Array, second: Array) -> tuple[Floats, Floats]:
    """Times as numbers: as they are, or dates as nanoseconds since 1970.

    Raises:
        InvalidInput: Dates beside numbers, words that are no dates, or times that are missing.
    """
    sides = list[Floats]()
    if len({a.dtype.kind in "biuf" for a in (first, second)}) > 1:
        raise InvalidInput(
            f"TimeOrder.by: training and test rows have times of two kinds, {first.dtype} and {second.dtype}"
        )
    for name, array in (("train", first), ("test", second)):
        if array.dtype.kind in "biuf":
            found = array.astype(float)
        else:
            try:
                dates = array.astype("datetime64[ns]")
            except (TypeError, ValueError) as problem:
                raise InvalidInput(
                    f"TimeOrder.by: {name}: expected numbers or dates, got {array[0]!r}: {problem}"
                ) from problem
            found = np.where(np.isnat(dates), np.nan, dates.astype(np.int64).astype(float))
        if not np.isfinite(found).all():
            row = int(np.argmin(np.isfinite(found)))
            raise InvalidInput(f"TimeOrder.by: {name}: the time of row {row} is missing or infinite; drop such rows")
        sides.append(found)
    return sides[0], sides[1]


def along(values: Floats, times: Floats, level: float) -> dict[str, Any] | None:
    """Spearman's correlation of losses and times (B,), with its interval and p; None where either is constant."""
    from scipy.stats import norm, spearmanr

    if np.ptp(values) == 0 or np.ptp(times) == 0:
        return None
    found = spearmanr(times, values)
    rho = float(found.statistic)
    half = norm.ppf(0.5 + level / 2) * np.sqrt((1 + rho**2 / 2) / (len(times) - 3))
    low, high = (float(np.tanh(np.arctanh(np.clip(rho, -1 + 1e-12, 1 - 1e-12)) + sign * half)) for sign in (-1, 1))
    return {"rho": rho, "interval": Interval(low, high, level, "Fisher"), "p": float(found.pvalue), "falls": low > 0}


def _faded(fading: dict[str, Any] | None) -> str:
    if fading is None:
        return ""
    rho = stated(fading["rho"], fading["interval"])
    if fading["falls"]:
        return (
            f" The later a test row, the larger its loss: their rank correlation is {rho}, so quality falls with time."
        )
    return f" The rank correlation of loss and time among test rows is {rho}: quality is not seen to fall with time."
