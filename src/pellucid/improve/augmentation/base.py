"""What every augmentation shares: the kinds of data it is for, what it knows of them, and where its draws come from."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

import numpy as np

from pellucid.core.dataset import Dataset
from pellucid.core.randomness import stream
from pellucid.errors import NotApplicable
from pellucid.improve.base import Batch, StepRemedy
from pellucid.improve.step import Step
from pellucid.shapes import Array, Tensor

MARKS = {
    "attention_supervision": "the marks would not move with the inputs",
    "reasons": "the mask of the cause would not move with the inputs",
}
"""Why what moves inputs cannot be used beside marks on them."""


@dataclass(frozen=True, eq=False)
class Augmentation(StepRemedy):
    """Other inputs at every step of training, drawn anew; labels stay, and nothing is changed in evaluation."""

    kinds: ClassVar[tuple[str, ...]] = ()
    """The kinds of data it is for."""

    axes: ClassVar[tuple[int, int]] = (2, 9)
    """The fewest and the most axes that its inputs have, examples included."""

    def attach(self, step: Step | None, train: Dataset, seed: int) -> Any:
        """The source of the draws, which also holds what has to be known of the training data."""
        self.check(train)
        number = int(stream(seed, "augmentation", self.slot).integers(2**31))
        return _draws()(self.slot, self.known(train), number)

    def check(self, train: Dataset) -> None:
        """Raise where the data are not what this is for.

        Raises:
            NotApplicable: Another kind of data, or several inputs.
        """
        name = type(self).__name__
        if train.kind not in self.kinds:
            raise NotApplicable(f"{name} is for {' and '.join(self.kinds)} data, and these are of kind {train.kind!r}")
        if isinstance(train.x, dict):
            raise NotApplicable(
                f"{name} changes one input, and there are several ({', '.join(train.x)}); MixUp takes them"
            )
        if not self.axes[0] <= train.x.ndim <= self.axes[1]:
            told = " to ".join(map(str, sorted(set(self.axes))))
            raise NotApplicable(f"{name} takes inputs of {told} axes, examples first, got {train.x.shape}")

    def known(self, train: Dataset) -> Mapping[str, Array]:
        """What has to be known of the training data, by name."""
        return {}

    def assumed(self, train: Dataset) -> str:
        """What was taken for granted of the training data, in one sentence; nothing: nothing."""
        return ""

    def notes(self, model: Any, train: Dataset, validation: Dataset | None) -> Sequence[str]:
        """What was assumed, and whether labels seem to survive."""
        from pellucid.improve.augmentation.survival import told

        return [note for note in (self.assumed(train), told(self, model, validation)) if note]

    def change(self, batch: Batch, step: Step | None, held: Any) -> Batch:
        """See `StepRemedy.change`."""
        return batch.with_(x=typed(self.changed(real(batch.x), held), batch.x))

    @abstractmethod
    def changed(self, x: Tensor, draws: Any) -> Tensor:
        """Other inputs (B, ...) in place of `x`, by draws of `draws`."""


def real(x: Tensor) -> Tensor:
    """Numbers that can be calculated with."""
    import keras
    from keras import ops

    return ops.cast(x, keras.config.floatx())


def typed(found: Tensor, x: Tensor) -> Tensor:
    """What was calculated, in the type of `x`: rounded, and kept within the type, where that is of whole numbers."""
    import keras
    from keras import ops

    name = keras.backend.standardize_dtype(x.dtype)
    if "int" not in name:
        return ops.cast(found, name)
    ends = np.iinfo(name)
    return ops.cast(ops.clip(ops.round(found), ends.min, ends.max), name)


def by_row(values: Tensor, x: Tensor) -> Tensor:
    """One value a row (B,), in the shape that goes with `x`."""
    from keras import ops

    return ops.reshape(values, (-1, *(1,) * (len(x.shape) - 1)))


@cache
def _draws() -> type:
    import keras
    from keras import layers, ops

    class Draws(layers.Layer):
        """Random numbers of one augmentation, and what it knows of the training data."""

        def __init__(self, name: str, known: Mapping[str, Array], seed: int) -> None:
            super().__init__(name=name, trainable=False)
            self.generator, self._known, self.built = keras.random.SeedGenerator(seed), dict(known), True

        def __getitem__(self, name: str) -> Tensor:
            return ops.convert_to_tensor(self._known[name])

        def uniform(self, *shape: Any, low: float = 0.0, high: float = 1.0) -> Tensor:
            """Even between two numbers."""
            return keras.random.uniform(shape, low, high, seed=self.generator)

        def normal(self, *shape: Any) -> Tensor:
            """Standard normal."""
            return keras.random.normal(shape, seed=self.generator)

        def chance(self, rate: float, *shape: Any) -> Tensor:
            """True with a probability."""
            return self.uniform(*shape) < rate

        def whole(self, below: Any, *shape: Any) -> Tensor:
            """Whole numbers from 0, even below `below`, which may differ from place to place."""
            return ops.minimum(
                ops.cast(ops.floor(self.uniform(*shape) * ops.cast(below, "float32")), "int32"), below - 1
            )

    return Draws
