"""When to stop."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pellucid.core import options
from pellucid.core.registry import unknown
from pellucid.errors import InvalidInput, InvalidOption, UnknownName
from pellucid.improve.base import Remedy

_HIGHER = (
    "acc", "auc", "precision", "recall", "sensitivity", "specificity", "score", "f1", "r2", "io_u", "iou", "dice", "cosine",
    "kappa", "mcc", "correlation",
)  # fmt: skip
"""Words in the names of metrics that are better when higher."""

_LOWER = (
    "loss",
    "error",
    "entropy",
    "mse",
    "mae",
    "mape",
    "msle",
    "hinge",
    "divergence",
    "poisson",
    "log_cosh",
    "false",
)
"""Words in the names of what is better when lower, which come first: "cosine_loss"."""


@dataclass(frozen=True, eq=False)
class EarlyStopping(Remedy):
    """Stops when validation data get no better, and goes back to the weights that were best on them.

    Would the model have been better with less training?

        stop after epoch t if  min over s in t-patience+1..t of m_s  >=  min over s <= t-patience of m_s - min_delta

    Args:
        patience: Epochs without improvement that are waited for, at least 1.
        monitor: What is watched: "val_data_loss" (the loss without penalties), "val_loss", or "val_" and the name of a
            metric the model was compiled with.
        min_delta: The least change that counts as an improvement.
        better: "higher" or "lower"; None for what the name of what is watched says: losses and errors are better when lower,
            accuracy, AUC, precision, recall and scores when higher.

    Raises:
        InvalidOption: A patience below 1 or a negative `min_delta`; while training, a name that does not
            say which way is better.
        InvalidInput: While training, without validation data.
        UnknownName: While training, a `monitor` that is not logged.

    Example:
        >>> import pellucid as pl
        >>> pl.EarlyStopping(patience=3).monitor
        'val_data_loss'

    References:
        Prechelt 1998, "Early stopping, but when?", doi:10.1007/3-540-49430-8_3.

    Limits:
        The validation data are used up: the score on them is too good, so judge the model on test data. A small
        validation set stops by luck.
    """

    slot = "stopping"
    patience: int = 5
    monitor: str = "val_data_loss"
    min_delta: float = 0.0
    better: str | None = None

    def __post_init__(self) -> None:
        options.whole(self, "patience")
        options.not_negative(self, "min_delta")
        options.instance(self, "monitor", str, "the name of a logged value")
        options.one_of(self, "better", (None, "higher", "lower"))

    def _way(self) -> str | None:
        """ "higher" or "lower"; None where the name does not say."""
        if self.better is not None:
            return self.better
        said = (
            way
            for way, words in (("lower", _LOWER), ("higher", _HIGHER))
            if any(w in self.monitor.lower() for w in words)
        )
        return next(said, None)

    def callbacks(self, *, validated: bool) -> list[Any]:
        """Keras's own schedule, watching the log."""
        if not validated and self.monitor.startswith("val_"):
            raise InvalidInput(
                "EarlyStopping watches validation data, and there are none: give validation=, held out from train"
            )
        return [
            _stopping()(
                self._way() is not None,
                monitor=self.monitor,
                mode="max" if self._way() == "higher" else "min",
                patience=self.patience,
                min_delta=self.min_delta,
                restore_best_weights=True,
            )
        ]


def _stopping() -> type:
    from keras.callbacks import EarlyStopping as Stopping

    class Strict(Stopping):
        """Refuses to watch what is not logged, where Keras would only warn and never stop, and what may be better either way."""

        def __init__(self, clear: bool, **settings: Any) -> None:
            super().__init__(**settings)
            self._clear = clear

        def get_monitor_value(self, logs: Mapping[str, float] | None) -> float:
            if self.monitor not in (logs or {}):
                raise UnknownName(unknown("logged value", self.monitor, logs or {}))
            if not self._clear:
                raise InvalidOption(
                    f'EarlyStopping.better: the name {self.monitor!r} does not say which way is better; give "higher" or "lower"'
                )
            return (logs or {})[self.monitor]

    return Strict
