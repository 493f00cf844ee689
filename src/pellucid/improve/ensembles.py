"""Ensembles: the mean answer of several models is better than the answer of one, and their spread says how sure it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np

from pellucid.core import options
from pellucid.core.dataset import Dataset
from pellucid.core.model import Model, wrap
from pellucid.core.randomness import stream
from pellucid.core.tensors import to_array
from pellucid.errors import InvalidOption, NotApplicable
from pellucid.improve.base import Remedy
from pellucid.improve.heads import compiled_as
from pellucid.improve.joining import joined, varied
from pellucid.shapes import Array

PATH = {"stopping": "it takes weights along the whole path of training, which stopping would cut short or go back on"}

KEPT = "_weights_kept_for_the_end"
"""Where a model holds weights that training has passed, until it is finished."""


@dataclass(frozen=True, eq=False)
class DeepEnsemble(Remedy):
    """Trains several models from different initial weights, and answers by the mean of their probabilities.

    Do several trainings, each with its own luck, know more together than one, and do they know when they do not?

        p(y | x) = 1/M sum_m p_m(y | x);   for values f(x) = 1/M sum_m f_m(x)

    The result is one Keras model, whose scores are the logarithm of the mean: their softmax is the mean exactly. Its members
    are `pl.members(run.model)`, and `pl.disagreement` says how far their explanations lie apart.

    Args:
        members: How many models, at least 2; 5 is usual.

    Raises:
        InvalidOption: Fewer than 2 members.
        NotApplicable: While training, a model of several outputs.

    Example:
        >>> import keras, numpy as np, pellucid as pl
        >>> def build():
        ...     net = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        ...     net.compile("sgd", "mse")
        ...     return net
        >>> x = np.random.default_rng(0).normal(size=(64, 2)).astype("float32")
        >>> run = pl.improve(build, pl.DeepEnsemble(members=2), train=(x, x[:, 0]), fit={"epochs": 1})
        >>> one, two = pl.members(run.model)
        >>> bool(np.allclose(run.model.scores(x), (one.scores(x) + two.scores(x)) / 2, atol=1e-6))
        True

    References:
        Lakshminarayanan, Pritzel and Blundell 2017, "Simple and scalable predictive uncertainty estimation using deep
        ensembles", arXiv:1612.01474.

    Limits:
        Training, memory and every answer cost M times as much. Members differ by their initial weights and the order of examples;
        what all of them have learnt wrongly, the mean has too. For values the mean says nothing of its own spread: look at
        the members. The log of a run is that of the first member.
    """

    slot = "ensemble"
    rank = 20
    members: int = 5  # type: ignore[misc]

    def __post_init__(self) -> None:
        options.whole(self, "members", 2)

    def join(self, models: Sequence[Any]) -> Any:
        """See `Remedy.join`."""
        return joined(models)


@dataclass(frozen=True, eq=False)
class SnapshotEnsemble(Remedy):
    """Trains once, in cycles of a falling learning rate, and joins the models that each cycle ended in.

    How much of an ensemble can be had for the price of one training?

        rate in epoch t = rate_0 / 2 * (1 + cos(pi * s / S)),  s of S epochs into the cycle;   p = 1/M sum_m p_m

    The rate is set at the start of each epoch; the weights at the end of each cycle are a member.

    Args:
        cycles: How many, at least 2: the members.

    Raises:
        InvalidOption: Fewer than 2 cycles; while training, fewer epochs than cycles.
        NotApplicable: While training, an optimizer whose learning rate follows a schedule, or a model of several outputs.

    Example:
        >>> import keras, numpy as np, pellucid as pl
        >>> def build():
        ...     net = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        ...     net.compile("sgd", "mse")
        ...     return net
        >>> x = np.random.default_rng(0).normal(size=(64, 2)).astype("float32")
        >>> run = pl.improve(build, pl.SnapshotEnsemble(cycles=2), train=(x, x[:, 0]), fit={"epochs": 4})
        >>> len(pl.members(run.model))
        2

    References:
        Huang, Li, Pleiss, Liu, Hopcroft and Weinberger 2017, "Snapshot ensembles: train 1, get M for free", arXiv:1704.00109.

    Limits:
        Members that came from each other are more alike than those of a DeepEnsemble, and each was trained a part of the time.
        It takes a high first rate, so that a cycle leaves the minimum of the one before. The log of a run is that of the
        weights along the path, not of the mean.
    """

    slot = "ensemble"
    rank = 20
    against: ClassVar[dict[str, str]] = {
        **PATH,
        "weights": "one joins weights along the path, the other takes their mean",
        "prune": "weights from before the last connections went would not have as many zeros",
    }
    cycles: int = 5

    def __post_init__(self) -> None:
        options.whole(self, "cycles", 2)

    def callbacks(self, *, validated: bool) -> list[Any]:
        """See `Remedy.callbacks`."""
        return [_cycling()(self.cycles)]

    def finish(self, model: Any, train: Dataset, validation: Dataset | None) -> Any:
        """See `Remedy.finish`."""
        return joined([_with_weights(model, weights) for weights in taken(model)] or [model])


@dataclass(frozen=True, eq=False)
class McDropout(Remedy):
    """Leaves units out while answering as while training, and answers by the mean over several draws.

    Do the networks inside the network agree?

        p(y | x) = 1/S sum_s softmax(z(x; mask_s)),   each unit kept by mask_s with probability 1 - rate, and divided by it

    The masks are drawn once, from `seed`, for all examples: the finished model is a function, and gives the same answer in
    every batch. Batch normalization stays as it is in use. Along an axis whose length is not fixed one mask serves all places.

    Args:
        samples: How many draws, at least 2.
        seed: Decides the masks.

    Raises:
        InvalidOption: Fewer than 2 draws, or a seed below 0.
        NotApplicable: While training, a model without Dropout layers (use it with `Dropout`), or with one, which is named, that
            is called on tensors of several shapes, or inside a layer or model with a call of its own, where no mask can be put.

    Example:
        >>> import pellucid as pl
        >>> pl.Recipe(pl.Dropout(0.2), pl.McDropout(samples=10))
        Recipe(remedies=(Dropout(rate=0.2), McDropout(samples=10, seed=0)))

    References:
        Gal and Ghahramani 2016, "Dropout as a Bayesian approximation: representing model uncertainty in deep learning",
        arXiv:1506.02142.

    Limits:
        Every answer costs S times as much. The spread of the draws is decided by the rate as much as by the data. Gaussian and
        alpha dropout, and dropout inside recurrent and attention layers, stay switched off.
    """

    slot = "ensemble"
    rank = 20
    samples: int = 20
    seed: int = 0

    def __post_init__(self) -> None:
        options.whole(self, "samples", 2)
        options.whole(self, "seed", 0)

    def finish(self, model: Any, train: Dataset, validation: Dataset | None) -> Any:
        """See `Remedy.finish`."""
        return self._drawn(model)

    def fit(self, model: Any) -> Model:
        """The model that answers so, of one that is already trained; they share their weights."""
        model = wrap(model)
        return wrap(self._drawn(model.keras), output=model.asked)

    def _drawn(self, model: Any) -> Any:
        drops, masked = _dropouts(model), set[int]()
        if not drops:
            raise NotApplicable(
                f"McDropout: {model.name} has no Dropout layers to draw from; use it with Dropout(rate)"
            )
        changes = [partial(_masked, stream(self.seed, "masks", s), s + 1, masked) for s in range(self.samples)]
        found = varied(model, changes)
        if missed := [name for name, layer in drops.items() if id(layer) not in masked]:
            raise NotApplicable(
                f"McDropout: no mask can be put in the place of {', '.join(missed)}, which is called inside a layer or model "
                "with a call of its own: all draws would be the same there; call Dropout in a Sequential or Functional model"
            )
        return found


# -- what they are made of ------------------------------------------------------------------------------------------

_DROPOUTS = ("Dropout", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D")
_LETTERS = "abcdefgh"


def _dropouts(layer: Any, before: str = "") -> dict[str, Any]:
    """Dropout layers that leave something out, by their path; without those of attention, which stay switched off."""
    found: dict[str, Any] = {}
    for part in layer._flatten_layers(include_self=False, recursive=False):
        name = f"{before}{part.name}"
        if type(part).__name__ in _DROPOUTS:
            found |= {name: part} if part.rate > 0 else {}
        elif not type(part).__name__.endswith("Attention"):
            found |= _dropouts(part, f"{name}/")
    return found


def _masked(generator: np.random.Generator, number: int, masked: set[int], layer: Any) -> Sequence[Any] | None:
    """A layer that multiplies by a fixed mask, in place of dropout, which is noted as masked; None for any other layer."""
    from keras import layers

    if type(layer).__name__ not in _DROPOUTS:
        return None
    shapes = [node.input_tensors[0].shape for node in layer._inbound_nodes]
    if len({shape[1:] for shape in shapes}) > 1:
        raise NotApplicable(
            f"McDropout: {layer.name} is called on tensors of several shapes ({', '.join(map(str, shapes))}), which no one mask "
            "fits: give each place a Dropout layer of its own"
        )
    masked.add(id(layer))
    shape, name = shapes[-1], f"mask_{number}_of_{layer.name}"
    own = getattr(layer, "noise_shape", None) or (None,) * len(shape)
    spatial = type(layer).__name__ != "Dropout"
    axes = [
        i for i in range(1, len(shape)) if shape[i] is not None and own[i] != 1 and (not spatial or i == len(shape) - 1)
    ]
    mask = (generator.random([shape[i] for i in axes]) >= layer.rate) / (1 - layer.rate)
    every, some = _LETTERS[: len(shape)], "".join(_LETTERS[i] for i in axes)
    if not axes:  # one draw for all numbers
        return [layers.Rescaling(float(mask), name=name)]
    made = layers.EinsumDense(f"{every},{some}->{every}", output_shape=shape[1:], name=name)
    made.build(shape)
    made.set_weights([mask.astype(np.float32)])
    made.trainable = False
    return [made]


def _cycling() -> type:
    from keras.callbacks import Callback

    class Cycling(Callback):
        """Lets the learning rate fall in every cycle, and keeps the weights at its end."""

        def __init__(self, cycles: int) -> None:
            super().__init__()
            self._cycles = cycles

        def on_train_begin(self, logs: Any = None) -> None:
            epochs, rate = self.params["epochs"], self.model.optimizer._learning_rate
            if epochs < self._cycles:
                raise InvalidOption(f"SnapshotEnsemble: {self._cycles} cycles take as many epochs, got {epochs}")
            if not hasattr(rate, "assign"):
                raise NotApplicable(
                    "SnapshotEnsemble sets the learning rate, but that of the optimizer follows a schedule: give it a number"
                )
            self._rate = float(to_array(self.model.optimizer.learning_rate))
            self._ends = [round((i + 1) * epochs / self._cycles) for i in range(self._cycles)]

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            cycle = int(np.searchsorted(self._ends, epoch, side="right"))
            start, end = ([0, *self._ends])[cycle], self._ends[cycle]
            self.model.optimizer.learning_rate = self._rate / 2 * (1 + np.cos(np.pi * (epoch - start) / (end - start)))

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            if epoch + 1 in self._ends:
                keep(native_of(self.model), [to_array(v.value).copy() for v in native_of(self.model).weights])

        def cut_short(self, kept: int, told: str) -> tuple[int, str]:
            """Go back to the last snapshot, so that the log of its epoch is of its weights."""
            native = native_of(self.model)
            if not (snapshots := getattr(native, KEPT, [])):
                return kept, f"{told}, for no cycle was whole"
            for variable, value in zip(native.weights, snapshots[-1], strict=True):
                variable.assign(value)
            ends = self._ends[: len(snapshots)]
            if len(ends) == 1:
                return ends[0] - 1, f"one cycle was whole: the weights are those at its end, after epoch {ends[0]}"
            return ends[-1] - 1, f"the members are the ends of whole cycles, after epochs {', '.join(map(str, ends))}"

    return Cycling


def native_of(model: Any) -> Any:
    """The user's model, of one that a changed step is trained in."""
    return getattr(model, "inside", model)


def keep(model: Any, weights: Sequence[Array]) -> None:
    """Put weights beside a model, until it is finished."""
    object.__setattr__(model, KEPT, [*getattr(model, KEPT, []), weights])


def taken(model: Any) -> list[Sequence[Array]]:
    """What was put beside a model, which is then forgotten."""
    found = getattr(model, KEPT, [])
    object.__setattr__(model, KEPT, [])
    return found


def _with_weights(model: Any, weights: Sequence[Array]) -> Any:
    """A copy of a model with these weights.

    Raises:
        NotApplicable: A model that cannot be copied.
    """
    import keras

    from pellucid.core.layers import attribute

    try:
        with attribute(model, "compiled", False):
            copy = keras.models.clone_model(model)
        if not copy.built:
            copy.build(model.input_shape)
    except (ValueError, TypeError, NotImplementedError, AttributeError) as problem:
        raise NotApplicable(
            f"SnapshotEnsemble: {model.name} cannot be copied: {problem}; build it as a Sequential or Functional model"
        ) from problem
    for variable, value in zip(copy.weights, weights, strict=True):
        variable.assign(value)
    return compiled_as(copy, model)
