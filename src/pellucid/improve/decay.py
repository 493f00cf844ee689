"""Weights that shrink by themselves at every step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pellucid.core import options
from pellucid.errors import NotApplicable
from pellucid.improve.base import Remedy
from pellucid.improve.penalties import ON, named_by


@dataclass(frozen=True, eq=False)
class WeightDecay(Remedy):
    """Shrinks the weights at every step by a share of their own, apart from the gradient: decoupled weight decay.

    Would a model with smaller weights hold better on new data, when the optimizer scales gradients (Adam and its kin)?

        w <- w - rate_t * strength * w,   and then the optimizer's own step;   rate_t is its learning rate, scheduled or not

    The optimizer is the user's, copied from its settings, with Keras's `weight_decay` set; the user's object is not changed. The
    loss is not changed either, so the log has no penalty of that name. With SGD it is L2 of half the strength.

    Args:
        strength: The share, at least 0; 1e-4 to 1e-1 is usual with Adam, whose learning rate is small.
        on: "kernels" (no biases, no normalization) or "all"; as for `L2`.

    Raises:
        InvalidOption: A negative strength, or another `on`.
        NotApplicable: While training, where the optimizer decays weights already, or cannot be copied from its settings.

    Example:
        >>> import pellucid as pl
        >>> pl.WeightDecay(0.004)
        WeightDecay(strength=0.004, on='kernels')

    References:
        Loshchilov and Hutter 2019, "Decoupled weight decay regularization", arXiv:1711.05101.

    Limits:
        How much is decayed in all goes with the sum of the learning rates: a longer training or a larger rate decays more. Before
        a normalization layer it only changes the step size.
    """

    slot = "weight_decay"
    against = dict.fromkeys(("l2", "elastic_net"), "both draw the weights towards zero")
    rank = 25  # after everything that makes weights, some of which are left alone
    strength: float = 0.004
    on: str = "kernels"

    def __post_init__(self) -> None:
        options.not_negative(self, "strength")
        options.one_of(self, "on", ON)

    def rebuild(self, model: Any) -> Any:
        """The model, compiled with a copy of its optimizer that decays weights."""
        settings = model._compile_config.config
        optimizer = _copied(settings["optimizer"])
        inner = getattr(optimizer, "inner_optimizer", optimizer)  # one that scales the loss for float16 holds another
        if inner.weight_decay:
            raise NotApplicable(
                f"WeightDecay: the optimizer {type(inner).__name__} already has weight_decay={inner.weight_decay}; "
                "leave it out there (Adam in place of AdamW), or leave WeightDecay out"
            )
        inner.weight_decay = self.strength
        inner.exclude_from_weight_decay([v for v in model.trainable_variables if not named_by(self.on, v)])
        model.compile(**{**settings, "optimizer": optimizer})
        return model


def _copied(optimizer: Any) -> Any:
    """A new optimizer of the same settings."""
    import keras

    given = keras.optimizers.get(optimizer)
    try:
        return type(given).from_config(given.get_config())
    except Exception as problem:  # whatever an optimizer of the user's own may raise
        raise NotApplicable(
            f"WeightDecay: the optimizer {type(given).__name__} cannot be copied from its settings (get_config, from_config): "
            f"{problem}"
        ) from problem
