"""A fresh model from a builder, trained reproducibly; and the sound small model for those who bring none."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeGuard

import numpy as np

from pellucid.core.dataset import Dataset
from pellucid.core.inputs import broken_input
from pellucid.core.loss_labels import labels, weights_of_classes, weights_of_examples
from pellucid.core.progress import Progress
from pellucid.core.randomness import seeded
from pellucid.core.record import Value
from pellucid.core.splitting import holdout
from pellucid.core.tensors import to_array
from pellucid.errors import InvalidInput, InvalidOption, NotApplicable, PellucidError, TrainingDiverged
from pellucid.shapes import Array, Floats

Build = Callable[[], Any]
"""Takes nothing and gives a compiled Keras model."""

_GIVEN = "_given_to_pellucid"
"""Marks a model that a builder has given, to see a builder that gives it again."""

EPOCHS, BATCH = 20, 32
"""How `fit` trains where it is not told."""


def fresh(build: Build, seed: int = 0) -> Any:
    """A new model from a builder; the same seed gives the same weights, and no global random state is touched.

    Args:
        build: A function without arguments that returns a compiled Keras model.
        seed: Decides the initial weights and the draws of the model's own random layers.

    Raises:
        InvalidInput: `build` gives something else, or a model that is not compiled.

    Example:
        >>> import keras
        >>> def build():
        ...     net = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        ...     net.compile("sgd", "mse")
        ...     return net
        >>> one, two = fresh(build, seed=3), fresh(build, seed=3)
        >>> bool((one.get_weights()[0] == two.get_weights()[0]).all())
        True
    """
    if not callable(build) or hasattr(build, "_flatten_layers"):
        hint = (
            "; a model is trained from new weights each time: give the function that makes it"
            if callable(build)
            else ""
        )
        raise InvalidInput(f"build: expected a function without arguments, got {type(build).__name__}{hint}")
    with seeded(seed, "build"), _names_from_one():
        model = build()
    if not hasattr(model, "compiled") or not hasattr(model, "_flatten_layers"):
        hint = "; it gave the same thing as a class would: call it" if isinstance(model, type) else ""
        raise InvalidInput(f"build: expected it to return a Keras model, got {type(model).__name__}{hint}")
    if not model.compiled:
        raise InvalidInput('build: the model is not compiled; call model.compile(optimizer="adam", loss=...) in it')
    if getattr(model, _GIVEN, False):
        raise InvalidInput(
            "build: expected a new model at every call, got one that has been given before; make it inside"
        )
    object.__setattr__(model, _GIVEN, True)
    return model


@contextmanager
def _names_from_one() -> Iterator[None]:
    """Layers without a name of their own are numbered from the start, so that equal models have equal names."""
    from keras.src.backend.common import global_state

    before = global_state.get_global_attribute("object_name_uids")
    global_state.set_global_attribute("object_name_uids", None)
    try:
        yield
    finally:
        global_state.set_global_attribute("object_name_uids", before)


def fit(
    model: Any,
    train: Dataset,
    *,
    settings: Mapping[str, Any] | None = None,
    seed: int = 0,
    callbacks: Sequence[Any] = (),
    progress: bool | None = None,
) -> dict[str, Floats]:
    """Train a compiled Keras model and give Keras's log, one number an epoch.

    Interrupting it leaves the model as it was after the last whole epoch, and so does a loss that is no number; every global
    random state is left as it was before.

    Args:
        model: The model; it is changed in place.
        train: Examples with labels.
        settings: `epochs` (20), `batch_size` (32) and whatever else `keras.Model.fit` takes, but data and callbacks.
        seed: Decides the order of the examples and the draws of random layers.
        callbacks: Keras callbacks, called in this order.
        progress: Whether to show a bar of epochs; None for "where there is a terminal".

    Raises:
        InvalidInput: Data without labels, or data that the model does not take.
        InvalidOption: A setting that `fit` sets itself, or class weights that leave a class out.
        TrainingDiverged: The loss became NaN or infinite; it says at which step.
    """
    options = {"epochs": EPOCHS, "batch_size": BATCH, "shuffle": True, **allowed(settings)}
    y = labels(model, train)
    if "class_weight" in options:
        weights_of_classes(options["class_weight"], train)
    if options.get("sample_weight") is not None:
        options["sample_weight"] = weights_of_examples(options["sample_weight"], train)
    with Progress(f"training {model.name}", options["epochs"], progress) as bar, seeded(seed, "fit"):
        watcher = _watcher()(bar)
        try:
            history = model.fit(train.x, y, verbose=0, callbacks=[watcher, *callbacks], **options)
        except TrainingDiverged as problem:
            told = TrainingDiverged(
                f"{problem}; the model has the weights of {watcher.go_back(good=True)}; {_broken(train) or REMEDY}"
            )
            told.model = model
            raise told from None
        except (PellucidError, KeyboardInterrupt):
            watcher.go_back()
            raise
        except (ValueError, TypeError, RuntimeError, IndexError) as problem:
            why = _broken(train) or problem
            raise InvalidInput(f"{model.name} could not be trained on {_shapes(train, y)}: {why}") from problem
    return {name: np.asarray(values, float) for name, values in history.history.items()}


REMEDY = "try a smaller learning rate, inputs scaled to about one, or a weaker penalty"


def _broken(data: Dataset) -> str:
    """Which example holds what is no number; empty where none does."""
    if (found := broken_input(data.x)) is None:
        return ""
    return f"{found[0]} of example {found[1]} holds NaN or infinity: fill it in, or leave such examples out"


_ON_THEIR_OWN = {"x", "y", "callbacks", "verbose", "validation_data", "validation_split"}
_WITHOUT_EFFECT = {"initial_epoch", "validation_freq", "validation_steps", "validation_batch_size"}


def allowed(settings: Mapping[str, Any] | None) -> dict[str, Any]:
    """The settings of `fit`, looked at before anything is trained."""
    if settings is not None and not isinstance(settings, Mapping):
        raise InvalidOption(f'fit: expected settings by name, such as {{"epochs": 20}}, got {settings!r}')
    found = dict(settings or {})
    if own := _ON_THEIR_OWN & set(found):
        raise InvalidOption(
            f"fit: {', '.join(sorted(own))} cannot be set there; data and callbacks are given on their own"
        )
    if idle := _WITHOUT_EFFECT & set(found):
        raise InvalidOption(
            f"fit: {', '.join(sorted(idle))} has no place there: a fresh model starts at the first epoch, and all validation "
            "data are looked at after each; leave it out"
        )
    for name in {"epochs", "batch_size"} & set(found):
        if not _is_count(found[name]):
            raise InvalidOption(f"fit: {name}: expected a whole number of at least 1, got {found[name]!r}")
        found[name] = int(found[name])
    return found


def _is_count(number: Any) -> TypeGuard[int]:
    return isinstance(number, int | np.integer) and not isinstance(number, bool) and bool(number >= 1)


def batch_size(settings: Mapping[str, Any] | None) -> int:
    """The batch of training; what it must be is told by `fit`."""
    given = settings.get("batch_size") if isinstance(settings, Mapping) else None
    return int(given) if _is_count(given) else BATCH


def _shapes(data: Dataset, y: Array) -> str:
    x = {k: v.shape for k, v in data.x.items()} if isinstance(data.x, dict) else data.x.shape
    return f"x {x} and y {y.shape}"


def _watcher() -> type:
    from keras.callbacks import Callback

    class Watcher(Callback):
        """Moves the bar, keeps the weights of the last whole epoch, and stops training whose loss is no number any more."""

        async_safe = True  # a look at a number; waiting for it would slow small models down

        def __init__(self, bar: Progress) -> None:
            super().__init__()
            self._bar, self._epoch, self._proved = bar, 0, True

        def on_train_begin(self, logs: Mapping[str, float] | None = None) -> None:
            self._before = self._kept = (0, self._weights())

        def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
            self._epoch = epoch

        def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
            loss = (logs or {}).get("loss", 0.0)
            if not np.isfinite(loss):
                raise TrainingDiverged(f"the loss became {loss} at step {batch + 1} of epoch {self._epoch + 1}")
            self._proved = True  # the weights that the epoch began with

        def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
            weights = self._weights()
            if not all(np.isfinite(w).all() for w in weights if w.dtype.kind == "f"):
                raise TrainingDiverged(f"weights became NaN or infinite at the end of epoch {epoch + 1}")
            self._before, self._kept, self._proved = self._kept, (epoch + 1, weights), False
            self._bar.advance()

        def go_back(self, *, good: bool = False) -> str:
            """Give the model the weights of the last whole epoch, or the last with which a loss was seen to be a number."""
            epoch, weights = self._before if good and not self._proved else self._kept
            for variable, value in zip(self._variables(), weights, strict=False):
                variable.assign(value)
            return f"epoch {epoch}" if epoch else "the start"

        def _variables(self) -> list[Any]:
            model: Any = self.model
            return list(model.trainable_variables) + list(model.non_trainable_variables)

        def _weights(self) -> list[Array]:
            return [to_array(v.value).copy() for v in self._variables()]

    return Watcher


# -- the model for those who bring none ------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class DefaultModel(Value):
    """A small, sound model for a kind of data, as a builder: call it and it gives a fresh compiled Keras model.

    Tables: standardization and two hidden layers (32, 16). Images: standardization, two or three convolutions, average
    pooling. Sequences: two convolutions along time, pooled. Tokens: an embedding, pooled, and one hidden layer.
    """

    kind: str
    shape: tuple[int, ...]
    outputs: int
    mean: tuple[float, ...] = ()
    variance: tuple[float, ...] = ()
    vocabulary: int = 0
    target: tuple[float, float] = (0.0, 1.0)

    def __call__(self) -> Any:
        """A fresh compiled model."""
        import keras

        tokens = self.vocabulary > 0
        start = keras.Input(self.shape, dtype="int32" if tokens else "float32")
        hidden = _BODIES["text" if tokens else self.kind](self, start)
        net = keras.Model(start, self._head(hidden), name=f"default_{self.kind}")
        net.compile(
            keras.optimizers.Adam(self.rate),
            loss=self._loss,
            metrics=["accuracy"] if self.outputs else None,
            jit_compile=keras.backend.backend() == "jax",  # type: ignore[arg-type]  # elsewhere compiling takes longer than training so little
        )
        return net

    @property
    def rate(self) -> float:
        """The optimizer's step."""
        return 0.003

    @property
    def _loss(self) -> str:
        return {0: "mse", 1: "binary_crossentropy"}.get(self.outputs, "sparse_categorical_crossentropy")

    def _head(self, hidden: Any) -> Any:
        from keras import layers

        if self.outputs == 1:
            return layers.Dense(1, activation="sigmoid", name="output")(hidden)
        if self.outputs > 1:
            return layers.Dense(self.outputs, activation="softmax", name="output")(hidden)
        mean, spread = self.target
        value = layers.Dense(1, name="standardized")(hidden)
        return layers.Rescaling(spread, offset=mean, name="output")(value)

    def standardized(self, start: Any) -> Any:
        """Inputs with mean 0 and variance 1 on the training data, along the last axis."""
        from keras import layers

        return layers.Normalization(mean=self.mean, variance=self.variance, name="standardize")(start)


