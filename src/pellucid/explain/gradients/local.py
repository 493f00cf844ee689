"""Gradients at the input itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from pellucid.explain.base import Attribution, Method, Question
from pellucid.explain.gradients.engine import at_input


@dataclass(frozen=True, eq=False)
class Gradient(Method):
    """The slope of the score: which inputs would change it most if they moved a little?

    `values[b, i] = d score_b / d x[b, i]`. Integer tokens (B, T) are differentiated at their embedding (B, T, D); a token
    gets the length of that gradient over D.

    Args:
        layer: A hidden layer whose outputs take the place of the inputs: `d score_b / d h[b, i]`; None for the inputs.

    Raises:
        UnknownName: There is no layer of that name.

    Example:
        >>> import numpy as np, pellucid as pl
        >>> e = pl.explain(lambda x: x[:, 0] ** 2 + 3 * x[:, 1], np.array([[2.0, 1.0]]), pl.Gradient())
        >>> e.values.tolist()
        [[4.0, 3.0]]

    References:
        Simonyan, Vedaldi and Zisserman 2014, "Deep inside convolutional networks", arXiv:1312.6034.

    Limits:
        Local: a saturated unit has no slope however much it matters. Units matter: a column measured in millimetres has
        a thousandth of the slope of the same column in metres.
    """

    takes_shift: ClassVar[bool] = True
    layer: str | None = None

    @property
    def contributes(self) -> bool:
        """False: a slope is no contribution."""
        return False

    def attribute(self, question: Question) -> Attribution:
        """See `Method.attribute`."""
        return _local(self, question, "slope")


@dataclass(frozen=True, eq=False)
class GradientInput(Method):
    """The slope times the input: a first-order estimate of what each input contributes against zero.

    `values[b, i] = x[b, i] * d score_b / d x[b, i]`. A token (B, T) gets the sum over its embedding.

    Args:
        layer: A hidden layer whose outputs h take the place of the inputs x; None for the inputs.

    Raises:
        UnknownName: There is no layer of that name.

    Example:
        >>> import numpy as np, pellucid as pl
        >>> e = pl.explain(lambda x: x[:, 0] ** 2 + 3 * x[:, 1], np.array([[2.0, 1.0]]), pl.GradientInput())
        >>> e.values.tolist()
        [[8.0, 3.0]]

    References:
        Shrikumar, Greenside, Shcherbina and Kundaje 2016, "Not just a black box", arXiv:1605.01713; Ancona, Ceolini,
        Öztireli and Gross 2018, "Towards better understanding of gradient-based attribution", arXiv:1711.06104.

    Limits:
        Adds up to the score only for models that are linear along the way from zero; zero must mean "nothing".
    """

    takes_shift: ClassVar[bool] = True
    layer: str | None = None

    def attribute(self, question: Question) -> Attribution:
        """See `Method.attribute`."""
        return _local(self, question, "product")


def _local(method: Gradient | GradientInput, question: Question, fold: str) -> Attribution:
    q, count = question.opened(method.layer), len(question)
    q.require_gradient(type(method).__name__)
    values = at_input(q, fold)
    return Attribution(
        values, evaluations=np.ones(count, int), converged=np.ones(count, bool), layer=method.layer,
        hidden=method.layer is not None,
    )  # fmt: skip
