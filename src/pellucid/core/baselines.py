"""What stands for "nothing": numbers, other examples, a blur of the example itself, a mask token."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from pellucid.core.dataset import Dataset
from pellucid.core.inputs import check_tokens
from pellucid.core.layers import sublayers
from pellucid.core.model import Model
from pellucid.core.record import Value
from pellucid.errors import InvalidInput, InvalidOption
from pellucid.shapes import Array


class Baseline(Value, ABC):
    """A baseline that is made from the example it stands beside."""

    owns: ClassVar[bool] = True

    @abstractmethod
    def beside(self, x: Array, name: str, *, channels_first: bool = False) -> Array:
        """The baselines of examples (B, ...) of the input of that name."""


@dataclass(frozen=True, eq=False)
class Blurred(Baseline):
    """Each example blurred: "nothing" without the detail, but with its colours; "blur" for short.

    Args:
        sigma: Standard deviation of the Gaussian in pixels or time steps: a number, or one for each axis that is blurred;
            None: a tenth of each axis.
        axes: Axes of one example that are blurred, counted from 0; None: all but the channels', which is the last, or the
            first where a Keras layer says so and for images of a torch module.

    Raises:
        InvalidOption: A sigma that is not above 0.
        InvalidInput: Examples without such axes, or tokens.

    Example:
        >>> import numpy as np, pellucid as pl
        >>> x = np.zeros((1, 5, 5, 1)); x[0, 2, 2] = 1
        >>> pl.Blurred(1.0).beside(x, "x")[0, 2, 2].round(3).tolist()
        [0.159]

    References:
        Fong and Vedaldi 2017, "Interpretable explanations of black boxes by meaningful perturbation", arXiv:1704.03296;
        Sturmfels, Lundberg and Lee 2020, "Visualizing the impact of feature attribution baselines",
        doi:10.23915/distill.00022.

    Limits:
        What survives the blur (large areas, the mean colour) counts as nothing, and gets no attribution.
    """

    sigma: Any = None
    axes: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if self.sigma is None:
            return
        sizes = np.asarray(self.sigma)
        if sizes.dtype.kind not in "iuf" or sizes.ndim > 1 or not np.all((sizes > 0) & np.isfinite(sizes)):
            raise InvalidOption(f"Blurred.sigma: expected numbers above 0, or None, got {self.sigma!r}")

    def beside(self, x: Array, name: str, *, channels_first: bool = False) -> Array:
        """See `Baseline.beside`."""
        from scipy.ndimage import gaussian_filter

        axes = tuple(a + channels_first for a in range(x.ndim - 2)) if self.axes is None else tuple(self.axes)
        if not axes or x.dtype.kind != "f" or any(not 0 <= a < x.ndim - 1 for a in axes):
            raise InvalidInput(
                f"baseline of {name}: Blurred needs real numbers with axes to blur over, such as images (B, H, W, C); got "
                f"{x.dtype} {x.shape}"
            )
        sigma = [x.shape[a + 1] / 10 for a in axes] if self.sigma is None else self.sigma
        return gaussian_filter(x, sigma, mode="nearest", axes=tuple(a + 1 for a in axes))


@dataclass(frozen=True, eq=False)
class MaskToken(Baseline):
    """Each token replaced by one that says nothing, such as a model's mask token; special tokens stay.

    Args:
        token: The token's number.
        keep: Tokens that stay where they are, such as padding, the start and the end of a text.

    Raises:
        InvalidOption: No token numbers.
        InvalidInput: Examples that are no tokens.

    Example:
        >>> import numpy as np, pellucid as pl
        >>> pl.MaskToken(103, keep=(0, 101)).beside(np.array([[101, 7, 9, 0]]), "x").tolist()
        [[101, 103, 103, 0]]

    Limits:
        A token that the model never saw in training says nothing to us, but what it says to the model is unknown.
    """

    token: int
    keep: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for name, given in (("token", [self.token]), ("keep", list(self.keep))):
            if not all(isinstance(t, int | np.integer) and not isinstance(t, bool) and t >= 0 for t in given):
                raise InvalidOption(
                    f"MaskToken.{name}: expected token numbers of at least 0, got {getattr(self, name)!r}"
                )

    def beside(self, x: Array, name: str, *, channels_first: bool = False) -> Array:
        """See `Baseline.beside`."""
        if np.any(x != np.floor(x)):
            raise InvalidInput(f"baseline of {name}: MaskToken is for whole token numbers, got {x.dtype} {x.shape}")
        return np.where(np.isin(x, self.keep), x, np.asarray(self.token, x.dtype))


@dataclass(frozen=True, eq=False)
class Background(Value):
    """Many baselines in place of one: the values are the mean over them, and so is the score they start from.

    Args:
        rows: Baselines (M, ...), a dict of them by input name, or a `Dataset`.

    Example:
        >>> import numpy as np, pellucid as pl
        >>> rows = np.array([[0.0, 0.0], [2.0, 2.0]])
        >>> e = pl.explain(lambda x: x[:, 0] ** 2, np.array([[3.0, 1.0]]), pl.IntegratedGradients(pl.Background(rows)))
        >>> e.values.round(3).tolist()
        [[7.0, 0.0]]

    References:
        Lundberg and Lee 2017, arXiv:1705.07874; Erion, Janizek, Sturmfels, Lundberg and Lee 2021, "Improving performance
        of deep learning models with axiomatic attribution priors and expected gradients", doi:10.1038/s42256-021-00343-w.

    Limits:
        Costs as much as its rows one by one; `ExpectedGradients` draws from them instead.
    """

    rows: Any

    def prepared(self, model: Model) -> tuple[Array, ...]:
        """The rows as arrays (M, ...), one an input.

        Raises:
            InvalidInput: Rows that the model does not take.
        """
        try:
            return model.prepare(self.rows.rows if isinstance(self.rows, Background) else self.rows)
        except InvalidInput as problem:
            raise InvalidInput(f"background: {problem}") from None


def resolve_baseline(baseline: Any, model: Model, inputs: Sequence[Array]) -> tuple[Array, ...]:
    """What stands for "nothing", as arrays of the inputs' shapes (views where nothing has to be made).

    Args:
        baseline: A number, an array of one example's shape or of the inputs' shape, `Blurred` ("blur" for short) or
            `MaskToken`, or a dict of these by input name.
        model: The model, for its inputs' names.
        inputs: Prepared inputs (B, ...).

    Raises:
        InvalidInput: A shape that fits neither one example nor all of them, or NaN.
        InvalidOption: A background, where one baseline is needed.
    """
    names = model.names or ("x",)
    if isinstance(baseline, Mapping):
        if set(baseline) != set(names):
            raise InvalidInput(f"baseline: expected one for each of {', '.join(names)}, got {', '.join(baseline)}")
        each = [baseline[name] for name in names]
    else:
        each = [baseline] * len(inputs)
    first = [_channels_first(model, x) for x in inputs]
    found = tuple(_stretched(b, x, name, f) for b, x, name, f in zip(each, inputs, names, first, strict=True))
    for entry in model.anatomy.entries:
        if not entry.hidden:
            check_tokens(f"baseline of {names[entry.input]}", found[entry.input][:1], entry.layer)
    return found


def _channels_first(model: Model, x: Array) -> bool:
    """Whether an input holds its channels before its grid."""
    if model.is_torch:
        return x.ndim > 3
    return any(getattr(layer, "data_format", "") == "channels_first" for layer in sublayers(model.native).values())


def _stretched(baseline: Any, x: Array, name: str, channels_first: bool) -> Array:
    if isinstance(baseline, Background):
        raise InvalidOption(
            "baseline: this method takes one baseline an example, not a Background; methods that take one: "
            "IntegratedGradients, ExpectedGradients, DeepShap"
        )
    if isinstance(baseline, Baseline) or (isinstance(baseline, str) and baseline == "blur"):
        made = Blurred() if isinstance(baseline, str) else baseline
        return made.beside(x, name, channels_first=channels_first).astype(x.dtype, copy=False)
    if isinstance(baseline, Dataset):
        raise InvalidOption("baseline: a Dataset holds many; give pl.Background(dataset), or one array")
    array = np.asarray(baseline)
    if array.dtype.kind not in "iufb" or not np.isfinite(array.astype(float)).all():
        raise InvalidInput(f'baseline of {name}: expected finite numbers, "blur" or a MaskToken, got {baseline!r}')
    if array.shape not in ((), x.shape[1:], (1, *x.shape[1:]), x.shape):
        raise InvalidInput(
            f"baseline of {name}: expected a number, one example {x.shape[1:]} or one for each {x.shape}, got {array.shape}"
        )
    if x.dtype.kind in "iu" and (array != np.floor(array)).any():
        raise InvalidInput(f"baseline of {name}: expected whole token numbers, got {baseline!r}")
    return np.broadcast_to(array.astype(x.dtype), x.shape)