def _table(plan: DefaultModel, start: Any) -> Any:
    from keras import layers, regularizers

    hidden = plan.standardized(start)
    for i, width in enumerate((32, 16)):
        calm = regularizers.L2(1e-2)
        hidden = layers.Dense(width, activation="relu", kernel_regularizer=calm, name=f"hidden_{i + 1}")(hidden)
    return hidden


def _image(plan: DefaultModel, start: Any) -> Any:
    from keras import layers

    hidden = plan.standardized(start)
    side = min(plan.shape[:2])
    for i, width in enumerate((16, 32, 64)[: 2 if side < 24 else 3]):
        hidden = layers.Conv2D(width, 3, padding="same", activation="relu", name=f"convolution_{i + 1}")(hidden)
        hidden = layers.MaxPooling2D(name=f"pool_{i + 1}")(hidden) if side >> i >= 4 else hidden
    hidden = layers.Flatten(name="flatten")(hidden) if side < 24 else layers.GlobalAveragePooling2D(name="mean")(hidden)
    return layers.Dense(64, activation="relu", name="hidden")(hidden)


def _sequence(plan: DefaultModel, start: Any) -> Any:
    from keras import layers

    hidden = plan.standardized(start)
    for i, width in enumerate((32, 32)):
        hidden = layers.Conv1D(width, 5, padding="same", activation="relu", name=f"convolution_{i + 1}")(hidden)
    return layers.Dense(32, activation="relu", name="hidden")(layers.GlobalAveragePooling1D(name="mean")(hidden))


