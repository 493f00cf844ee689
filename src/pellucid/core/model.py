"""One face for every model: what it outputs, how to run it fast, and where it can be differentiated."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from pellucid import _backend
from pellucid._backend.contract import Backend
from pellucid.core import chunks, layers
from pellucid.core.dataset import Dataset
from pellucid.errors import InvalidInput, InvalidOption, NotDifferentiable, PellucidError
from pellucid.shapes import Array, Floats, Inputs, Tensor

OUTPUTS = ("auto", "logits", "probabilities", "value")


@dataclass(frozen=True)
class Entry:
    """Where a gradient is taken: an input itself, or the call of an embedding that reads it (`layer` is set)."""

    input: int
    layer: Any = None
    call: int = 0


@dataclass(frozen=True)
class Anatomy:
    """What one run of the model on one example shows.

    `softened` are the layers whose final softmax or sigmoid is taken off while explaining; `activations` counts the
    numbers that the innermost layers put out for one example.
    """

    output: str
    softened: tuple[tuple[Any, str], ...]
    entries: tuple[Entry, ...]
    width: int
    activations: int
    note: str = ""
    multilabel: bool = False


class Model:
    """A model that the verbs can work on; made by `wrap`.

    Attributes:
        native: The model as the user made it.
        keras: The Keras model; raises where there is none.
        output: "logits", "probabilities" or "value", known after the first run.
        names: Names of the inputs, or None for a single one.
    """

    def __init__(self, native: Any, output: str = "auto") -> None:
        self.native = native
        self.is_torch = _backend.is_torch_module(native)
        self.backend: Backend = _backend.torch_backend(native) if self.is_torch else _backend.current()
        self.is_keras = not self.is_torch and hasattr(native, "_flatten_layers")
        self._asked = output
        self.names = _input_names(native) if self.is_keras else None
        self._anatomy: Anatomy | None = None
        self._sizes: chunks.ChunkSizes | None = None
        self._compiled: dict[Any, Callable[..., Any]] = {}
        self._differentiable = True  # until a callable turns out not to be

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
        return list(self.native.variables) if self.is_keras else []

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
            array = np.ascontiguousarray(to_array(variable))
            digest.update(f"{array.dtype}{array.shape}".encode() + array.tobytes())
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
    def classes(self) -> int:
        """Number of classes; 0 for a value."""
        return 0 if self.output == "value" else max(2, self.anatomy.width)

    # -- running -------------------------------------------------------------------------------------------------

    def prepare(self, x: Inputs | Dataset) -> tuple[Array, ...]:
        """Check inputs and give them as the tuple of arrays that the model takes; looks at the model the first time.

        Raises:
            InvalidInput: No examples, NaN or infinity, text, or a shape that the model does not take.
        """
        x = x.x if isinstance(x, Dataset) else x
        arrays = [_numbers(name, a) for name, a in self._named(x)]
        if self.is_keras:
            _check_shapes(self.native, self.names, arrays)
        arrays = [a if a.dtype.kind in "iu" else a.astype(np.float32, copy=False) for a in arrays]
        if self._anatomy is None:
            self._examine(arrays)
        tokens = {entry.input for entry in self.anatomy.entries if entry.layer is not None}
        return tuple(a.astype(np.int32 if i in tokens else np.float32, copy=False) for i, a in enumerate(arrays))

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
                    f"x: the model takes {len(self.names)} inputs; give a dict with {', '.join(self.names)}"
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
            found = self._call(tensors)
        flat = [ops.reshape(ops.cast(o, "float32"), (ops.shape(o)[0], -1)) for o in _flat(found)]
        out = flat[0] if len(flat) == 1 else ops.concatenate(flat, axis=1)
        if self._anatomy and self._anatomy.output == "probabilities" and self._anatomy.width == 2 and out.shape[1] == 1:
            out = ops.concatenate([1 - out, out], axis=1)
        return out

    def _call(self, tensors: Sequence[Tensor]) -> Any:
        if self.is_torch:
            with _evaluating(self.native):
                return self.native(*tensors)
        if self.is_keras:
            return self.native(_packed(self.native, self.names, tensors), training=False)
        given = tensors if self._differentiable else [to_array(t) for t in tensors]
        return self.native(dict(zip(self.names, given, strict=True)) if self.names else given[0])

    def embed(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Where gradients are taken, for inputs: each input itself, or its embedding (B, T, D)."""
        return [tensors[e.input] if e.layer is None else e.layer(tensors[e.input]) for e in self.anatomy.entries]

    def forward_from(self, entries: Sequence[Tensor], tensors: Sequence[Tensor]) -> Tensor:
        """Scores (B, K) with the entries' tensors in place of what `embed` gives; `tensors` are the inputs."""
        tensors = list(tensors)
        injected: dict[int, tuple[Any, dict[int, Tensor]]] = {}
        for entry, tensor in zip(self.anatomy.entries, entries, strict=True):
            if entry.layer is None:
                tensors[entry.input] = tensor
            else:
                injected.setdefault(id(entry.layer), (entry.layer, {}))[1][entry.call] = tensor
        with ExitStack() as stack:
            for layer, by_call in injected.values():
                stack.enter_context(layers.replaced(layer, _injector(by_call)))
            return self.forward(tensors)

    def compiled(self, key: Any, make: Callable[[], Callable[..., Any]]) -> Callable[..., Any]:
        """The compiled form of the function that `make` gives, kept on this model under `key`."""
        if key not in self._compiled:
            if self._differentiable:
                self._compiled[key] = self.backend.compile(make(), self.variables)
            else:
                self._compiled[key] = _plainly(make())
        return self._compiled[key]

    def in_chunks(self, kind: Any, step: Callable[..., Any], examples: Sequence[Array], each: int = 1) -> Any:
        """Run a compiled step over examples in chunks of a measured size; `each` is the rows it makes of one."""
        if self._sizes is None:
            self._sizes = chunks.ChunkSizes(4 * 2 * self.anatomy.activations)
        rows = self._sizes.rows((kind, each), step, examples, each)
        return chunks.run(step, examples, each, rows, pad=self.backend.static_shapes)

    def require_gradient(self, method: str) -> None:
        """Raise if the model cannot be differentiated."""
        if not self._differentiable:
            raise NotDifferentiable(
                f"{method} needs gradients, but the callable {self.name} gives NumPy arrays; write it in keras.ops, or "
                "use a method that only needs outputs: Occlusion, PermutationShapley"
            )

    # -- looking at the model once -------------------------------------------------------------------------------

    def _examine(self, arrays: Sequence[Array]) -> None:
        one = [a[:1] for a in arrays]
        try:
            self._differentiable = self.is_torch or self.is_keras or self._takes_tensors(one)
            found, calls = self._run_recorded(one)
        except PellucidError:
            raise
        except Exception as problem:
            shapes = ", ".join(str(a.shape) for a in arrays)
            first = str(problem).strip().splitlines()[0] if str(problem).strip() else type(problem).__name__
            raise InvalidInput(f"{self.name} could not be run on inputs of shape {shapes}: {first}") from problem
        calls = [c for c in calls if _is_settled(c)]
        outputs = _flat(found)
        if any(np.ndim(to_array(o)) == 0 or len(to_array(o)) != 1 for o in outputs):
            raise InvalidInput(f"{self.name} must give one row an example: one example gave shape {np.shape(found)}")
        softened, how = _final_softening(outputs, calls)
        sizes = [int(np.prod(np.shape(o))) for call in calls for o in _flat(call.output)]
        width = sum(int(np.prod(np.shape(o))) for o in outputs)
        self._anatomy = Anatomy(
            output="logits", softened=(), entries=_entries(one, calls), width=width,
            activations=max(sum(sizes), 8 * sum(a[0].size for a in arrays)),
        )  # fmt: skip
        kind = self._kind(arrays, how, width)
        if self._asked == "probabilities":
            softened = []
        note = f"the final {how} was taken off: scores are logits" if softened else ""
        wide = 2 if kind == "probabilities" and width == 1 else width
        self._anatomy = Anatomy(
            kind, tuple(softened), self._anatomy.entries, wide, self._anatomy.activations, note,
            multilabel=how == "sigmoid" and width > 1 and self._asked == "auto",
        )  # fmt: skip
        self._compiled.clear()

    def _takes_tensors(self, one: Sequence[Array]) -> bool:
        """Whether a callable gives a tensor when given one, so that it can be traced and differentiated."""
        from keras import ops

        def slope(*tensors: Tensor) -> Tensor:
            """Traced, so that a NumPy call anywhere on the way is refused instead of cutting the gradient short."""

            def total(*given: Tensor) -> tuple[Tensor, Tensor]:
                found = _flat(self._call(given))[0]
                if not ops.is_tensor(found):
                    raise TypeError("the callable gives no tensor")
                return ops.sum(found), found

            return self.backend.gradient(total, tensors)[0]

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # NumPy's functions warn of some tensors before they refuse them
                self.backend.compile(slope, [])(*[a.astype(np.float32) for a in one])
                return True
        except Exception:  # a NumPy function refuses tensors in its own way; it is then run on arrays
            return False

    def _run_recorded(self, one: Sequence[Array]) -> tuple[Any, list[layers.Called]]:
        from keras import ops

        if not (self.is_torch or self.is_keras):
            given = [ops.convert_to_tensor(a) for a in one] if self._differentiable else list(one)
            return self._call(given), []
        kept: list[Any] = []

        def recording(*tensors: Tensor) -> Tensor:
            with layers.recorded(self.native) as calls:
                kept.append((self._call(tensors), calls))
            return tensors[0]

        if self.backend.name == "torch":
            self.backend.compile(recording, [])(*one)  # without recording gradients
        else:
            if self.is_keras and not self.native.built:
                self._call([ops.convert_to_tensor(a) for a in one])
            recording(*[ops.convert_to_tensor(a) for a in one])
        return kept[0]

    def _kind(self, arrays: Sequence[Array], softened: str, width: int) -> str:
        if self._asked != "auto":
            return self._asked
        if softened:
            return "logits"
        loss = _loss_name(self.native)
        if "crossentropy" in loss or "hinge" in loss:
            return "logits"
        if loss:
            return "value"
        sample = self.outputs_of(tuple(a[:32] for a in _as_taken(arrays, self.anatomy)), soft=True)
        if width > 1 and np.all(sample >= 0) and np.allclose(sample.sum(1), 1, atol=1e-4):
            return "probabilities"
        return "value" if width == 1 else "logits"


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


