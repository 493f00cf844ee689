"""Training on explanations: what the model must not look at, and how its account should look."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from pellucid.core import options
from pellucid.core.dataset import Dataset
from pellucid.errors import InvalidInput, InvalidOption
from pellucid.improve import contextual
from pellucid.improve.base import Batch, Seen, StepRemedy
from pellucid.improve.slopes import squares
from pellucid.improve.step import Step
from pellucid.shapes import Array, Tensor

KINDS = ("rrr", "cdep")
PRIORS = ("smooth", "sparse")


@dataclass(frozen=True, eq=False)
class RightReasons(StepRemedy):
    """A price on looking outside what is known to be the cause, so that a shortcut is not learnt.

    Is the model right for the right reasons, and does it then hold where the shortcut is gone?

        loss = data loss + strength * mean over examples of R
        rrr:   R = sum over j outside the cause of  (d/dx_j sum over k of log p_k)^2
        cdep:  R = sum over k of |beta_k|,    beta + gamma = scores

    "rrr" asks what small changes outside the cause do (of a regression the value itself is differentiated); "cdep" what all that
    lies outside contributes. Contextual decomposition takes it through the model: beta starts as the input outside the cause and
    gamma as the rest, 0 elsewhere each, and so do embeddings of tokens. A layer W x + b gives W beta and W gamma and shares out b
    as |W beta| : |W gamma|; an activation f gives f(beta) - f(0), and gamma the rest of f(beta + gamma); max pooling takes both
    where their sum is largest. Scores are logits (values of a regression), and the model is run as in inference. The authors'
    code prices softmax(beta_k, gamma_k)_1 instead of |beta_k|.

    Args:
        cause: Where the true cause is (B, ...): 1 where the model may look and 0 where it must not, for each training example in
            their order; or one mask (...) for all of them. For tokens, a mask of positions (B, T).
        strength: The factor, at least 0: the price should start about as large as the data loss. 1 to 1,000 is usual of "rrr",
            0.1 to 10 of "cdep".
        kind: "rrr" (right for the right reasons), or "cdep" (contextual decomposition explanation penalization).

    Raises:
        InvalidOption: A negative strength, another kind, or a mask that holds other than 0 and 1.
        InvalidInput: While training: a mask that does not fit the inputs; for "rrr", whole numbers that no embedding reads.
        UnsupportedLayer: While training by "cdep": a layer or an operation that cannot be decomposed, such as attention, layer
            normalization or a product, or a model or layer with a call of its own.

    Example:
        >>> import numpy as np, pellucid as pl
        >>> pl.RightReasons(np.array([1, 1, 0]), strength=10).strength
        10

    References:
        Ross, Hughes and Doshi-Velez 2017, arXiv:1703.03717; Rieger, Singh, Murdoch and Yu 2020, arXiv:1909.13584 (cdep); Singh,
        Murdoch and Yu 2019, arXiv:1806.05337 (contextual decomposition).

    Limits:
        A gradient tells what small changes do: a model can rest on a region and be flat in it. Verify afterwards by hiding it.
        What lies inside the mask can still be a shortcut. "rrr": a second backward pass, up to 2.5 times the time. "cdep": three
        times the rows, and max pooling by copies of its windows. Its inputs count from 0, and a region of zeros contributes
        nothing, so standardize them. Batch normalization goes by its kept statistics, which lag behind in early epochs.
    """

    slot = "reasons"
    cause: Any = None
    strength: float = 10.0
    kind: str = "rrr"

    def __post_init__(self) -> None:
        options.not_negative(self, "strength")
        options.one_of(self, "kind", KINDS)
        try:
            mask = np.asarray(self.cause)
        except ValueError:  # rows of several lengths
            mask = np.array(None)
        if mask.dtype.kind not in "biuf" or not mask.ndim or not np.isin(mask, (0, 1)).all():
            raise InvalidOption(f"RightReasons.cause: expected a mask of 0 and 1, got {mask.dtype} {mask.shape}")

    def acts(self, hook: str) -> bool:
        """Whether it does something in a hook: "cdep" differentiates nothing by the inputs."""
        return super().acts(hook) and (hook != "slope" or self.kind == "rrr")

    def beside(self, train: Dataset) -> dict[str, Array]:
        """Where an example must not be looked at (B, ...)."""
        if isinstance(train.x, dict):
            raise InvalidInput("RightReasons.cause is a mask of a single input, and there are several")
        shape, mask = train.x.shape, np.asarray(self.cause, np.float32)
        if mask.ndim == len(shape) - 1:
            mask = np.broadcast_to(mask, (len(train), *mask.shape))
        if mask.ndim == len(shape) and mask.shape[:-1] == shape[:-1] and mask.shape[-1] in (1, shape[-1]):
            return {"outside": 1 - mask}
        raise InvalidInput(
            f"RightReasons.cause: expected a mask for x {shape} or for one of its examples, got {mask.shape}"
        )

    def attach(self, step: Step, train: Dataset, seed: int) -> Any:
        """Nothing; the place where the layers are looked at."""
        if self.kind == "cdep":
            contextual.rules(step.inside)

    def slope(self, outputs: Tensor, batch: Batch, step: Step) -> Tensor:
        """The sum of all log-probabilities."""
        from keras import ops

        return ops.sum(step.rows.scores(outputs))

    def term(self, batch: Batch, seen: Seen, step: Step) -> Tensor:
        """The price (B,)."""
        from keras import ops

        outside = batch.beside[self.slot]["outside"]
        if self.kind == "cdep":
            (beta, _), _ = step.aside(lambda: contextual.decomposed(step.inside, batch.x, outside))
            return self.strength * ops.sum(ops.abs(beta), axis=1)
        (slope,) = seen.slopes
        outside = ops.expand_dims(outside, -1) if len(slope.shape) > len(outside.shape) else outside
        return self.strength * squares([slope], [outside])


@dataclass(frozen=True, eq=False)
class AttributionPrior(StepRemedy):
    """A price on explanations that people would not believe: that jump from pixel to pixel, or that blame every column.

    Does a model whose account is smooth, or short, hold better on new data, and is it easier to check?

        phi_ij = (x_ij - x'_ij) d s_i / d x_ij  at  x' + a (x - x')                             (one draw of expected gradients)
        smooth:  mean over examples of  sum over neighbours of |phi_j - phi_j'|
        sparse:  - sum over j, j' of |m_j - m_j'| / (2 F sum over j of m_j),  m_j = mean over the batch of |phi_ij|   (minus Gini)

    x' is another example of the batch, s the log-probability of the label (a regression: the value).

    Args:
        kind: "smooth" for images and series, along every axis but the last; "sparse" for tables.
        strength: The factor, at least 0.

    Raises:
        InvalidOption: A negative strength or another kind.
        InvalidInput: While training: inputs that the kind is not for.

    Example:
        >>> import pellucid as pl
        >>> pl.AttributionPrior("sparse", strength=0.1).kind
        'sparse'

    References:
        Erion, Janizek, Sturmfels, Lundberg and Lee 2021, arXiv:1906.10670.

    Limits:
        One background example a step is noisy; the noise averages out over steps. A smooth account need not be a true one.
        Another forward pass and a second backward pass: about three times the time.
    """

    slot = "attribution_prior"
    kind: str = "smooth"
    strength: float = 0.1

    def __post_init__(self) -> None:
        options.one_of(self, "kind", PRIORS)
        options.not_negative(self, "strength")

    def beside(self, train: Dataset) -> dict[str, Array]:
        """Nothing; the place where inputs are checked."""
        if isinstance(train.x, dict) or train.x.dtype.kind != "f" or (train.x.ndim == 2) != (self.kind == "sparse"):
            wants = "a table (B, F)" if self.kind == "sparse" else "images or series"
            shapes = {k: v.shape for k, v in train.x.items()} if isinstance(train.x, dict) else train.x.shape
            raise InvalidInput(f"AttributionPrior: kind {self.kind!r} is for real numbers in {wants}, got x {shapes}")
        return {}

    def term(self, batch: Batch, seen: Seen, step: Step) -> Tensor:
        """The price."""
        from keras import ops

        x, other = batch.x, ops.roll(batch.x, 1, axis=0)
        along = (ops.arange(batch.size, dtype="float32") + 0.5) / ops.cast(batch.size, "float32")
        at = other + ops.reshape(along, (-1, *[1] * (len(x.shape) - 1))) * (x - other)
        phi = (x - other) * step.sloped(
            at, lambda outputs: ops.sum(step.of_label(batch.y, outputs)), training=False
        ).slopes[0]
        return self.strength * (_jumps(phi) if self.kind == "smooth" else -_gini(ops.mean(ops.abs(phi), axis=0)))


def _jumps(phi: Tensor) -> Tensor:
    """The sum (B,) of differences between neighbours along each axis but the first and last."""
    from keras import ops

    axes = range(1, len(phi.shape) - 1)
    each = [ops.sum(ops.abs(ops.diff(phi, axis=a)), axis=tuple(range(1, len(phi.shape)))) for a in axes]
    return sum(each[1:], each[0])


def _gini(sizes: Tensor) -> Tensor:
    """Gini's coefficient of sizes (F,): 0 where all are equal, towards 1 where one has everything."""
    from keras import ops

    apart = ops.sum(ops.abs(sizes[:, None] - sizes[None, :]))
    return apart / (2 * sizes.shape[0] * ops.sum(sizes) + 1e-12)
