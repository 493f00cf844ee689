"""One face for every model: what it outputs, how to run it fast, and where it can be differentiated."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from pellucid import _backend
from pellucid._backend.contract import Backend
from pellucid.core import chunks, layers
from pellucid.core.anatomy import Anatomy, by_values, examine, run_recorded, takes_tensors, variables_read
from pellucid.core.dataset import Dataset
from pellucid.core.inputs import check_shapes, check_tokens, input_names, numbers, packed, plain_bytes
from pellucid.core.tensors import flattened, seen, to_array
from pellucid.errors import InvalidInput, InvalidOption, NotDifferentiable
from pellucid.shapes import Array, Floats, Inputs, Tensor

OUTPUTS = ("auto", "logits", "probabilities", "value")


class Model:
    """A model that the verbs can work on; made by `wrap`.

    Attributes:
        native: The model as the user made it.
        keras: The Keras model; raises where there is none.
        asked: The output that `wrap` was told of, or "auto".
        output: "logits", "probabilities" or "value", known after the first run.
        differentiable: Whether gradients can be had.
        names: Names of the inputs, or None for a single one.
    """

    def __init__(self, native: Any, output: str = "auto") -> None:
        self.native = native
        self.is_torch = _backend.is_torch_module(native)
        self.backend: Backend = _backend.torch_backend(native) if self.is_torch else _backend.current()
        self.is_keras = not self.is_torch and hasattr(native, "_flatten_layers")
        self.asked = output
        self.names = input_names(native) if self.is_keras else None
        self._anatomy: Anatomy | None = None
        self._sizes: chunks.ChunkSizes | None = None
        self._compiled: dict[Any, Callable[..., Any]] = {}
        self._kept: dict[Any, Any] = {}
        self.differentiable = True  # until a callable turns out not to be
        self._read: list[Any] = []  # Keras variables that a callable reads
        self._whole: set[int] = set()  # inputs that are read as whole numbers, but by no embedding

    def __repr__(self) -> str:
        return f"pl.wrap({self.name})"

    # -- identity ------------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The model's own name."""
        return getattr(self.native, "name", None) or getattr(self.native, "__name__", type(self.native).__name__)

    @property
    def keras(self) -> Any:
        """The Keras model."""
        if not self.is_keras:
            raise InvalidInput(f"{self.name} is not a Keras model, but a {type(self.native).__name__}")
        return self.native

    @property
    def variables(self) -> list[Any]:
        """Everything the model holds in memory: weights, statistics, counters."""
        if self.is_torch:
            return [*self.native.parameters(), *self.native.buffers()]
        return list(self.native.variables) if self.is_keras else self._read

    @property
    def weights(self) -> list[Any]:
        """What training changes."""
        if self.is_torch:
            return [p for p in self.native.parameters() if p.requires_grad]
        return list(self.native.trainable_variables) if self.is_keras else []

    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits that change with any weight (for a callable: with its name)."""
        named = "" if self.variables else self.name  # Keras numbers the names of models as they are made
        digest = hashlib.sha256(f"{type(self.native).__name__}:{named}".encode())
        for variable in self.native.weights if self.is_keras else self.variables:  # without the state of dropout
            array = seen(variable)
            digest.update(f"{array.dtype}{array.shape}".encode())
            digest.update(plain_bytes(array))
        return digest.hexdigest()[:16]

    # -- what the model says -----------------------------------------------------------------------------------

    def predict(self, x: Inputs | Dataset) -> Floats:
        """The model's own outputs (B, K), several outputs joined in order."""
        return self.outputs_of(self.prepare(x), soft=True)

    def scores(self, x: Inputs | Dataset) -> Floats:
        """Logits (B, K) where the model has them (a final softmax or sigmoid taken off), else its outputs."""
        return self.outputs_of(self.prepare(x))

    def probabilities(self, x: Inputs | Dataset) -> Floats:
        """Class probabilities (B, K); a single output gives the two columns of a yes-or-no question.

        Raises:
            InvalidInput: The model gives values, not classes.
        """
        inputs = self.prepare(x)
        if self.output == "value":
            raise InvalidInput(
                f"{self.name} gives values, not class probabilities; if its output is one, say so: "
                'pl.wrap(model, output="probabilities") or output="logits"'
            )
        if self.anatomy.multilabel:
            raise InvalidInput(
                f"{self.name} answers {self.anatomy.width} yes-or-no questions at once; ask about one output"
            )
        self.require_one_output()
        return to_probabilities(self.outputs_of(inputs), self.output)

    def outputs_of(self, inputs: tuple[Array, ...], *, soft: bool = False) -> Floats:
        """Scores (B, K) of inputs that `prepare` gave; `soft` keeps a final softmax or sigmoid."""
        step = self.compiled(("outputs", soft), lambda: lambda *tensors: self.forward(tensors, soft=soft))
        return self.in_chunks("outputs", step, inputs)

    @property
    def anatomy(self) -> Anatomy:
        """What the first run has shown."""
        if self._anatomy is None:
            raise InvalidInput("the model has not been run yet; call scores(x) first")
        return self._anatomy

    @property
    def output(self) -> str:
        """What the scores are: "logits", "probabilities" or "value"."""
        return self.anatomy.output

    @property
    def task(self) -> str:
        """ "classification", or "regression" where the output is a value."""
        return "regression" if self.output == "value" else "classification"

    @property
    def binary(self) -> bool:
        """Whether the one output is the log-odds of class 1."""
        return self.output == "logits" and self.anatomy.width == 1

    @property
    def columns(self) -> int:
        """Number of scores K of an example; a probability that stands alone has that of the other class beside it."""
        alone = self.output == "probabilities" and self.anatomy.width == 1
        return 2 if alone else self.anatomy.width

    @property
    def classes(self) -> int:
        """Number of classes; 0 for a value."""
        return 0 if self.output == "value" else max(2, self.anatomy.width)

    # -- running -------------------------------------------------------------------------------------------------

    def prepare(self, x: Inputs | Dataset) -> tuple[Array, ...]:
        """Check inputs and give them as the tuple of arrays that the model takes; looks at the model the first time.

        Raises:
            InvalidInput: No examples, NaN or infinity, text, or a shape that the model does not take.
        """
        known = self.names
        try:
            arrays = self._checked(x.x if isinstance(x, Dataset) else x)
        except Exception:
            self.names = known  # names that did not work are forgotten
            raise
        return self._as_taken(arrays)

    def _checked(self, x: Any) -> list[Array]:
        """Inputs as arrays of the model's shapes; looks at the model the first time."""
        arrays = [numbers(name, a) for name, a in self._named(x)]
        if self.is_keras:
            check_shapes(self.native, self.names, arrays)
        arrays = [a if a.dtype.kind in "iu" else a.astype(np.float32, copy=False) for a in arrays]
        if self._anatomy is None:
            self._look(arrays)
        return arrays

    def _look(self, arrays: Sequence[Array]) -> None:
        """Find out what the model is, at its first run."""
        self.differentiable = self.is_torch or self.is_keras or takes_tensors(self, [a[:1] for a in arrays])
        if self.differentiable and not (self.is_torch or self.is_keras):
            self._read = variables_read(self, [a[:1] for a in arrays])
        seen = examine(self, arrays)
        if seen.output == "auto":
            self._anatomy = seen
            self._find_whole(arrays)
            sample = self.outputs_of(self._as_taken([a[:32] for a in arrays]), soft=True)
            seen = replace(seen, output=by_values(sample, self.native))
        self._anatomy = seen
        self._find_whole(arrays)
        self._compiled.clear()

    def _find_whole(self, arrays: Sequence[Array]) -> None:
        """See whether inputs of whole numbers have to stay such: a table that is looked up by them takes nothing else."""
        embedded = {entry.input for entry in self.anatomy.entries if entry.layer is not None}
        loose = {i for i, a in enumerate(arrays) if a.dtype.kind in "iu"} - embedded
        if not loose:
            return
        one = [a[:1].astype(np.float32) if i in loose else a[:1] for i, a in enumerate(arrays)]
        try:
            run_recorded(self, one)
        except Exception:  # every framework refuses a real number for an index in its own way
            self._whole = loose

    def _as_taken(self, arrays: Sequence[Array]) -> tuple[Array, ...]:
        """Tokens as whole numbers, everything else as float32."""
        tokens = {entry.input for entry in self.anatomy.entries if entry.layer is not None}
        for entry in self.anatomy.entries:
            check_tokens((self.names or ("x",))[entry.input], arrays[entry.input], entry.layer)
        whole = tokens | self._whole
        return tuple(a.astype(np.int32 if i in whole else np.float32, copy=False) for i, a in enumerate(arrays))

    def _named(self, x: Any) -> list[tuple[str, Any]]:
        if isinstance(x, Mapping):
            if self.names is None:
                self.names = tuple(x)
            missing = [n for n in self.names if n not in x]
            if missing or len(x) != len(self.names):
                raise InvalidInput(f"x: expected the inputs {', '.join(self.names)}, got {', '.join(map(str, x))}")
            return [(n, x[n]) for n in self.names]
        if self.names is not None:
            if not isinstance(x, list | tuple) or len(x) != len(self.names):
                raise InvalidInput(
                    f"x: the model takes {len(self.names)} named inputs; give a dict with {', '.join(self.names)}"
                )
            return list(zip(self.names, x, strict=True))
        return [("x", x)]

    def forward(self, tensors: Sequence[Tensor], *, soft: bool = False) -> Tensor:
        """Outputs (B, K) of input tensors, in inference mode; for use inside a compiled function."""
        from keras import ops

        with ExitStack() as stack:
            if not soft and self._anatomy is not None:
                for layer, how in self._anatomy.softened:
                    stack.enter_context(_unsoftened(layer, how))
            found = self.call(tensors)
        flat = [ops.reshape(ops.cast(o, "float32"), (ops.shape(o)[0], -1)) for o in flattened(found)]
        out = flat[0] if len(flat) == 1 else ops.concatenate(flat, axis=1)
        if self._anatomy and self.columns > self._anatomy.width:
            out = ops.concatenate([1 - out, out], axis=1)
        return out

    def call(self, tensors: Sequence[Tensor]) -> Any:
        """The model's own outputs, in its own structure, in inference mode."""
        if self.is_torch:
            with _evaluating(self.native):
                return self.native(*tensors)
        if self.is_keras:
            return self.native(packed(self.native, self.names, tensors), training=False)
        given = list(tensors) if self.differentiable else [to_array(t) for t in tensors]
        return self.native(dict(zip(self.names, given, strict=True)) if self.names else given[0])

    def embed(self, tensors: Sequence[Tensor], shift: Sequence[Tensor] = ()) -> list[Tensor]:
        """Where gradients are taken, for inputs: each input itself, or its embedding (B, T, D); `shift` is added to it."""
        # The product drops the mask that Keras hangs on an embedding: what counts is the mask of the inputs that are run.
        at = [tensors[e.input] if e.layer is None else e.layer(tensors[e.input]) * 1 for e in self.anatomy.entries]
        return [a + s for a, s in zip(at, shift, strict=True)] if shift else at

    def forward_from(
        self, entries: Sequence[Tensor], tensors: Sequence[Tensor], shift: Sequence[Tensor] = ()
    ) -> Tensor:
        """Scores (B, K) with the entries' tensors in place of what `embed` gives; `tensors` are the inputs.

        `shift` is for models that are opened at a hidden layer; here the entries hold it.
        """
        tensors = list(tensors)
        injected: dict[int, tuple[Any, dict[int, Tensor]]] = {}
        for entry, tensor in zip(self.anatomy.entries, entries, strict=True):
            if entry.layer is None:
                tensors[entry.input] = tensor
            else:
                injected.setdefault(id(entry.layer), (entry.layer, {}))[1][entry.call] = tensor
        with ExitStack() as stack:
            for layer, by_call in injected.values():
                stack.enter_context(layers.replaced(layer, layers.injector(by_call)))
            return self.forward(tensors)

    def slopes_at(
        self, score: Callable[[Tensor], Tensor], entries: Sequence[Tensor], tensors: Sequence[Tensor],
        shift: Sequence[Tensor] = (),
    ) -> tuple[list[Tensor], Tensor]:  # fmt: skip
        """Gradients at the entries of `score` (B,) of the scores, and the scores (B, K); arguments as of `forward_from`.

        Rows do not mix, so the gradient of their sum holds every row's own.
        """
        from keras import ops

        def run(*entries: Tensor) -> tuple[Tensor, Tensor]:
            scores = self.forward_from(entries, tensors, shift)
            return ops.sum(score(scores)), scores

        scores, slopes = self.backend.gradient(run, entries)
        return slopes, scores

    def sloped(
        self, score: Callable[[Tensor], Tensor], tensors: Sequence[Tensor], shift: Sequence[Tensor] = ()
    ) -> tuple[list[Tensor], list[Tensor], Tensor]:
        """In one pass of input tensors: where gradients are taken, those of `score` (B,) of the scores, and the scores (B, K)."""
        at = self.embed(tensors, shift)
        return at, *self.slopes_at(score, at, tensors, shift)

    def map_size(self, inputs: Sequence[Array]) -> int:
        """How many numbers an example's maps have."""
        return sum(a[0].size for a in inputs)

    def compiled(self, key: Any, make: Callable[[], Callable[..., Any]]) -> Callable[..., Any]:
        """The compiled form of the function that `make` gives, kept on this model under `key`."""
        if key not in self._compiled:
            if self.differentiable:
                self._compiled[key] = self.backend.compile(make(), self.variables)
            else:
                self._compiled[key] = _plainly(make())
        return self._compiled[key]

    def kept(self, key: Any, make: Callable[[], Any]) -> Any:
        """Something that `make` derives from this model once, kept on it under `key`."""
        if key not in self._kept:
            self._kept[key] = make()
        return self._kept[key]

    @property
    def _row_bytes(self) -> int:
        """Activations of one example, and their gradients."""
        return 4 * 2 * self.anatomy.activations

    @property
    def comfortable(self) -> int:
        """Rows of a step of a good size, by a first guess."""
        return max(1, self.backend.comfortable(chunks.COMFORTABLE) // self._row_bytes)

    def in_chunks(self, kind: Any, step: Callable[..., Any], examples: Sequence[Array], each: int = 1) -> Any:
        """Run a compiled step over examples in chunks of a measured size; `each` is the rows it makes of one."""
        if self._sizes is None:
            self._sizes = chunks.ChunkSizes(self._row_bytes, self.backend.comfortable(chunks.COMFORTABLE))
        rows = self._sizes.rows((kind, each), step, examples, each)
        return chunks.run(step, examples, each, rows, pad=self.backend.static_shapes)

    def require_one_output(self) -> None:
        """Raise if the model has several outputs: their columns are no classes of one question."""
        if self.anatomy.heads > 1:
            raise InvalidInput(
                f"{self.name} has {self.anatomy.heads} outputs, whose columns are no classes of one question; make a "
                "model of one of them, such as keras.Model(model.inputs, model.outputs[0])"
            )

    def require_gradient(self, method: str) -> None:
        """Raise if the model cannot be differentiated."""
        if self._whole:
            name = (self.names or ("x",))[min(self._whole)]
            raise NotDifferentiable(
                f"{method} needs gradients, but {self.name} reads {name} as whole numbers, and not in an Embedding layer; use "
                "a method that only needs outputs: Occlusion, PermutationShapley"
            )
        if not self.differentiable:
            raise NotDifferentiable(
                f"{method} needs gradients, but the callable {self.name} gives NumPy arrays; write it in keras.ops, or "
                "use a method that only needs outputs: Occlusion, PermutationShapley"
            )


def wrap(model: Any, output: str = "auto") -> Model:
    """Make a model ready for the verbs.

    Args:
        model: A Keras 3 model, a `torch.nn.Module` (with Keras on the torch backend), or a callable that takes and
            gives arrays with examples first. A callable written in `keras.ops` can be differentiated.
        output: What the model gives. "logits", "probabilities" (kept as they are, even if a softmax could be taken
            off), "value" (regression), or "auto": a final softmax or sigmoid means logits can be had; else the
            compiled loss decides; else rows that sum to one are probabilities, several columns logits, one a value.

    Raises:
        InvalidOption: An output that does not exist, or something that cannot be called.
        BackendMismatch: A torch module while Keras runs on another backend.

    Example:
        >>> import keras, pellucid as pl
        >>> net = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, activation="softmax")])
        >>> model = pl.wrap(net)
        >>> model.scores([[1.0, 2.0, 3.0]]).shape, model.output
        ((1, 2), 'logits')

    Limits:
        A softmax called inside a subclassed model's own `call` (not a layer) cannot be taken off: scores are then
        probabilities. A callable with one output is taken for a value unless `output` says otherwise.
    """
    if isinstance(model, Model):
        return model
    if output not in OUTPUTS:
        raise InvalidOption(f"wrap: output: expected one of {', '.join(map(repr, OUTPUTS))}, got {output!r}")
    if not callable(model):
        raise InvalidOption(
            f"wrap: expected a Keras model, a torch.nn.Module or a callable, got {type(model).__name__}"
        )
    return Model(model, output)


def as_operations(model: Model, inputs: Sequence[Array]) -> Model | None:
    """A callable in `keras.ops`, or a Keras model with a call of its own, as a functional model; kept on it.

    None where it cannot be taken apart.
    """
    import inspect

    import keras

    def run(ends: Any) -> Any:
        if not model.is_keras:
            return model.call(ends)
        options = {"training": False} if "training" in inspect.signature(model.native.call).parameters else {}
        return model.native.call(packed(model.native, model.names, ends), **options)

    def made() -> Model | None:
        named = zip(inputs, model.names or ("x",), strict=True)
        ends: Any = [keras.Input(a.shape[1:], name=name, dtype=a.dtype) for a, name in named]
        try:
            out = run(ends)
        except Exception:  # whatever the model does with a tensor that holds no numbers
            return None
        return Model(
            keras.Model(dict(zip(model.names, ends, strict=True)) if model.names else ends[0], out), model.output
        )

    found = model.kept("operations", made)
    if found is not None:
        found.prepare(dict(zip(model.names, inputs, strict=True)) if model.names else inputs[0])
    return found


def to_probabilities(scores: Floats, output: str) -> Floats:
    """Class probabilities (B, K) of scores of the given kind."""
    from scipy.special import expit, softmax

    scores = scores.astype(np.float64)
    if output == "logits":
        return np.column_stack([expit(-scores), expit(scores)]) if scores.shape[1] == 1 else softmax(scores, axis=1)
    return scores


def _plainly(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of a callable that only takes arrays, with arrays out; the rest of it may still be keras.ops."""

    def run(*arrays: Array) -> Any:
        found = function(*arrays)
        return tuple(map(to_array, found)) if isinstance(found, tuple) else to_array(found)

    return run


@contextmanager
def _evaluating(module: Any) -> Iterator[None]:
    """A torch module in inference mode, every part of it put back as it was."""
    modes = [(m, m.training) for m in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode


def _unsoftened(layer: Any, how: str) -> Any:
    from keras import activations

    if how == "activation":
        return layers.attribute(layer, "activation", activations.linear)
    return layers.replaced(layer, lambda original: lambda inputs, *rest, **options: inputs)
