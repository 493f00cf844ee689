"""Memory held above the model while 100,000 rows of 30 columns are explained.

Usage: python -m benchmarks.memory [--rows 100000]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

from benchmarks import machine
from benchmarks.process import ROOT, environment
from benchmarks.run import prepared, work_folder

LIMIT_MIB = 1024
BACKENDS = ("tensorflow", "jax", "torch")


def resident() -> float:
    """The most memory this process has held so far, in MiB."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (2**20 if sys.platform == "darwin" else 2**10)


def explain(rows: int) -> dict[str, float]:
    """Explain `rows` rows in this process; memory before is that of the model, ready to run, and of the data."""
    import numpy as np

    import pellucid as pl
    from benchmarks.cases import load, table

    chance, known = np.random.default_rng(0), table()[0]
    x = known[chance.integers(0, len(known), rows)] + 0.1 * chance.normal(size=(rows, 30)).astype(np.float32)
    model, method = pl.wrap(load("table", work_folder()).model()), pl.IntegratedGradients()
    pl.explain(model, x[:64], method, progress=False)
    before, start = resident(), time.perf_counter()
    found = pl.explain(model, x, method, progress=False)
    return {
        "mib": resident() - before, "model_mib": before, "seconds": time.perf_counter() - start,
        "evaluations": int(found.evaluations.sum()), "converged": float(found.converged.mean()),
    }  # fmt: skip


def main() -> None:
    """Measure each backend in a process of its own, and write `results/memory.json`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--here", action="store_true", help="measure in this process, on the backend it runs")
    args = parser.parse_args()
    if args.here:
        print(json.dumps(explain(args.rows)))
        return
    prepared("table", work_folder())
    lines = ["| | above the model, MiB (limit 1,024) | seconds | gradients | converged |", "|:--|--:|--:|--:|--:|"]
    for backend in BACKENDS:
        command = [sys.executable, "-m", "benchmarks.memory", "--here", "--rows", str(args.rows)]
        told = subprocess.run(command, cwd=ROOT, env=environment(backend), capture_output=True, text=True, check=True)
        found = json.loads(told.stdout.splitlines()[-1])
        lines.append(
            f"| {backend} | {found['mib']:.0f} | {found['seconds']:.1f} | {found['evaluations']:,} | {found['converged']:.1%} |"
        )
    title = f"Memory: IntegratedGradients of {args.rows:,} rows of 30 columns"
    result = {"title": title, "machine": machine.describe(), "table": lines}
    (Path(__file__).parent / "results" / "memory.json").write_text(json.dumps(result, indent=1) + os.linesep)
    print("\n".join(lines))


if __name__ == "__main__":
    main()
