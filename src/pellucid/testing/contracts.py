"""What every attribution method owes, as functions to run on your own.

    from pellucid.testing import IMAGE, METHOD_CONTRACTS

    @pytest.mark.parametrize("contract", METHOD_CONTRACTS)
    def test_contract(contract):
        contract(MyMethod())
        contract(MyMethodForImages(), IMAGE)

Each is tried on a `Case`, and raises `ContractBroken` with what was expected and what came.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

import pellucid as pl
from pellucid.errors import InvalidInput, PellucidError
from pellucid.shapes import Array


class ContractBroken(PellucidError, AssertionError):
    """A method does not keep what every method of its kind promises."""


@dataclass(frozen=True)
class Case:
    """What a contract is tried on: a smooth classifier into 3 classes, and examples for it.

    Attributes:
        name: What it is called.
        shape: The shape of one example.
        build: Makes the Keras model; its hidden layer is called "hidden". Its weights are then drawn, the same on every
            backend.
        tokens: How many tokens there are, where examples hold such; 0: examples are real numbers.
    """

    name: str
    shape: tuple[int, ...]
    build: Callable[[], Any]
    tokens: int = 0

    @cached_property
    def model(self) -> pl.Model:
        """The wrapped model, with fixed weights."""
        net, draw = self.build(), np.random.default_rng(7)
        spreads = [2 / np.sqrt(np.prod(w.shape[:-1])) for w in net.get_weights()]  # tanh neither flat nor a line
        net.set_weights([draw.normal(0, s, w.shape) for s, w in zip(spreads, net.get_weights(), strict=True)])
        return pl.wrap(net)

    def rows(self, count: int = 6) -> Array:
        """Examples (B, ...), the same at every call."""
        draw = np.random.default_rng(3)
        if self.tokens:
            return draw.integers(0, self.tokens, (count, *self.shape))
        return draw.normal(size=(count, *self.shape)).astype(np.float32)

    def whole(self) -> Array:
        """Examples of whole numbers."""
        return self.rows() if self.tokens else np.round(self.rows() * 2)


def _table() -> Any:
    import keras

    hidden = keras.layers.Dense(8, activation="tanh", name="hidden")
    return keras.Sequential([keras.Input((5,)), hidden, keras.layers.Dense(3)])


def _image() -> Any:
    import keras

    first, hidden = (
        keras.layers.Conv2D(size, 3, padding="same", activation="tanh", name=name)
        for size, name in ((4, "first"), (6, "hidden"))
    )
    head = [keras.layers.Flatten(), keras.layers.Dense(3)]
    return keras.Sequential([keras.Input((8, 8, 1)), first, keras.layers.AveragePooling2D(2), hidden, *head])


def _tokens() -> Any:
    import keras

    hidden = keras.layers.Conv1D(5, 3, padding="same", activation="tanh", name="hidden")
    head = [keras.layers.GlobalAveragePooling1D(), keras.layers.Dense(3)]
    return keras.Sequential([keras.Input((6,), dtype="int32"), keras.layers.Embedding(12, 4), hidden, *head])


TABLE = Case("table", (5,), _table)
"""Tables of 5 columns, a dense network."""

IMAGE = Case("image", (8, 8, 1), _image)
"""Grey images of 8 x 8 pixels, a convolutional network; "hidden" is its second convolution, on a grid of 4 x 4."""

TOKENS = Case("tokens", (6,), _tokens, tokens=12)
"""Sentences of 6 tokens out of 12, a convolution over their embeddings."""


def _close(what: str, found: Array, expected: Array, tolerance: float = 1e-5) -> None:
    if found.shape != expected.shape:
        raise ContractBroken(f"{what}: expected shape {expected.shape}, got {found.shape}")
    far = float(np.max(np.abs(found - expected))) if found.size else 0.0
    if not far <= tolerance * max(1.0, float(np.max(np.abs(expected)))):
        raise ContractBroken(f"{what}: values differ by up to {far:.3g}")


def same_seed_same_result(method: Any, case: Case = TABLE) -> None:
    """The same call with the same seed gives the same numbers, to the last bit."""
    model, x = case.model, case.rows()
    first, second = (pl.explain(model, x, method, seed=5).values for _ in range(2))
    _close("two calls with one seed", second, first, 0.0)


def random_state_untouched(method: Any, case: Case = TABLE) -> None:
    """Nobody else's random numbers change: Python's, NumPy's, Keras's."""
    import keras

    def drawn() -> list[float]:
        random.seed(1)
        np.random.seed(1)
        keras.utils.set_random_seed(1)
        if used:
            pl.explain(model, x, method, seed=5)
        return [random.random(), float(np.random.random()), float(keras.random.uniform(()))]

    model, x, used = case.model, case.rows(2), False
    before = drawn()
    used = True
    _close("random numbers drawn after a call", np.array(drawn()), np.array(before), 0.0)


def batch_does_not_matter(method: Any, case: Case = TABLE) -> None:
    """An example explained alone gets what it gets among others, in any order."""
    model, x = case.model, case.rows()
    together = pl.explain(model, x, method, seed=5).values
    _close("one example alone", pl.explain(model, x[2:3], method, seed=5).values, together[2:3])
    _close("examples in reverse", pl.explain(model, x[::-1], method, seed=5).values, together[::-1])


def number_types(method: Any, case: Case = TABLE) -> None:
    """float64, read-only and whole-number inputs give what float32 gives; inputs are not written to."""
    model, x = case.model, case.whole()
    expected = pl.explain(model, x, method, seed=5).values
    for kind in (np.float64, np.int64):
        given = x.astype(kind)
        given.flags.writeable = False
        _close(f"{np.dtype(kind)} inputs", pl.explain(model, given, method, seed=5).values, expected)


def few_examples(method: Any, case: Case = TABLE) -> None:
    """One example works; none is an error that says so."""
    found = pl.explain(case.model, case.rows(1), method)
    shape = (1, *(found.values.shape[1:] if found.hidden else case.shape))
    if found.values.shape != shape or not np.isfinite(found.values).all():
        raise ContractBroken(f"one example: expected finite values {shape}, got {found.values!r}")
    try:
        pl.explain(case.model, case.rows(0), method)
    except InvalidInput:
        return
    raise ContractBroken("no examples: expected InvalidInput")


def record_round_trip(method: Any, case: Case = TABLE) -> None:
    """A saved explanation comes back equal, its method with it."""
    found = pl.explain(case.model, case.rows(2), method)
    with tempfile.TemporaryDirectory() as folder:
        again = pl.load(found.save(folder))
    if again != found or again.method != method:
        raise ContractBroken("a saved explanation came back different")


def says_what_it_cost(method: Any, case: Case = TABLE) -> None:
    """Evaluations, seconds, seed, versions and fingerprints are in the record."""
    found = pl.explain(case.model, case.rows(3), method, seed=9)
    p = found.provenance
    if not (p.seed == 9 and p.evaluations >= 3 and p.seconds > 0 and p.model and p.inputs and p.versions["pellucid"]):
        raise ContractBroken(f"incomplete provenance: {p}")
    if found.evaluations.shape != (3,) or found.converged.shape != (3,):
        raise ContractBroken("evaluations and converged: expected one an example")


def completeness(method: Any, case: Case = TABLE) -> None:
    """Where `gap` is given, it is the truth, and small against the change of score it splits up."""
    model, x = case.model, case.rows()
    found = pl.explain(model, x, method, target=1)
    if found.gap is None:
        return
    start = 0.0 if found.baseline_output is None else found.baseline_output
    if found.baseline is not None:
        start = model.scores(found.baseline)[:, 1]
    missed = np.abs(found.values.reshape(len(x), -1).sum(1) - (model.scores(x)[:, 1] - start))
    _close("gap", found.gap, missed, 1e-4)
    if found.error is not None:
        _close("completeness", missed, np.zeros(len(x)), 0.05 * float(np.abs(found.values).sum()))


METHOD_CONTRACTS = (
    same_seed_same_result,
    random_state_untouched,
    batch_does_not_matter,
    number_types,
    few_examples,
    record_round_trip,
    says_what_it_cost,
    completeness,
)
"""Every contract of an attribution method."""