def to_array(tensor: Any) -> Array:
    """A tensor, variable or array of any framework, as a NumPy array."""
    if hasattr(tensor, "assign") and not callable(getattr(tensor, "value", None)):  # a Keras variable
        return to_array(getattr(tensor, "value", None))
    if hasattr(tensor, "detach"):
        return tensor.detach().cpu().numpy()
    if hasattr(tensor, "numpy"):
        return tensor.numpy()
    return np.asarray(tensor)


def to_probabilities(scores: Floats, output: str) -> Floats:
    """Class probabilities (B, K) of scores of the given kind."""
    from scipy.special import expit, softmax

    scores = scores.astype(np.float64)
    if output == "logits":
        return np.column_stack([expit(-scores), expit(scores)]) if scores.shape[1] == 1 else softmax(scores, axis=1)
    return scores


def _flat(outputs: Any) -> list[Any]:
    if isinstance(outputs, Mapping):
        return [o for value in outputs.values() for o in _flat(value)]
    if isinstance(outputs, list | tuple):
        return [o for value in outputs for o in _flat(value)]
    return [outputs]


def _is_settled(call: layers.Called) -> bool:
    """Whether a call gave one tensor with values (a cell inside a scanned loop gives none, or several)."""
    try:
        return to_array(call.output).dtype != object
    except Exception:  # each framework has an error of its own for a tensor without a value
        return False


