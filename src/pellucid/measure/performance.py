"""How good the predictions are on data the model has not seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from pellucid.core import options
from pellucid.core.measurement import Measurement
from pellucid.core.numbers import counted, stated
from pellucid.core.record import Value
from pellucid.errors import InvalidOption, NotApplicable
from pellucid.measure.base import Context, Measure
from pellucid.measure.estimates import METRICS, ROW_LOSSES, Estimate, Metric, headline, of_task
from pellucid.shapes import Floats


@dataclass(frozen=True, eq=False)
class Performance(Measure):
    """How good are the predictions, and how sure is that?

    | name | formula | interval |
    |---|---|---|
    | accuracy | mean_b [argmax_k p_bk = y_b] | Wilson |
    | balanced_accuracy | mean over classes present of the share found | Wilson by class, combined |
    | auroc | P(p of a positive > p of a negative), ties half | DeLong on the log-odds scale |
    | auprc | sum over thresholds of precision x step in recall | infinitesimal jackknife on the log-odds scale |
    | log_loss | mean_b -ln p_b[y_b] | bootstrap-t |
    | brier | mean_b sum_k (p_bk - [k = y_b])^2, from 0 to 2 | bootstrap-t |
    | r2 | 1 - mean (f - y)^2 / Var(y) | bootstrap-t of ln(1 - R2) |
    | mae | mean abs(f - y) | bootstrap-t |
    | rmse | sqrt(mean (f - y)^2) | bootstrap-t |

    With more than two classes, auroc and auprc are the mean of each class present against the rest. The value is
    the first metric's: accuracy, or R2 for a regression. `detail[name]` holds `value` and `interval` of each.

    Args:
        metrics: Names from the table; None for all of the model's task.
        level: Confidence level of every interval, in (0, 1).

    Raises:
        InvalidOption: A metric that does not exist.

    Example:
        >>> import numpy as np, pellucid as pl
        >>> x = np.linspace(0, 1, 200)[:, None]
        >>> model = pl.wrap(lambda x: np.hstack([1 - x, x]), output="probabilities")
        >>> found, = pl.measure(model, pl.Performance(), test=(x, (x[:, 0] > 0.4).astype(int)))
        >>> found.detail["explanation"]
        'Of 200 unseen rows, 90\u202f% (95\u202f% interval 85\xa0to\xa093\u202f%) are classified right.'

    References:
        Wilson 1927, doi:10.1080/01621459.1927.10502953. Efron 1987, doi:10.1080/01621459.1987.10478410.
        DeLong et al. 1988, doi:10.2307/2531595. Zou and Donner 2008, doi:10.1002/sim.3095.

    Limits:
        Intervals say what other rows drawn like these would give, for this trained model: not what another training
        run would give, nor what data from elsewhere would. Rows that belong together (`groups`) make them too short.
    """

    metrics: Sequence[str] | None = None
    level: float = 0.95

    quantity: ClassVar[str] = "performance"

    def __post_init__(self) -> None:
        options.fraction(self, "level")
        if self.metrics is not None:
            names = (self.metrics,) if isinstance(self.metrics, str) else tuple(self.metrics)
            object.__setattr__(self, "metrics", names)
            for name in names or ("none",):
                known_metric(self, name)

    def compute(self, context: Context) -> Measurement:
        """See `Measure.compute`."""
        task = context.task
        names = tuple(self.metrics) if self.metrics else tuple(of_task(task))
        found, reasons = {}, {}
        for name in names:
            try:
                found[name] = estimated(context, name, "test", self.level)
            except NotApplicable as reason:
                reasons[name] = str(reason)
        if not found:
            raise NotApplicable("; ".join(reasons.values()))
        first = headline(task) if headline(task) in found else next(iter(found))
        detail = {name: written(found[name]) if name in found else absent(reasons[name]) for name in names}
        best = found[first]
        told = _told(METRICS[first], first, best, len(context.data("test")))
        told_of = {"explanation": told, **detail}
        return Measurement(f"performance.{first}", best.value, best.interval, detail=told_of, **METRICS[first].read)


def known_metric(owner: Value, name: Any) -> None:
    """Require a metric's name."""
    if name not in METRICS:
        raise InvalidOption(f"{type(owner).__name__}: expected a metric among {', '.join(METRICS)}, got {name!r}")


def written(found: Estimate) -> dict[str, Any]:
    """How an estimate is written down."""
    return {"value": found.value, "interval": found.interval, "explanation": found.note}


def absent(reason: str) -> dict[str, Any]:
    """How a quality that could not be had is written down."""
    return {"value": None, "interval": None, "explanation": reason}


def chosen(context: Context, name: str | None) -> tuple[str, Metric]:
    """A quality of the model's task, by its name, or the one that stands for the others.

    Raises:
        NotApplicable: It is a quality of another task.
    """
    name = name or headline(context.task)
    metric = METRICS[name]
    if metric.task != context.task:
        raise NotApplicable(f"{metric.label} is for {metric.task}, but {context.model.name} is a {context.task} model")
    return name, metric


def estimated(context: Context, name: str, split: str, level: float) -> Estimate:
    """A quality of the model's answers on one split."""
    metric = chosen(context, name)[1]
    labels = context.labels(split)
    answers = context.probabilities(split) if metric.task == "classification" else context.values(split)
    return metric.compute(labels, answers, level, context.stream(name, split))


def row_losses(context: Context, split: str, name: str) -> Floats:
    """A loss (B,) of each row of a split; see `ROW_LOSSES`."""
    answers = context.probabilities(split) if context.task == "classification" else context.values(split)
    return ROW_LOSSES[name](context.labels(split), answers)


def _told(metric: Metric, name: str, found: Estimate, count: int) -> str:
    rows, quality = counted(count, "unseen row"), stated(found.value, found.interval, percent=metric.share)
    if name == "accuracy":
        return f"Of {rows}, {quality} are classified right."
    return f"On {rows}, the {metric.label} is {quality}."
