"""Explanations made by hand, to be drawn."""

import numpy as np
import pytest

from pellucid.core.record import Provenance
from pellucid.explain.base import Explanation


@pytest.fixture
def explanation():
    """Makes an explanation of class "yes" from values and inputs, as a method would have given it."""

    def made(values, inputs, method=None, **more):
        one = np.ones(len(values))
        return Explanation(
            values=values, inputs=inputs, output=one, classes=one.astype(int), converged=one > 0, evaluations=one,
            selector=np.ones((len(values), 2)), class_names=("no", "yes"), provenance=Provenance(method=method), **more,
        )  # fmt: skip

    return made
