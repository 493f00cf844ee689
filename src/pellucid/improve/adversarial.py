"""Training on inputs that were changed, within a radius, to make the model lose the most."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pellucid.core import options
from pellucid.core.dataset import Dataset
from pellucid.errors import NotApplicable
from pellucid.improve.base import Batch, Seen, StepRemedy
from pellucid.improve.rows import divergence
from pellucid.improve.step import Step, keeping
from pellucid.shapes import Tensor

KINDS, NORMS = ("pgd", "trades"), ("inf", "2")


@dataclass(frozen=True, eq=False)
class AdversarialTraining(StepRemedy):
    """Trains on the worst inputs within a radius, so that small changes of an input do not change the answer.

    Does the model hold against small changes made on purpose, and what does it pay on inputs as they are?

        loss = L(f(x + d), y),  d the worst with |d| <= radius                                          (pgd)
        loss = L(f(x), y) + strength * KL(f(x) || f(x + d)),  d the one with the largest KL             (trades)

    d is found by projected gradient ascent from a random start, with the model as in use (no dropout). Losses that layers add
    themselves, and normalization statistics, are those at x + d (pgd) or at x (trades), once a step.

    Args:
        radius: How far an input may be changed, above 0, in units of the inputs.
        norm: "inf": each number by at most the radius; "2": the length of the change.
        kind: "pgd" (Madry et al.) or "trades" (Zhang et al.).
        steps: Steps of ascent, at least 1; each costs about as much as plain training does.
        strength: The factor of the divergence, at least 0; for "trades" alone. The log has the loss on inputs as they are.

    Raises:
        InvalidOption: A radius or strength out of range, another norm or kind.
        NotApplicable: While training: inputs that are tokens, or "trades" with a loss that is no cross-entropy.

    Example:
        >>> import pellucid as pl
        >>> pl.AdversarialTraining(0.1, steps=3).kind
        'pgd'

    References:
        Madry, Makelov, Schmidt, Tsipras and Vladu 2018, arXiv:1706.06083; Zhang et al. 2019, arXiv:1901.08573.

    Limits:
        It costs accuracy on inputs as they are, and `steps` + 1 times the time. It holds for the radius and norm it was trained
        with. Changed inputs stay within the range that each number has in the training data.
    """

    slot = "adversarial"
    rank = 7
    radius: float = 0.1
    norm: str = "inf"
    kind: str = "pgd"
    steps: int = 7
    strength: float = 6.0

    def __post_init__(self) -> None:
        options.positive(self, "radius")
        options.one_of(self, "norm", NORMS)
        options.one_of(self, "kind", KINDS)
        options.whole(self, "steps")
        options.not_negative(self, "strength")

    def attach(self, step: Step, train: Dataset, seed: int) -> Any:
        """The range of the training inputs, and what random starts are drawn from."""
        import keras

        if isinstance(train.x, dict) or train.x.dtype.kind != "f" or not step.inside.anatomy.at_inputs:
            raise NotApplicable(
                "AdversarialTraining changes inputs by small amounts, and these are no single array of real numbers; tokens and "
                "several inputs have no such neighbourhood; measured numbers that are kept as whole ones can be converted with "
                'x.astype("float32")'
            )
        if self.kind == "trades":
            step.rows.need_classes("AdversarialTraining of kind 'trades'")
        over = 0 if train.x.ndim == 2 else None
        return [keeping(low=train.x.min(over), high=train.x.max(over)), keras.random.SeedGenerator(seed)]

    def change(self, batch: Batch, step: Step, held: Any) -> Batch:
        """The batch with the worst inputs in place of its own, or beside them."""
        import keras
        from keras import ops

        bounds, seeds = held
        if self.kind == "pgd":
            start = keras.random.uniform(ops.shape(batch.x), -self.radius, self.radius, seed=seeds)
            return batch.with_(x=self._worst(batch.x, start, bounds, step, lambda f: ops.sum(step.losses(batch.y, f))))
        start = 1e-3 * keras.random.normal(ops.shape(batch.x), seed=seeds)
        clean = ops.stop_gradient(step.rows.log_probabilities(_outputs(step, batch.x)))
        worst = self._worst(
            batch.x, start, bounds, step, lambda f: ops.sum(divergence(clean, step.rows.log_probabilities(f)))
        )
        return batch.with_(beside={**batch.beside, self.slot: {"worst": worst}})

    def term(self, batch: Batch, seen: Seen, step: Step) -> Tensor | None:
        """The divergence (B,) between answers for an input and for the worst near it; none of it in the log of other kinds."""
        worst = batch.beside[self.slot].get("worst")
        if worst is None:
            return None
        logs, far = (step.rows.log_probabilities(f) for f in (seen.outputs, _outputs(step, worst, training=True)))
        return self.strength * divergence(logs, far)

    def _worst(self, x: Tensor, start: Tensor, bounds: Any, step: Step, loss: Callable[[Tensor], Tensor]) -> Tensor:
        """The inputs found by ascent, clipped to the range of the training data."""
        from keras import ops

        size = 2.5 * self.radius / self.steps
        inside = lambda moved: ops.minimum(ops.maximum(moved, bounds.low), bounds.high)  # noqa: E731
        clipped = lambda d: inside(x + self._projected(d)) - x  # noqa: E731
        change = clipped(start)
        for _ in range(self.steps):
            _, (slope,) = step.inside.backend.gradient(lambda moved: (loss(_outputs(step, moved)), None), [x + change])
            way = ops.sign(slope) if self.norm == "inf" else slope / (_length(slope) + 1e-12)
            change = clipped(change + size * way)
        return x + ops.stop_gradient(change)

    def _projected(self, change: Tensor) -> Tensor:
        """The nearest change within the radius."""
        from keras import ops

        if self.norm == "inf":
            return ops.clip(change, -self.radius, self.radius)
        return change * ops.minimum(1.0, self.radius / (_length(change) + 1e-12))


def _outputs(step: Step, x: Tensor, training: bool = False) -> Tensor:
    """What the model puts out; losses of its layers and statistics of what it sees are those of the run that is learnt from."""
    seen, _ = step.aside(lambda: step.run(x, training))
    return seen.outputs


def _length(change: Tensor) -> Tensor:
    """The length of each example's change, of shape (B, 1, ...)."""
    from keras import ops

    return ops.sqrt(ops.sum(ops.square(change), axis=tuple(range(1, len(change.shape))), keepdims=True))
