"""Draws that are written down, so that a test can do the same with NumPy."""

import numpy as np
import pytest
from keras import ops

from pellucid.core.tensors import to_array


class Recorded:
    """The draws of an augmentation, each kept by the order in which it was made."""

    def __init__(self, draws):
        self.draws, self.seen = draws, []

    def __getitem__(self, name):
        return self.draws[name]

    def __getattr__(self, name):
        def draw(*given, **options):
            found = getattr(self.draws, name)(*given, **options)
            self.seen.append(to_array(found))
            return found

        return draw


@pytest.fixture
def apply():
    """Gives what an augmentation makes of inputs, by `changed`, and its draws in order."""

    def run(augmentation, data, seed=0):
        draws = Recorded(augmentation.attach(None, data, seed))
        found = augmentation.changed(ops.convert_to_tensor(np.asarray(data.x)), draws)
        return to_array(found), draws.seen

    return run
