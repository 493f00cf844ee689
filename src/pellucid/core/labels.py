"""Labels as a model takes them: class numbers, or finite values."""

from __future__ import annotations

import numpy as np

from pellucid.errors import InvalidInput
from pellucid.shapes import Array


def checked_labels(split: str, y: Array, classes: int) -> Array:
    """Labels as class numbers below `classes`, or as finite numbers where `classes` is 0.

    Raises:
        InvalidInput: Text, NaN or infinity, parts of numbers, or a class the model does not have; names the row.
    """
    if y.dtype.kind not in "biuf":
        raise InvalidInput(
            f"{split}: labels must be numbers, got {y.dtype} (row 0 is {y[0]!r}); encode classes as 0, 1, ..."
        )
    if y.dtype.kind == "f" and not np.isfinite(y).all():
        row = int(np.flatnonzero(~np.isfinite(y))[0])
        raise InvalidInput(f"{split}: the label at row {row} is {y[row]}; drop rows without a label")
    if not classes:
        return y.astype(float)
    wrong = (np.mod(y, 1) != 0) | (y < 0) | (y >= classes) if y.dtype.kind != "b" else np.zeros(len(y), bool)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise InvalidInput(
            f"{split}: the label {y[row]} at row {row} is no class of the model, which has {classes}, numbered 0 to "
            f"{classes - 1}; {int(wrong.sum())} of {len(y)} labels do not fit"
        )
    return y.astype(int)