def _tokens(plan: DefaultModel, start: Any) -> Any:
    from keras import layers

    hidden = layers.Embedding(plan.vocabulary, 32, name="embedding")(start)
    return layers.Dense(32, activation="relu", name="hidden")(layers.GlobalAveragePooling1D(name="mean")(hidden))


_BODIES = {"tabular": _table, "image": _image, "sequence": _sequence, "audio": _sequence, "text": _tokens}


def _words(data: Dataset) -> int:
    """How many different tokens there can be."""
    return int(data.x.max()) + 1 if data.vocabulary is None else len(data.vocabulary)


def default_model(data: Dataset) -> DefaultModel:
    """The builder of a sound small model for these training data.

    Raises:
        NotApplicable: Several inputs, no labels, or shapes that no small model is known for.

    Example:
        >>> import numpy as np
        >>> plan = default_model(Dataset(np.random.default_rng(0).normal(size=(50, 3)), np.arange(50) % 2))
        >>> plan().output_shape
        (None, 1)
    """
    if isinstance(data.x, dict):
        raise NotApplicable("there is no default model for several inputs; give a model of your own")
    if data.y is None:
        raise NotApplicable("a model needs labels (y) to learn from; give them, or a model of your own")
    if data.kind == "text":
        return DefaultModel("text", data.x.shape[1:], _outputs(data), vocabulary=_words(data))
    if data.kind == "video":
        raise NotApplicable("there is no default model for videos; give one, such as pl.models.video_transformer")
    axes = {"tabular": 2, "image": 4, "sequence": 3, "audio": 3}[data.kind or "tabular"]
    if data.x.ndim != axes:
        raise NotApplicable(f"the default model for {data.kind} data takes {axes} axes, got x {data.x.shape}")
    over = tuple(range(axes - 1))
    mean, variance = data.x.mean(over, dtype=np.float64), data.x.var(over, dtype=np.float64)
    target = (0.0, 1.0) if _outputs(data) else (float(data.y.mean()), float(data.y.std()) or 1.0)
    return DefaultModel(
        data.kind or "tabular", data.x.shape[1:], _outputs(data), tuple(mean.tolist()),
        tuple(np.where(variance > 0, variance, 1.0).tolist()), 0, target,
    )  # fmt: skip


