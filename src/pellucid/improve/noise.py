"""Noise while training: units and maps that are left out at random, and numbers that are off at random."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from pellucid.core import options
from pellucid.core.dataset import Dataset
from pellucid.core.randomness import stream
from pellucid.errors import InvalidOption, NotApplicable
from pellucid.improve.base import Batch, Remedy, StepRemedy
from pellucid.improve.places import anew, before_hidden
from pellucid.improve.step import Step
from pellucid.shapes import Array

AT = ("inputs", "hidden")


@dataclass(frozen=True, eq=False)
class Dropout(Remedy):
    """Leaves hidden units out at random while training, so that none relies on another being there.

    Does the model do better on new data when no single unit can be counted on?

        while training: h_i <- h_i * b_i / (1 - rate),  b_i = 0 with probability `rate`, else 1;   afterwards: h_i

    A `keras.layers.Dropout` is put before every dense and convolution layer whose input is hidden, that is, comes from
    another such layer: inputs are never dropped, the input of the output layer is.

    Args:
        rate: The probability of leaving a unit out, between 0 and 1; 0.1 to 0.5 is usual.

    Raises:
        InvalidOption: A rate that is not between 0 and 1.
        NotApplicable: While training, on a model whose layers cannot be seen (a subclassed one) or that has no
            hidden layer.

    Example:
        >>> import pellucid as pl
        >>> pl.Dropout(0.2)
        Dropout(rate=0.2)

    References:
        Srivastava, Hinton, Krizhevsky, Sutskever, Salakhutdinov 2014, https://jmlr.org/papers/v15/srivastava14a.html.

    Limits:
        Small networks often lose by it. After a convolution, neighbours carry what one pixel leaves out: `SpatialDropout`
        leaves whole feature maps out. Before a batch normalization the statistics of training and use differ.
    """

    slot = "dropout"
    rate: float = 0.2

    def __post_init__(self) -> None:
        options.fraction(self, "rate")

    def rebuild(self, model: Any) -> Any:
        """The model with dropout before every layer that reads hidden units."""
        from keras import layers

        return _with(self, model, lambda layer, name: layers.Dropout(self.rate, name=name), "hidden layer")


@dataclass(frozen=True, eq=False)
class SpatialDropout(Remedy):
    """Leaves whole feature maps out at random while training, so that none relies on another being there.

    Does an image, sound or sequence model do better on new data when no single map can be counted on?

        while training: map_c <- map_c * b_c / (1 - rate),  b_c = 0 with probability `rate`, else 1;   afterwards: map_c

    A `keras.layers.Dropout` with one draw for each example and map is put before every convolution layer (1-D, 2-D or 3-D)
    whose input is hidden, that is, comes from another dense or convolution layer.

    Args:
        rate: The probability of leaving a map out, between 0 and 1; 0.1 to 0.3 is usual.

    Raises:
        InvalidOption: A rate that is not between 0 and 1; beside `Dropout`, which is put in the same places.
        NotApplicable: While training, on a model whose layers cannot be seen (a subclassed one) or that has no
            convolution after another layer.

    Example:
        >>> import pellucid as pl
        >>> pl.SpatialDropout(0.1)
        SpatialDropout(rate=0.1)

    References:
        Tompson, Goroshin, Jain, LeCun and Bregler 2015, "Efficient object localization using convolutional networks",
        arXiv:1411.4280.

    Limits:
        Layers with few maps lose much with each. The maps that are flattened into a dense layer are not dropped. Before a batch
        normalization the statistics of training and use differ.
    """

    slot = "spatial_dropout"
    against = {"dropout": "both leave out what a convolution layer is fed"}
    rate: float = 0.1

    def __post_init__(self) -> None:
        options.fraction(self, "rate")

    def rebuild(self, model: Any) -> Any:
        """The model with dropout of maps before every convolution layer that reads hidden ones."""
        from keras import layers

        def drop(layer: Any, name: str) -> Any:
            shape = _one_a_map(layer)
            return None if shape is None else layers.Dropout(self.rate, noise_shape=shape, name=name)

        return _with(self, model, drop, "convolution layer after another layer")


@dataclass(frozen=True, eq=False)
class GaussianNoise(StepRemedy):
    """Adds noise to the inputs, or to hidden units, in every step of training: the model must not rely on exact numbers.

    Does the model do better on new data when every number it sees is a little off?

        while training: x_j <- x_j + stddev * s_j * n,  n ~ N(0, 1) drawn anew for each example and step;   afterwards: x_j

    At the inputs s_j is the spread (standard deviation) of column j in the training data: of a table's column, of an image's
    channel or a sequence's feature over all positions (the last axis). The model itself is not changed. Inputs of whole
    numbers are left alone unless they are pixels or samples. Before hidden layers s_j is 1: `stddev` is in the units of what
    comes in there, and a `keras.layers.GaussianNoise` is put in the places of `Dropout`.

    Args:
        stddev: The noise in these units, above 0 and at most 1; 0.01 to 0.3 is usual.
        at: "inputs" or "hidden".

    Raises:
        InvalidOption: Another `stddev` or `at`.
        NotApplicable: While training: no input that noise can be added to; for "hidden", a model whose layers cannot be seen
            (a subclassed one) or that has no hidden layer.

    Example:
        >>> import pellucid as pl
        >>> pl.GaussianNoise(0.05)
        GaussianNoise(stddev=0.05, at='inputs')

    References:
        Bishop 1995, "Training with noise is equivalent to Tikhonov regularization", doi:10.1162/neco.1995.7.1.108.

    Limits:
        Columns that stand for categories (0 and 1) become numbers between them. A model can outgrow noise before hidden layers by
        larger activations, unless they are normalized. A column with a few huge values has a huge spread, and so huge noise.
    """

    slot = "gaussian_noise"
    stddev: float = 0.1
    at: str = "inputs"

    def __post_init__(self) -> None:
        options.positive(self, "stddev")
        options.one_of(self, "at", AT)
        if self.stddev > 1:
            raise InvalidOption(f"GaussianNoise.stddev: expected a number above 0 and at most 1, got {self.stddev!r}")

    def rebuild(self, model: Any) -> Any:
        """The model with noise before every layer that reads hidden units, if it is to be there."""
        from keras import layers

        if self.at == "inputs":
            return model
        make = lambda layer, name: layers.GaussianNoise(self.stddev, name=name)  # noqa: E731
        return _with(self, model, make, "hidden layer", "GaussianNoise")

    def attach(self, step: Step, train: Dataset, seed: int) -> Any:
        """What makes the noise of each input."""
        import keras

        if self.at == "hidden":
            return None
        found = []
        for name, x in _noisy(train).items():
            drawn = int(stream(seed, "gaussian noise", name).integers(2**31))
            spread = np.nanstd(x, axis=tuple(range(x.ndim - 1)), dtype=float).tolist()
            noise = keras.layers.GaussianNoise(self.stddev, seed=drawn)
            found.append(keras.Sequential([keras.Input(x.shape[1:]), noise, keras.layers.Rescaling(spread)]))
        if not found:
            raise NotApplicable(
                "GaussianNoise: the inputs are whole numbers, such as tokens; noise would make others of them: use at='hidden'"
            )
        return found

    def change(self, batch: Batch, step: Step, held: Any) -> Batch:
        """The batch with noise on its inputs."""
        from keras import ops

        if held is None:
            return batch
        own = dict(batch.x) if isinstance(batch.x, dict) else {"x": batch.x}
        for (name, _), noise in zip(_noisy(step.data).items(), held, strict=True):
            x = ops.cast(own[name], noise.compute_dtype)
            own[name] = x + noise(ops.zeros_like(x), training=True)
        return batch.with_(x=own if isinstance(batch.x, dict) else own["x"])


def _noisy(data: Dataset) -> dict[str, Array]:
    """The inputs, by name, that noise can be added to."""
    own = data.x if isinstance(data.x, dict) else {"x": data.x}
    measured = data.kind in ("image", "audio")  # pixels and samples are measured numbers, however they are kept
    return {n: np.asarray(x) for n, x in own.items() if np.asarray(x).dtype.kind == "f" or measured}


def _one_a_map(layer: Any) -> tuple[int | None, ...] | None:
    """The shape of one draw for each example and feature map, None where any number may be; None for other layers."""
    rank = next((int(c) for c in type(layer).__name__ if c.isdigit()), 0)
    if not rank or "LSTM" in type(layer).__name__:
        return None
    ones = (1,) * rank
    return (None, None, *ones) if layer.data_format == "channels_first" else (None, *ones, None)


def _with(remedy: Remedy, model: Any, make: Callable[[Any, str], Any], place: str, kind: str = "Dropout") -> Any:
    """The model with noise before the layers that are fed hidden units; `make` may give None for some of them."""
    added: list[Any] = []

    def one(layer: Any) -> Any:
        if (made := make(layer, f"recipe_{remedy.slot}_{len(added) + 1}")) is not None:
            added.append(made)
        return made

    name = type(remedy).__name__
    rebuilt = anew(model, before_hidden(one), f"{name} cannot be put in: use keras.layers.{kind} there")
    if not added:
        raise NotApplicable(f"{name}: {model.name} has no {place}, so there is no place for it")
    return rebuilt
