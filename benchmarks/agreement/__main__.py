"""Run every library on random models of every kind, compare their numbers, and write down who is right.

Usage: python -m benchmarks.agreement [--methods ...] [--kinds ...] [--libraries ...] [--work FOLDER]

Every library runs in a process of its own, with the same weights, inputs, classes and baselines. What was computed before
is kept in the work folder: `--libraries captum --methods gamma` computes that much again and writes the whole table. A
library whose environment is missing (`make peers` makes it) is left out.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import machine
from benchmarks.agreement import table
from benchmarks.agreement.judge import Judge, Maps
from benchmarks.agreement.kinds import KINDS
from benchmarks.agreement.rows import ROWS
from benchmarks.agreement.samples import load
from benchmarks.process import ROOT, environment, interpreter
from benchmarks.run import say

RESULT = Path(__file__).parents[1] / "results" / "agreement.json"
OURS, TRUTH = "pellucid-tensorflow", "definition"
PEERS = ".venv-peers-torch"

LIBRARIES: dict[str, tuple[str | None, str, tuple[str, ...]]] = {
    OURS: (None, "tensorflow", ("pellucid",)),
    "pellucid-jax": (None, "jax", ("pellucid",)),
    "pellucid-torch": (None, "torch", ("pellucid",)),
    "pellucid-module": (None, "torch", ("pellucid", "--module")),
    TRUTH: (PEERS, "torch", ("definition",)),
    "captum": (PEERS, "torch", ("captum",)),
    "zennit": (PEERS, "torch", ("zennit",)),
    "shap": (PEERS, "torch", ("shap",)),
}
"""The environment of each (None: the one that runs this), the framework of Keras there, and the words for its worker."""


FOUND = {"PYTHONPATH": str(ROOT / "src")}
"""The kinds of models are part of the package, which is installed in no environment of the peers."""

HURRIED = {"XLA_FLAGS": "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"}
"""JAX compiles everything here to run it once."""


def compute(libraries: Sequence[str], methods: Sequence[str], kinds: Sequence[str], work: Path) -> None:
    """Let each library write its maps into the work folder."""
    if not all((work / f"{kind}.npz").exists() for kind in KINDS):
        command = [sys.executable, "-m", "benchmarks.agreement.samples", str(work)]
        subprocess.run(command, cwd=ROOT, env=environment("tensorflow"), check=True)
    for name in libraries:
        venv, backend, (library, *options) = LIBRARIES[name]
        if not interpreter(venv).exists():
            say(f"{name}: left out, there is no {venv}")
            continue
        say(name)
        command = [
            str(interpreter(venv)),
            "-m",
            "benchmarks.agreement.worker",
            library,
            str(work),
            str(work / name),
            *options,
        ]
        with (work / f"{name}.log").open("w") as log:
            words = [*command, "--methods", *methods, "--kinds", *kinds]
            subprocess.run(words, cwd=ROOT, env=environment(backend) | HURRIED | FOUND, stderr=log, check=True)


def compared(work: Path) -> dict[str, Any]:
    """All comparisons, from what is in the work folder."""
    present = [name for name in LIBRARIES if (work / f"{name}.npz").exists()]
    maps: dict[str, Maps] = {name: dict(np.load(work / f"{name}.npz")) for name in present}
    told = {name: json.loads((work / f"{name}.json").read_text()) for name in present}
    found: dict[str, Any] = {"machine": machine.describe(), "versions": {n: t["versions"] for n, t in told.items()}}
    found["refusals"] = {name: t["refusals"] for name, t in told.items()}
    found["comparisons"] = [
        {"method": row.name, "kind": kind, "other": other, **one}
        for kind in KINDS
        for row in ROWS
        for other, one in _of_one(Judge.of(row, load(kind, work), maps.get(TRUTH, {})), f"{row.name}/{kind}", maps)
    ]
    return found


def _of_one(judge: Judge, key: str, maps: dict[str, Maps]) -> list[tuple[str, dict[str, Any]]]:
    if key not in maps[OURS]:
        return []
    ours = (OURS, maps[OURS][key])
    others = {name: held[key] for name, held in maps.items() if name != OURS and key in held}
    return [(name, judge.compare(ours, (name, found))) for name, found in others.items()]


def written(found: dict[str, Any]) -> str:
    """Results as JSON, a comparison a line."""
    lines = ",\n".join(json.dumps(one) for one in found["comparisons"])
    rest = json.dumps({**found, "comparisons": []}, indent=1)
    return rest.replace('"comparisons": []', f'"comparisons": [\n{lines}\n]') + "\n"


def main(given: Sequence[str] | None = None) -> None:
    """Compute, compare, and write `results/agreement.json` and `AGREEMENT.md`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--libraries", nargs="*", choices=list(LIBRARIES), default=list(LIBRARIES))
    parser.add_argument("--methods", nargs="+", choices=[r.name for r in ROWS], default=[r.name for r in ROWS])
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "pellucid-agreement")
    args = parser.parse_args(given)
    args.work.mkdir(parents=True, exist_ok=True)
    compute(args.libraries, args.methods, args.kinds, args.work)
    RESULT.write_text(written(compared(args.work)))
    table.write()


if __name__ == "__main__":
    main()