def _outputs(data: Dataset) -> int:
    """Columns that the model puts out: 0 for a quantity, 1 for two classes, else the number of classes."""
    if data.task == "regression":
        return 0
    classes = max(int(data.y.max()) + 1, len(data.class_names or ()))
    return 1 if classes <= 2 else classes


def train_default(data: Dataset, *, seed: int = 0, progress: bool | None = None) -> Any:
    """Train the default model: a sixth of the data (whole groups) says when to stop, and the best weights are kept.

    Args:
        data: Training data; test data must not be among it.
        seed: Decides everything that is drawn.
        progress: Whether to show a bar; None for "where there is a terminal".

    Raises:
        NotApplicable: There is no default model for such data.
    """
    from keras.callbacks import EarlyStopping, ReduceLROnPlateau

    model = fresh(default_model(data), seed)
    stopping = data if len(data) < 30 else None
    if stopping is None:
        classes = data.task == "classification"
        kept, held = holdout(data.y, 1 / 6, groups=data.groups, classes=classes, seed=seed)
        data, stopping = data.take(kept), data.take(held)
    batch = int(np.clip(len(data) // 20, 16, 256))
    calls = [
        _validation()(stopping, labels(model, stopping)),
        ReduceLROnPlateau(monitor="val_loss", factor=0.3, patience=3),
        EarlyStopping(monitor="val_loss", patience=8, restore_best_weights=True),
    ]
    epochs = int(np.clip(1_500_000 // len(data), 5, 40))
    fit(model, data, settings={"epochs": epochs, "batch_size": batch}, seed=seed, callbacks=calls, progress=progress)
    return model


def _validation() -> type:
    from keras.callbacks import Callback

    class Validation(Callback):
        """Puts the loss on held-out data where later callbacks look for it."""

        def __init__(self, data: Dataset, y: Array) -> None:
            super().__init__()
            self._data, self._y = data, y

        def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
            model: Any = self.model
            found = model.evaluate(self._data.x, self._y, batch_size=1024, verbose=0, return_dict=True)
            if logs is not None:
                logs.update({f"val_{name}": value for name, value in found.items()})

    return Validation