def _plainly(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of a callable that only takes arrays, with arrays out; the rest of it may still be keras.ops."""

    def run(*arrays: Array) -> Any:
        found = function(*arrays)
        return tuple(map(to_array, found)) if isinstance(found, tuple) else to_array(found)

    return run


def _injector(by_call: Mapping[int, Tensor]) -> Callable[[layers.Call], layers.Call]:
    def make(original: layers.Call) -> layers.Call:
        count = iter(range(10**9))

        def call(*inputs: Any, **options: Any) -> Any:
            i = next(count)
            return by_call[i] if i in by_call else original(*inputs, **options)

        return call

    return make


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


def _final_softening(outputs: Sequence[Any], calls: Sequence[layers.Called]) -> tuple[list[tuple[Any, str]], str]:
    """The layers that end in a softmax or sigmoid whose result is an output of the model, and which it was."""
    found, name = [], ""
    for output in outputs:
        value = to_array(output)
        made = [c for c in calls if np.shape(c.output) == value.shape and np.array_equal(to_array(c.output), value)]
        if not made:
            continue
        layer = made[-1].layer
        own, function = type(layer).__name__, getattr(getattr(layer, "activation", None), "__name__", "")
        if own in {"Softmax", "Sigmoid"}:
            found.append((layer, "call"))
            name = own.lower()
        elif function in {"softmax", "sigmoid"}:
            found.append((layer, "activation"))
            name = function
    return found, name


def _entries(one: Sequence[Array], calls: Sequence[layers.Called]) -> tuple[Entry, ...]:
    found, counts = [], {}
    for call in calls:
        if type(call.layer).__name__ != "Embedding":
            continue
        number = counts[id(call.layer)] = counts.get(id(call.layer), -1) + 1
        given = to_array(call.inputs[0])
        found += [
            Entry(i, call.layer, number)
            for i, a in enumerate(one)
            if a.shape == given.shape and np.array_equal(given, a.astype(given.dtype))
        ][:1]
    embedded = {entry.input for entry in found}
    return tuple(sorted([*found, *(Entry(i) for i in range(len(one)) if i not in embedded)], key=lambda e: e.input))


def _as_taken(arrays: Sequence[Array], anatomy: Anatomy) -> list[Array]:
    tokens = {entry.input for entry in anatomy.entries if entry.layer is not None}
    return [a.astype(np.int32 if i in tokens else np.float32) for i, a in enumerate(arrays)]


def _loss_name(native: Any) -> str:
    loss = getattr(native, "loss", None) if getattr(native, "compiled", False) else None
    name = loss if isinstance(loss, str) else getattr(loss, "__name__", None) or type(loss).__name__
    return "" if loss is None else name.lower().replace("_", "")


def _input_names(native: Any) -> tuple[str, ...] | None:
    """Names of a functional model's inputs where it has several."""
    try:
        inputs = native.inputs
    except (AttributeError, ValueError):
        return None
    if not inputs or len(inputs) == 1:
        return None
    return tuple(i.name for i in inputs)


def _packed(native: Any, names: tuple[str, ...] | None, tensors: Sequence[Tensor]) -> Any:
    """Tensors in the structure a Keras model takes."""
    if names is None:
        return tensors[0]
    if _input_names(native) is None:  # a subclassed model that is given a dict
        return dict(zip(names, tensors, strict=True))
    import keras

    return keras.tree.pack_sequence_as(native._inputs_struct, list(tensors))


def _numbers(name: str, given: Any) -> Array:
    try:
        array = np.asarray(given)
    except ValueError as problem:
        raise InvalidInput(f"{name}: the examples have different shapes: {problem}") from problem
    if array.dtype.kind == "b":
        array = array.astype(np.float32)
    if array.dtype.kind not in "iuf":
        raise InvalidInput(f"{name}: expected numbers, got {array.dtype}; encode text and categories as numbers first")
    if array.ndim == 0 or array.shape[0] == 0:
        raise InvalidInput(f"{name}: expected at least one example along the first axis, got shape {array.shape}")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        count = int((~np.isfinite(array)).sum())
        raise InvalidInput(f"{name}: {count} values are NaN or infinite, the first at {where}; impute or drop them")
    return array


def _check_shapes(native: Any, names: tuple[str, ...] | None, arrays: Sequence[Array]) -> None:
    try:
        expected = [tuple(i.shape) for i in native.inputs]
    except (AttributeError, TypeError, ValueError):  # a subclassed model states no shapes
        return
    for name, shape, array in zip(names or ("x",), expected, arrays, strict=True):
        fits = len(shape) == array.ndim and all(s in (None, a) for s, a in zip(shape[1:], array.shape[1:], strict=True))
        if not fits:
            wanted = ", ".join(["B", *("any" if s is None else str(s) for s in shape[1:])])
            hint = "; for a single example give x[None]" if array.ndim == len(shape) - 1 else ""
            raise InvalidInput(f"{name}: the model takes ({wanted}), got {array.shape}{hint}")
