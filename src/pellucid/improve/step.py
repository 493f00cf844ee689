"""A step of training that a recipe changes: what it sees, what its loss is, and where that is evaluated.

The model of the user is trained inside another Keras model, which is given the labels as well and adds the loss itself. So
one piece of code serves every backend: what is differentiated, compiled and updated is left to Keras.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np

from pellucid.core import layers
from pellucid.core.attention import rows_each, sites, watched
from pellucid.core.dataset import Dataset
from pellucid.core.features import last_dense
from pellucid.core.loss_labels import labels
from pellucid.core.model import Model
from pellucid.errors import InvalidInput, NotApplicable
from pellucid.improve.base import Batch, Remedy, Seen, StepRemedy
from pellucid.improve.rows import Rows
from pellucid.shapes import Array, Tensor

LABEL, WEIGHT = "label_", "weight_"
"""Names of the inputs that hold the labels and the weights of examples."""


class Step:
    """The step of one model under a recipe.

    Args:
        model: The compiled Keras model.
        remedies: Those that change a step.
        train: The training data.
        seed: Decides what is drawn.
        weight: A weight for each training example (B,), or None.

    Raises:
        NotApplicable: The model computes its loss or its step by code of its own, or a remedy has no place in it.
    """

    def __init__(
        self, model: Any, remedies: Sequence[StepRemedy], train: Dataset, *, seed: int = 0, weight: Array | None = None
    ) -> None:
        _refuse_own_steps(model, remedies)
        self.native, self.inside, self.data, self.seed = model, Model(model), train, seed
        self.remedies = tuple(sorted(remedies, key=lambda r: (r.rank, r.slot)))
        one = self.inside.prepare(train.take(slice(0, 1)).x)
        self.rows = Rows(model, _width(model, remedies, train), soft=any(r.soft for r in remedies))
        self._refuse_ignored()
        self._refuse_whole_numbers()
        self._attends = any(r.attends for r in remedies)
        self._each = rows_each(self.inside, sites(self.inside, one), 2) if self._attends else 1
        featured = any(r.featured for r in remedies)
        self._last = last_dense(self.inside, one) if featured else None
        self._reads = {name: layers.find(model, name) for r in remedies for name in r.reads(self)}
        self._beside = {f"{r.slot}/{k}": np.asarray(a) for r in remedies for k, a in r.beside(train).items()}
        self._weight = {} if weight is None else {WEIGHT: np.asarray(weight, np.float32)}
        self.held = {r.slot: r.attach(self, train, seed) for r in remedies}
        self.model = _around(self)
        self.model.compile(**{**model._compile_config.config, "loss": None, "loss_weights": None})
        self.model(self.given(slice(0, 1)), training=False)

    # -- the data of a step ------------------------------------------------------------------------------------------

    def given(self, rows: Any = slice(None)) -> dict[str, Array]:
        """What the model around is fed: inputs, labels, weights, and what remedies have to know of each example."""
        own = self.data.x if isinstance(self.data.x, dict) else {"x": self.data.x}
        more = {LABEL: labels(self.native, self.data), **self._weight, **self._beside}
        if clash := set(own) & set(more):
            raise NotApplicable(f"an input of the model has the name {min(clash)!r}; give it another")
        return {name: array[rows] for name, array in {**own, **more}.items()}

    def batch(self, inputs: Mapping[str, Tensor]) -> Batch:
        """The batch of what the model around is fed."""
        beside: dict[str, dict[str, Tensor]] = {r.slot: {} for r in self.remedies}
        own: dict[str, Tensor] = {}
        for name, tensor in inputs.items():
            slot, _, key = name.partition("/")
            if name in self._beside:
                beside[slot][key] = tensor
            elif name not in (LABEL, WEIGHT):
                own[name] = tensor
        x = own if isinstance(self.data.x, dict) else own["x"]
        return Batch(x, self.rows.labels(inputs[LABEL]), inputs.get(WEIGHT), beside)

    # -- the loss of a step ------------------------------------------------------------------------------------------

    def run(self, x: Any, training: bool = True) -> Seen:
        """One run of the model."""
        weights: dict[str, Tensor] = {}
        with ExitStack() as stack:
            if self._attends:
                stack.enter_context(watched(self.inside, lambda seen: weights.update({seen.name: seen.weights})))
            found = {name: stack.enter_context(layers.read(layer)) for name, layer in self._reads.items()}
            fed = stack.enter_context(layers.fed(self._last)) if self._last is not None else [None]
            outputs = self.native(x, training=training)
        return Seen(outputs, weights, {name: tensors[-1] for name, tensors in found.items()}, features=fed[-1])

    def sloped(self, x: Any, score: Callable[[Tensor], Tensor], training: bool = True) -> Seen:
        """One run of the model, with the gradients of `score(outputs)` by the inputs; all of it can be differentiated again."""
        from keras import ops

        names: list[Any] = []

        def shifted(*shifts: Tensor) -> tuple[Tensor, Any]:
            seen, updates = self.aside(lambda: self._run_shifted(x, shifts, training))
            names[:] = seen.attention, seen.hidden  # a function that is differentiated gives tensors alone, in lists
            read = [list(seen.attention.values()), list(seen.hidden.values())]
            return score(seen.outputs), (seen.outputs, *read, seen.features, updates)

        still = [ops.zeros_like(t) for t in self.inside.embed(self._listed(x))]
        (outputs, *read, features, updates), slopes = self.inside.backend.gradient(shifted, still, again=True)
        if training:
            self.apply(*updates)
        attention, hidden = (dict(zip(n, r, strict=True)) for n, r in zip(names, read, strict=True))
        return Seen(outputs, attention, hidden, tuple(slopes), features)

    def _run_shifted(self, x: Any, shifts: Sequence[Tensor], training: bool) -> Seen:
        """One run of the model with shifts added to its inputs, to the embeddings of those that are tokens."""
        tensors = self._listed(x)
        inside: dict[int, tuple[Any, list[Tensor]]] = {}
        for entry, shift in zip(self.inside.anatomy.entries, shifts, strict=True):
            if entry.layer is None:
                tensors[entry.input] = tensors[entry.input] + shift
            else:
                inside.setdefault(id(entry.layer), (entry.layer, []))[1].append(shift)
        with ExitStack() as stack:
            for layer, by_call in inside.values():
                stack.enter_context(layers.shifted(layer, by_call, []))
            return self.run(
                dict(zip(self.inside.names or (), tensors, strict=True)) if isinstance(x, dict) else tensors[0],
                training,
            )

    def _listed(self, x: Any) -> list[Tensor]:
        return [x[name] for name in self.inside.names or ()] if isinstance(x, dict) else [x]

    def aside(
        self, work: Callable[[], Any], others: Mapping[int, Tensor] | None = None
    ) -> tuple[Any, tuple[list, list]]:
        """What `work` gives, the values it would give to what is not trained, and the losses its layers add: all put aside.

        What is differentiated may update nothing, and must give all that it computes.

        Args:
            work: What is done.
            others: Values of variables, by identity, in place of their own.
        """
        import keras

        state = [(v, (others or {}).get(id(v), v.value)) for v in self.model.variables]
        with keras.StatelessScope(state_mapping=state, collect_losses=True) as scope:
            result = work()
        return result, ([scope.get_current_value(v) for v in self._untrained], list(scope.losses))

    def apply(self, values: Sequence[Tensor], losses: Sequence[Tensor] = ()) -> None:
        """Give what is not trained its new values, and the model the losses of its layers, as `aside` found them."""
        for variable, value in zip(self._untrained, values, strict=True):
            variable.assign(value)
        for loss in losses:
            self.model.changed.add_loss(loss)

    @property
    def _untrained(self) -> list[Any]:
        trained = set(map(id, self.native.trainable_variables))
        return [v for v in self.model.variables if id(v) not in trained]

    def seen(self, batch: Batch, training: bool = True) -> Seen:
        """One run of the model on a batch, with slopes where a remedy wants them."""
        remedy = self.only("slope")
        if remedy is None:
            return self.run(batch.x, training)
        return self.sloped(batch.x, lambda outputs: remedy.slope(outputs, batch, self), training)

    def only(self, hook: str) -> StepRemedy | None:
        """The one remedy of the recipe that does something in a hook."""
        return next((r for r in self.remedies if r.acts(hook)), None)

    @property
    def _by_rows(self) -> StepRemedy | None:
        """A remedy for which the loss is taken example by example, in place of the compiled one; None: there is none."""
        return next((r for r in self.remedies if r.soft or r.acts("rows") or r.acts("combine")), None)

    def _refuse_ignored(self) -> None:
        """Raise where some examples would count that the compiled loss leaves out."""
        if self.rows.ignored is not None and (remedy := self._by_rows) is not None:
            raise NotApplicable(
                f"{type(remedy).__name__} changes the loss of each example, and the compiled loss leaves some out "
                f"(ignore_class={self.rows.ignored}): compile it without ignore_class, and leave those examples out of train or "
                "give them a sample_weight of 0"
            )

    def _refuse_whole_numbers(self) -> None:
        """Raise where a remedy differentiates by inputs that are whole numbers, and not by embeddings of them."""
        if (remedy := self.only("slope")) is None:
            return
        own = self.data.x if isinstance(self.data.x, dict) else {"x": self.data.x}
        names = self.inside.names or tuple(own)
        for name in [names[entry.input] for entry in self.inside.anatomy.entries if entry.layer is None]:
            taken = self._taken(name)
            if np.asarray(own[name]).dtype.kind != "f" or "int" in taken:
                raise InvalidInput(
                    f"{type(remedy).__name__} differentiates by the inputs: expected real numbers for {name}, got "
                    f"{np.asarray(own[name]).dtype} for a model that takes {taken}; convert {name} with "
                    f'{name}.astype("float32"), and have the model take float32 as well'
                )

    def _taken(self, name: str) -> str:
        """The type of numbers that an input of the model is cast to, as far as the model says."""
        declared = getattr(self.native, "inputs", None) or []
        found = [i.dtype for i in declared if len(declared) == 1 or i.name == name]
        return str(found[0]) if found else "any"

    def losses(self, y: Tensor, outputs: Tensor) -> Tensor:
        """The loss (B,) of each example: a remedy's, or the compiled one."""
        remedy = self.only("rows")
        found = self.rows.each(y, outputs) if remedy is None else remedy.rows(y, outputs, self.rows)
        return self.rows.weighed(found)

    def of_label(self, y: Tensor, outputs: Tensor) -> Tensor:
        """The score (B,) of each example's label: its log-probability, or the value of a regression."""
        from keras import ops

        if self.rows.kind == "other":
            return outputs[:, 0]
        return ops.sum(self.rows.shares(y, outputs) * self.rows.log_probabilities(outputs), axis=1)

    def data_loss(self, batch: Batch, seen: Seen) -> Tensor:
        """One number of the losses of a batch."""
        from keras import ops

        if self._by_rows is None:
            weight = None if batch.weight is None else ops.copy(batch.weight)  # on PyTorch Keras writes masks into it
            return self.native._compile_loss(batch.y, seen.outputs, weight)
        remedy = self.only("combine")
        losses = self.losses(batch.y, seen.outputs)
        if remedy is None:
            return self.rows.together(losses, batch.weight)
        return remedy.combine(losses, batch, seen, self, self.held[remedy.slot])

    def terms(self, batch: Batch, seen: Seen) -> dict[str, Tensor]:
        """The prices beside the data loss, by slot: (B,) or a scalar."""
        found = {r.slot: r.term(batch, seen, self) for r in self.remedies}
        return {slot: term for slot, term in found.items() if term is not None}

    def loss(self, batch: Batch) -> tuple[Tensor, Seen]:
        """Data loss and prices of a batch, and the run they are of."""
        from keras import ops

        seen = self.seen(batch)
        total = self.data_loss(batch, seen)
        for term in self.terms(batch, seen).values():
            total = total + ops.mean(term)
        return total, seen

    def work(self, inputs: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """The loss to be differentiated, and what the model gave."""
        batch = self.batch(inputs)
        for remedy in self.remedies:
            batch = remedy.change(batch, self, self.held[remedy.slot])
        if (remedy := self.only("evaluate")) is not None:
            return self._elsewhere(remedy, batch)
        total, seen = self.loss(batch)
        return total, seen.outputs

    def _elsewhere(self, remedy: StepRemedy, batch: Batch) -> tuple[Tensor, Tensor]:
        """The loss at other weights than the model's, as a function of the model's: their difference counts as constant."""
        from keras import ops

        variables = self.native.trainable_variables

        def at(weights: Sequence[Tensor]) -> tuple[Tensor, Any]:
            others = {id(v): w for v, w in zip(variables, weights, strict=True)}
            (total, seen), (values, losses) = self.aside(lambda: self.loss(batch), others)
            return sum(losses, total), (seen.outputs, values)

        weights = [v.value * 1 for v in variables]  # tensors, where TensorFlow has variables
        moved, (outputs, values) = remedy.evaluate(at, weights, self)
        total, _ = at([w + ops.stop_gradient(m - w) for w, m in zip(weights, moved, strict=True)])
        self.apply(values)
        return total, outputs

    # -- the log -----------------------------------------------------------------------------------------------------

    def amounts(self, rows: Array, batch: int) -> dict[str, float]:
        """What each price comes to on average over some rows of the training data, at the present weights."""
        if self.only("term") is None:
            return {}
        named = self.given(rows)
        names = list(named)
        slots: list[str] = self.inside.kept("priced slots", list)

        def priced(*tensors: Tensor) -> tuple[Tensor, ...]:
            from keras import ops

            given = self.batch(dict(zip(names, tensors, strict=True)))
            found = self.terms(given, self.seen(given, training=False))
            slots[:] = found
            return tuple(ops.broadcast_to(t, (given.size,)) for t in [*found.values(), ops.zeros(())])

        compiled = self.inside.compiled(("prices", tuple(names)), lambda: priced)
        size = max(1, min(batch, self.inside.comfortable // self._each))
        parts = [compiled(*(a[i : i + size] for a in named.values())) for i in range(0, len(rows), size)]
        columns = [np.concatenate(column) for column in zip(*parts, strict=True)][:-1]
        return {slot: float(c.mean(dtype=np.float64)) for slot, c in zip(slots, columns, strict=True)}


def keeping(**values: Any) -> Any:
    """A Keras layer that keeps arrays from step to step, under these names: what a remedy may `attach`."""
    import keras

    class Kept(keras.layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            for name, value in values.items():
                array = np.asarray(value)
                weight = self.add_weight(
                    shape=array.shape, dtype=str(array.dtype), initializer="zeros", trainable=False, name=name
                )
                weight.assign(array)
                setattr(self, name, weight)
            self.built = True

    return Kept()


def _width(model: Any, remedies: Sequence[Remedy], train: Dataset) -> int:
    """How many numbers a model puts out for an example.

    Raises:
        NotApplicable: It has several outputs.
    """
    outputs = model(train.take(slice(0, 1)).x, training=False)
    if isinstance(outputs, dict | list | tuple):
        told = (
            f"named {', '.join(map(str, outputs))}" if isinstance(outputs, dict) else f"in a {type(outputs).__name__}"
        )
        raise NotApplicable(
            f"{type(remedies[0]).__name__} changes the step of a model with one output, and {model.name} has {len(outputs)} "
            f"{told}; improve a keras.Model that puts out one tensor"
        )
    return int(outputs.shape[-1])


def _refuse_own_steps(model: Any, remedies: Sequence[Remedy]) -> None:
    """Raise where the model's class computes its loss or its step itself: what a remedy changes would not be its."""
    import keras

    for name in ("compute_loss", "train_step"):
        if getattr(type(model), name) is not getattr(keras.Model, name):
            raise NotApplicable(
                f"{type(remedies[0]).__name__} changes a step of training, but {type(model).__name__} has a {name} of its own; "
                "give its loss to compile(), or write the remedy into that method"
            )


def _around(step: Step) -> Any:
    import keras

    class Changed(keras.layers.Layer):
        """Gives what the model inside gives, and while training adds the loss of the recipe.

        On JAX, Keras trains by `call` of a model rather than `__call__`. A layer first called in there would count as the
        outermost, and each of its runs would forget the losses of the one before: this layer is the outermost on every backend.
        """

        def __init__(self) -> None:
            super().__init__(name=step.native.name, autocast=False)
            self.inside = step.native
            self.held = [h for h in step.held.values() if h is not None]
            self.built = True

        @property
        def metrics(self) -> list[Any]:
            """None: those of the model inside are its own, as Keras has it for models in models."""
            return []

        def call(self, inputs: Any, training: Any = None) -> Any:
            if not training:
                return self.inside(step.batch(inputs).x, training=False)
            total, outputs = step.work(inputs)
            self.add_loss(total)
            return outputs

    class Around(keras.Model):
        """Is trained in place of the model inside."""

        def __init__(self) -> None:
            super().__init__(name=step.native.name, autocast=False)
            self.changed = Changed()

        @property
        def inside(self) -> Any:
            """The model of the user."""
            return step.native

        def call(self, inputs: Any, training: Any = None) -> Any:
            return self.changed(inputs, training=training)

    return Around()
