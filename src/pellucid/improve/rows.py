"""The compiled loss of a Keras model, example by example."""

from __future__ import annotations

from typing import Any

from pellucid.errors import NotApplicable
from pellucid.shapes import Tensor


class Rows:
    """What a compiled model loses by each example.

    Args:
        model: A compiled Keras model with one output.
        columns: How many numbers it puts out for an example.
        soft: Whether labels are distributions over the classes.

    Raises:
        NotApplicable: The loss is not one function of one output.
    """

    def __init__(self, model: Any, columns: int, *, soft: bool = False) -> None:
        import keras

        if not isinstance(model.loss, str) and not callable(model.loss):
            raise NotApplicable(
                f"{model.name} has a loss for each of several outputs; recipes change the step of one output"
            )
        self._loss = keras.losses.get(model.loss)
        whole = isinstance(self._loss, keras.losses.Loss)
        self.name = str(getattr(self._loss, "name", None) or getattr(self._loss, "__name__", ""))
        self._each = self._loss.call if whole else self._loss
        self._sum = whole and self._loss.reduction == "sum"
        self._weighted_mean = whole and self._loss.reduction == "mean_with_sample_weight"
        config = self._loss.get_config() if whole else {}
        self.from_logits = bool(config.get("from_logits", False))
        self.ignored, self._smoothing = config.get("ignore_class"), float(config.get("label_smoothing") or 0.0)
        self._factor = _only_number(model._compile_config.config.get("loss_weights"))
        self.soft, self._columns = soft, columns
        self.kind = _kind(self._loss)

    def need_classes(self, remedy: str) -> None:
        """Raise where the loss is no cross-entropy, for a remedy, as it is called, that is about probabilities of classes.

        Raises:
            NotApplicable: It is none.
        """
        if self.kind == "other":
            raise NotApplicable(
                f"{remedy} is about probabilities of classes, and the loss {self.name or self._loss!r} is no "
                f"cross-entropy: compile the model with one, or leave {remedy} out"
            )

    def labels(self, y: Tensor) -> Tensor:
        """The labels as this step wants them: (B, K) distributions in place of class numbers where they are to be soft."""
        from keras import ops

        if not self.soft or self.kind != "sparse":
            return y
        return ops.one_hot(ops.cast(y, "int32"), self._columns, dtype="float32")

    def each(self, y: Tensor, outputs: Tensor) -> Tensor:
        """The loss (B,) of each example."""
        import keras
        from keras import ops

        if self.soft and self.kind == "sparse":
            found = keras.losses.categorical_crossentropy(y, outputs, from_logits=self.from_logits)
        else:
            if len(y.shape) == 1 and len(outputs.shape) == 2 and self.kind != "sparse":
                y = ops.expand_dims(y, -1)
            found = self._each(ops.cast(y, outputs.dtype) if self.kind != "sparse" else y, outputs)
        return ops.mean(ops.reshape(found, (ops.shape(outputs)[0], -1)), axis=1)

    def weighed(self, losses: Tensor) -> Tensor:
        """Losses times the `loss_weights` that the model was compiled with."""
        return losses if self._factor is None else self._factor * losses

    def together(self, losses: Tensor, weight: Tensor | None) -> Tensor:
        """One number of the losses (B,) of a batch, as the compiled loss would make it."""
        from keras import ops

        weighted = losses if weight is None else losses * weight
        if self._sum:
            return ops.sum(weighted)
        if self._weighted_mean and weight is not None:
            return ops.sum(weighted) / ops.sum(weight)
        return ops.mean(weighted)

    def log_probabilities(self, outputs: Tensor) -> Tensor:
        """Log-probabilities (B, K) of the classes, two of them for a single output.

        Raises:
            NotApplicable: The loss is no cross-entropy.
        """
        from keras import ops

        if self.kind == "other":
            raise NotApplicable(
                f"the loss {self.name or self._loss!r} is no cross-entropy, so outputs are no probabilities"
            )
        if self.kind == "binary":
            score = outputs[:, 0] if self.from_logits else _logit(outputs[:, 0])
            return ops.stack([ops.log_sigmoid(-score), ops.log_sigmoid(score)], axis=1)
        return ops.log_softmax(outputs, axis=-1) if self.from_logits else ops.log(ops.clip(outputs, 1e-7, 1.0))

    @property
    def width(self) -> int:
        """How many scores there are: classes, two of them for a single output; or values."""
        return 2 if self.kind == "binary" else self._columns

    def scores(self, outputs: Tensor) -> Tensor:
        """Log-probabilities (B, K) of classes, or the values (B, K) of a regression."""
        return outputs if self.kind == "other" else self.log_probabilities(outputs)

    def shares(self, y: Tensor, outputs: Tensor) -> Tensor:
        """The labels as distributions (B, K) over the classes, two of them for a single output."""
        from keras import ops

        if self.kind == "binary":
            y = ops.reshape(ops.cast(y, outputs.dtype), (-1,))
            return ops.stack([1 - y, y], axis=1)
        if self.kind == "sparse" and not self.soft:
            return ops.one_hot(ops.cast(y, "int32"), outputs.shape[-1], dtype=outputs.dtype)
        return ops.cast(y, outputs.dtype)

    def targets(self, y: Tensor, outputs: Tensor) -> Tensor:
        """The distributions (B, K) that the compiled loss would have the model answer: `shares`, smoothed as it says."""
        shares = self.shares(y, outputs)
        return (1 - self._smoothing) * shares + self._smoothing / self.width if self._smoothing else shares

    def scaled(self, outputs: Tensor, factor: Tensor) -> Tensor:
        """Outputs whose scores are multiplied by a factor (B,): probabilities are those of the multiplied logits."""
        from keras import ops

        factor = ops.expand_dims(factor, -1)
        if self.kind == "other" or self.from_logits:
            return outputs * factor
        if self.kind == "binary":
            return ops.sigmoid(_logit(outputs) * factor)
        return ops.softmax(ops.log(ops.clip(outputs, 1e-7, 1.0)) * factor)


def _kind(loss: Any) -> str:
    """Which cross-entropy, whatever its name: "sparse", "one-hot", "binary"; "other" where it computes in a way of its own."""
    from keras import losses

    if isinstance(loss, losses.Loss):
        own = type(loss)
        keras_class = next(base for base in own.__mro__ if base.__module__.partition(".")[0] == "keras")
        kept = all(getattr(own, name) is getattr(keras_class, name) for name in ("__call__", "call", "get_config"))
        loss = getattr(loss, "fn", None) if kept else None
    kinds = {"sparse_categorical": "sparse", "categorical": "one-hot", "binary": "binary"}
    return next((kind for name, kind in kinds.items() if loss is getattr(losses, f"{name}_crossentropy")), "other")


def _only_number(weights: Any) -> float | None:
    """The one number in what was given as `loss_weights`, None for none."""
    import keras

    found = keras.tree.flatten(weights) if weights is not None else []
    return float(found[0]) if len(found) == 1 and found[0] is not None else None


def divergence(logs: Tensor, others: Tensor) -> Tensor:
    """Kullback-Leibler divergence (B,) of log-probabilities (B, K) from others."""
    from keras import ops

    return ops.sum(ops.exp(logs) * (logs - others), axis=1)


def _logit(p: Tensor) -> Tensor:
    from keras import ops

    p = ops.clip(p, 1e-7, 1 - 1e-7)
    return ops.log(p) - ops.log1p(-p)
