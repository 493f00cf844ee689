"""Which method works on which kind of model: run, and compared with the table in the documentation.

`PELLUCID_WRITE_COVERAGE=1` writes what was found on this backend to docs/coverage.json in place of comparing it.
"""

import json
import os
from pathlib import Path

import keras
import numpy as np
import pytest

import pellucid as pl
from pellucid.core.registry import entries
from pellucid.errors import PellucidError
from pellucid.testing.kinds import KINDS, VOCABULARY

TABLE = Path(__file__).parents[2] / "docs" / "coverage.json"
BACKEND = keras.backend.backend()
EXACT = 1e-4
SHORTER = {"max_evaluations": 256}
"""Sampling is not what is tested here."""

OPTIONS = {
    "ExpectedGradients": {"background": True, **SHORTER},
    "DeepShap": {"background": True},
    "SmoothGrad": {"max_evaluations": 64},
    "PermutationShapley": {"max_evaluations": 1000},
    "Conductance": {"layer": "middle"},
    "InternalInfluence": {"layer": "middle"},
    "LayerActivation": {"layer": "middle"},
    "Xrai": {"scales": (100.0,)},
}
VARIANTS = {
    "LayerRelevance(Epsilon)": lambda: pl.LayerRelevance(pl.Epsilon()),
    "DeepLift(reveal_cancel)": lambda: pl.DeepLift("reveal_cancel"),
}


def draw(kind, count, seed):
    generator = np.random.default_rng(seed)
    made = {
        name: generator.integers(1, VOCABULARY, (count, *shape))
        if kind.tokens
        else generator.uniform(-1, 1, (count, *shape))
        for name, shape in kind.shapes.items()
    }
    return made if len(made) > 1 else next(iter(made.values()))


def model_of(kind):
    net, generator = kind.build(), np.random.default_rng(1)
    for variable in net.weights:
        fan = max(1, int(np.prod(variable.shape[:-1])))
        values = generator.normal(size=variable.shape) / np.sqrt(fan)
        variable.assign(np.abs(values) + 0.5 if "variance" in variable.path else values)
    return pl.wrap(net)


def methods(kind):
    for entry in entries("explain"):
        options = dict(OPTIONS.get(entry.name, {}))
        if options.get("background"):
            options["background"] = draw(kind, 4, 2)
        yield entry.name, lambda entry=entry, options=options: entry.load()(**options)
    yield from VARIANTS.items()


def outcome(model, kind, make):
    """ "exact", "within 3e-03" (the largest error or missing part of a sum), or why the method refuses."""
    try:
        e = pl.explain(model, draw(kind, 3, 3), make(), target=0, progress=False)
    except PellucidError as refusal:
        return f"{type(refusal).__name__}: {refusal}"
    maps = list(e.values.values()) if isinstance(e.values, dict) else [e.values]
    assert all(np.isfinite(m).all() for m in maps)
    size = sum(np.abs(m).reshape(len(m), -1).sum(1) for m in maps) + 1e-6
    missing = [e.error] if e.error is not None else [] if e.gap is None else [e.gap / size]
    far = max((float(np.max(m)) for m in missing), default=0.0)
    return "exact" if far <= EXACT else f"within {far:.0e}"


def family(told):
    return told.split(":")[0] if not told.startswith("within") else "within"


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_coverage_is_as_documented(kind):
    model = model_of(kind)
    found = {name: outcome(model, kind, make) for name, make in methods(kind)}
    table = json.loads(TABLE.read_text()) if TABLE.exists() else {}
    if os.environ.get("PELLUCID_WRITE_COVERAGE"):
        table.setdefault(BACKEND, {})[kind.name] = found
        TABLE.write_text(json.dumps(table, indent=1, sort_keys=True) + "\n")
        return
    known = table[BACKEND][kind.name]
    assert set(known) == set(found), "methods came or went: write the table again"
    for name, told in found.items():
        assert family(told) == family(known[name]), f"{name}: documented as {known[name]!r}, found {told!r}"
        if told.startswith("within"):
            assert float(told.split()[1]) <= 3 * float(known[name].split()[1])
