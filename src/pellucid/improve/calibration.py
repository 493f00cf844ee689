"""Calibration: probabilities that come true as often as they say, by a small change after the last layer."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from pellucid.core.dataset import Dataset, as_dataset
from pellucid.core.model import Model, wrap
from pellucid.core.model_files import registered
from pellucid.improve.base import Remedy
from pellucid.improve.heads import Head, compiled_as, free_name, opened
from pellucid.improve.held_out import held_out, require_classes
from pellucid.improve.scaling import scales, temperature
from pellucid.shapes import Array, Floats

LEAST = 10
"""Rows that a calibration needs."""


@dataclass(frozen=True, eq=False)
class _Calibration(Remedy):
    """A change after the last layer, fitted to held-out data; it works on a model that is already trained, too."""

    slot = "calibration"
    rank = 30

    def fit(self, model: Any, data: Any) -> Model:
        """The calibrated model of one that is already trained; that one stays as it is.

        Args:
            model: A Keras model, or one that `wrap` gave.
            data: A `Dataset` or an (x, y) pair that the model was not trained on.

        Raises:
            InvalidInput: Too few rows, labels of one class, NaN.
            NotApplicable: A model of values, or of several outputs.
            InvalidInput: No Keras model.
        """
        model = wrap(model)
        found = self._calibrated(model, data)
        return wrap(found, output="auto" if model.asked == "logits" and opened(found).ending else model.asked)

    def finish(self, model: Any, train: Dataset, validation: Dataset | None) -> Any:
        """The calibrated Keras model."""
        return self._calibrated(wrap(model), validation)

    def _calibrated(self, model: Model, data: Any) -> Any:
        require_classes(self, model, data)
        y = held_out(self, model, data, least=LEAST).y
        x = as_dataset(data).x
        return compiled_as(self._changed(opened(model.keras, model.output), x, y, model.name), model.keras)

    def _changed(self, head: Head, x: Any, y: Array, name: str) -> Any:
        layer = self._layer(wrap(head.model, output="value").predict(x).astype(float), y)
        layer.name = free_name(head.model, layer.name)
        return head.followed([layer], name)

    def _layer(self, z: Floats, y: Array) -> Any:
        """The layer that is put after scores (N, K)."""
        raise NotImplementedError


@dataclass(frozen=True, eq=False)
class TemperatureScaling(_Calibration):
    """Divides the logits by one number, so that the model is neither too sure nor too unsure.

    How much less sure should the model be, and nothing else changed?

        q = softmax(z / T),   T = the number with the least mean of -log q[label] on validation data

    T above 1 makes the model less sure, below 1 surer. No class overtakes another, so accuracy stays what it is.

    Example:
        >>> import keras, numpy as np, pellucid as pl
        >>> z = np.random.default_rng(0).normal(size=(4000, 3)).astype("float32")
        >>> y = np.argmax(z + np.random.default_rng(1).gumbel(size=z.shape), axis=1)  # the probabilities are softmax(z)
        >>> x = keras.Input((3,))
        >>> sure = keras.Model(x, keras.layers.Softmax()(keras.layers.Rescaling(5.0)(x)))  # says softmax(5 z)
        >>> calm = pl.TemperatureScaling().fit(sure, (z, y))
        >>> round(1 / calm.keras.get_layer("temperature_scaling").scale)
        5

    Raises:
        InvalidInput: While training or fitting, without validation data, with fewer than 10 rows or rows of one class.
        NotApplicable: A model of values.

    References:
        Guo, Pleiss, Sun and Weinberger 2017, "On calibration of modern neural networks", arXiv:1706.04599.

    Limits:
        One number cannot mend a model that is too sure of one class and too unsure of another: VectorScaling can. It is right for
        data like the validation data; after a shift it may not be. A loss on validation data that also decided when to stop is a
        little too good. Where every row is right, no finite T is the best: the search ends at 0.01 and warns.
    """

    def _layer(self, z: Floats, y: Array) -> Any:
        from keras import layers

        return layers.Rescaling(1 / temperature(z, y), name="temperature_scaling")


@dataclass(frozen=True, eq=False)
class VectorScaling(_Calibration):
    """Gives each class a scale and an offset of its own; for a yes-or-no question this is Platt scaling.

    Is the model too sure of some classes and too unsure of others?

        q = softmax(w * z + b),   w, b (K,) with the least mean of -log q[label] on validation data

    Example:
        >>> import pellucid as pl
        >>> pl.Recipe(pl.VectorScaling())
        Recipe(remedies=(VectorScaling(),))

    Raises:
        InvalidInput: While training or fitting, without validation data, with fewer than 10 rows or rows of one class.
        NotApplicable: A model of values; validation rows that some w and b tell apart without error: then none is the best.

    References:
        Guo, Pleiss, Sun and Weinberger 2017, arXiv:1706.04599. Platt 1999, "Probabilistic outputs for support vector machines and
        comparisons to regularized likelihood methods", Advances in Large Margin Classifiers, doi:10.7551/mitpress/1113.003.0008.

    Limits:
        The predicted class may change. Its 2 K numbers take rows of every class; with few, TemperatureScaling is safer.
    """

    def _layer(self, z: Floats, y: Array) -> Any:
        from keras import layers

        w, b = scales(self, z, y)
        layer = layers.EinsumDense("bk,k->bk", output_shape=len(w), bias_axes="k", name="vector_scaling")
        return _with(layer, z.shape[1], w, b)


@dataclass(frozen=True, eq=False)
class MatrixScaling(_Calibration):
    """Maps all logits to all logits, as one more dense layer: for few classes and many rows only.

    Are classes mistaken for each other in a way that a linear map of the logits would mend?

        q = softmax(z W + b),   W (K, K), b (K,) with the least mean of -log q[label] on validation data

    Example:
        >>> import pellucid as pl
        >>> pl.Recipe(pl.MatrixScaling())
        Recipe(remedies=(MatrixScaling(),))

    Raises:
        InvalidInput: While training or fitting, without validation data, with fewer than 10 rows or rows of one class.
        NotApplicable: A model of values; validation rows that some W and b tell apart without error: then none is the best.

    References:
        Guo, Pleiss, Sun and Weinberger 2017, arXiv:1706.04599: on CIFAR-100 it raised a calibration error of 16.53 %
        to one of 25.49 %.

    Limits:
        It overfits: K^2 + K numbers are fitted to the validation rows, and it warns where there are fewer than 20 rows for each.
        The predicted class may change. TemperatureScaling and VectorScaling are nearly always the better choice.
    """

    def _layer(self, z: Floats, y: Array) -> Any:
        from keras import layers

        rows, width = z.shape
        if rows < 20 * width * (width + 1):
            warnings.warn(
                f"MatrixScaling fits {width * (width + 1)} numbers to {rows} rows and will overfit; use TemperatureScaling, or "
                f"hold out {20 * width * (width + 1)} rows",
                stacklevel=2,
            )
        w, b = scales(self, z, y, matrix=True)
        return _with(layers.Dense(width, name="matrix_scaling"), width, w, b)


@dataclass(frozen=True, eq=False)
class IsotonicCalibration(_Calibration):
    """Replaces each probability by a rising function of it, the one that fits held-out data best.

    How often did it come true when the model said so, with no assumption but that more stays more?

        q_k = f_k(p_k) / sum_j f_j(p_j),   f_k = the rising function with the least sum of (f_k(p_k) - [label = k])^2

    Each class against all others, as scikit-learn does it; for two classes one function of the probability of class 1.

    Example:
        >>> import pellucid as pl
        >>> pl.Recipe(pl.IsotonicCalibration())
        Recipe(remedies=(IsotonicCalibration(),))

    Raises:
        InvalidInput: While training or fitting, without validation data, with fewer than 10 rows or rows of one class.
        NotApplicable: A model of values.

    References:
        Zadrozny and Elkan 2002, "Transforming classifier scores into accurate multiclass probability estimates",
        doi:10.1145/775047.775151. Guo, Pleiss, Sun and Weinberger 2017, arXiv:1706.04599.

    Limits:
        A rising function has level parts: different probabilities become equal, so the predicted class may change and a ranking
        (AUC) loses a little. It says 0 and 1 where all of few rows agreed, which makes the log loss infinite: with fewer than
        about 1,000 rows prefer TemperatureScaling. Scores are then probabilities, whose gradients are zero on level parts.
    """

    def _changed(self, head: Head, x: Any, y: Array, name: str) -> Any:
        import keras

        inputs = head.model._inputs_struct
        given = keras.layers.Activation(head.how, name=free_name(head.model, "uncalibrated"))(head.model.outputs[0])
        p = wrap(keras.Model(inputs, given), output="value").predict(
            x
        )  # to the last digit what the layer will be given
        two = p.shape[1] < 3
        functions = [_rising(p[:, k], y == (1 if two else k)) for k in ((-1,) if two else range(p.shape[1]))]
        knots = max(len(at) for at, _ in functions)
        layer = registered("Isotonic")(len(functions), knots, name=free_name(head.model, "isotonic_calibration"))
        layer.set_functions(functions)
        out = layer(given)
        if not head.ending:  # the loss takes logits
            out = registered("EnsembleLogits")(head.how, of="probabilities", name=free_name(head.model, "logarithm"))(
                out
            )
        return keras.Model(inputs, out, name=name)


def _rising(p: Any, came: Any) -> tuple[Any, Any]:
    """Places and heights of the knots of the rising function; scikit-learn's."""
    from sklearn.isotonic import IsotonicRegression

    found = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(p.astype(float), came.astype(float))
    return found.X_thresholds_, found.y_thresholds_


def _with(layer: Any, width: int, *weights: Any) -> Any:
    """A built layer with these weights."""
    layer.build((None, width))
    layer.set_weights([np.asarray(w, np.float32) for w in weights])
    return layer
