"""Array aliases and the axis letters used in every docstring.

B batch (examples) · H, W, C image height, width, channels · T time or token position · F features · K outputs or
classes · P points, draws or masks. `(B, ...)` means any shape that starts with the batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
"""Any NumPy array."""

Floats: TypeAlias = NDArray[np.floating[Any]]
"""A NumPy array of real numbers."""

Inputs: TypeAlias = Array | Mapping[str, Array]
"""What a model takes: one array, or an array per named input, examples first."""

Tensor: TypeAlias = Any
"""A tensor of whichever framework Keras runs on."""
