"""What every attribution method owes, as functions to run on your own.

    from pellucid.testing import METHOD_CONTRACTS

    @pytest.mark.parametrize("contract", METHOD_CONTRACTS)
    def test_contract(contract):
        contract(MyMethod())

Each raises `ContractBroken` with what was expected and what came.
"""

from __future__ import annotations

import random
import tempfile
from functools import cache
from typing import Any

import numpy as np

import pellucid as pl
from pellucid.errors import InvalidInput, PellucidError
from pellucid.shapes import Array


class ContractBroken(PellucidError, AssertionError):
    """A method does not keep what every method of its kind promises."""


@cache
def _model() -> pl.Model:
    """A smooth classifier of 5 columns into 3 classes with fixed weights, the same on every backend."""
    import keras

    net = keras.Sequential([keras.Input((5,)), keras.layers.Dense(8, activation="tanh"), keras.layers.Dense(3)])
    draw = np.random.default_rng(7)
    net.set_weights([draw.normal(size=w.shape).astype(np.float32) for w in net.get_weights()])
    return pl.wrap(net)


def _rows(count: int = 6) -> Array:
    return np.random.default_rng(3).normal(size=(count, 5)).astype(np.float32)


def _close(what: str, found: Array, expected: Array, tolerance: float = 1e-5) -> None:
    if found.shape != expected.shape:
        raise ContractBroken(f"{what}: expected shape {expected.shape}, got {found.shape}")
    far = float(np.max(np.abs(found - expected))) if found.size else 0.0
    if not far <= tolerance * max(1.0, float(np.max(np.abs(expected)))):
        raise ContractBroken(f"{what}: values differ by up to {far:.3g}")


def same_seed_same_result(method: Any) -> None:
    """The same call with the same seed gives the same numbers, to the last bit."""
    model, x = _model(), _rows()
    first, second = (pl.explain(model, x, method, seed=5).values for _ in range(2))
    _close("two calls with one seed", second, first, 0.0)


def random_state_untouched(method: Any) -> None:
    """Nobody else's random numbers change: Python's, NumPy's, Keras's."""
    import keras

    def drawn() -> list[float]:
        random.seed(1)
        np.random.seed(1)
        keras.utils.set_random_seed(1)
        if used:
            pl.explain(model, x, method, seed=5)
        return [random.random(), float(np.random.random()), float(keras.random.uniform(()))]

    model, x, used = _model(), _rows(2), False
    before = drawn()
    used = True
    _close("random numbers drawn after a call", np.array(drawn()), np.array(before), 0.0)


def batch_does_not_matter(method: Any) -> None:
    """An example explained alone gets what it gets among others, in any order."""
    model, x = _model(), _rows()
    together = pl.explain(model, x, method, seed=5).values
    _close("one example alone", pl.explain(model, x[2:3], method, seed=5).values, together[2:3])
    _close("examples in reverse", pl.explain(model, x[::-1], method, seed=5).values, together[::-1])


def number_types(method: Any) -> None:
    """float64, read-only and whole-number inputs give what float32 gives; inputs are not written to."""
    model, x = _model(), np.round(_rows() * 2)
    expected = pl.explain(model, x, method, seed=5).values
    for kind in (np.float64, np.int64):
        given = x.astype(kind)
        given.flags.writeable = False
        _close(f"{np.dtype(kind)} inputs", pl.explain(model, given, method, seed=5).values, expected)


def few_examples(method: Any) -> None:
    """One example works; none is an error that says so."""
    model = _model()
    found = pl.explain(model, _rows(1), method)
    if found.values.shape != (1, 5) or not np.isfinite(found.values).all():
        raise ContractBroken(f"one example: expected finite values (1, 5), got {found.values!r}")
    try:
        pl.explain(model, np.zeros((0, 5), np.float32), method)
    except InvalidInput:
        return
    raise ContractBroken("no examples: expected InvalidInput")


def record_round_trip(method: Any) -> None:
    """A saved explanation comes back equal, its method with it."""
    found = pl.explain(_model(), _rows(2), method)
    with tempfile.TemporaryDirectory() as folder:
        again = pl.load(found.save(folder))
    if again != found or again.method != method:
        raise ContractBroken("a saved explanation came back different")


def says_what_it_cost(method: Any) -> None:
    """Evaluations, seconds, seed, versions and fingerprints are in the record."""
    found = pl.explain(_model(), _rows(3), method, seed=9)
    p = found.provenance
    if not (p.seed == 9 and p.evaluations >= 3 and p.seconds > 0 and p.model and p.inputs and p.versions["pellucid"]):
        raise ContractBroken(f"incomplete provenance: {p}")
    if found.evaluations.shape != (3,) or found.converged.shape != (3,):
        raise ContractBroken("evaluations and converged: expected one an example")


def completeness(method: Any) -> None:
    """Where `gap` is given, it is the truth, and small against the change of score it splits up."""
    model, x = _model(), _rows()
    found = pl.explain(model, x, method, target=1)
    if found.gap is None:
        return
    start = 0.0 if found.baseline is None else model.scores(found.baseline)[:, 1]
    missed = np.abs(found.values.sum(1) - (model.scores(x)[:, 1] - start))
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
