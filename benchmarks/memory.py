"""Memory held above the model: while 100,000 rows of 30 columns are explained, and by maps that need a run a channel.

Usage: python -m benchmarks.memory [--rows 100000] [--channels 512]
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
from typing import Any

from benchmarks import machine
from benchmarks.process import ROOT, environment
from benchmarks.run import prepared, work_folder

LIMIT_MIB = 1024
BACKENDS = ("tensorflow", "jax", "torch")
IMAGES = 4
"""How many are explained by maps of channels; every one is run once for each channel."""


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


def explain_channels(channels: int) -> dict[str, dict[str, float]]:
    """Explain images by ScoreCam and AblationCam of a layer of so many channels, in this process."""
    import keras
    import numpy as np

    import pellucid as pl

    parts = [keras.layers.Conv2D(channels, 3, activation="relu", name="wide"), keras.layers.GlobalAveragePooling2D()]
    net = keras.Sequential([keras.Input((32, 32, 3)), *parts, keras.layers.Dense(10)])
    x, model, found = np.random.default_rng(0).random((IMAGES, 32, 32, 3), np.float32), pl.wrap(net), {}
    pl.explain(model, x, pl.GradCam("wide"), progress=False)
    before = (
        resident()
    )  # the most so far: what a later method holds no more than an earlier one is counted as the earlier's
    for method in (pl.AblationCam("wide"), pl.ScoreCam("wide")):
        start = time.perf_counter()
        pl.explain(model, x, method, progress=False)
        found[type(method).__name__] = {"mib": resident() - before, "seconds": time.perf_counter() - start}
    return found


def asked(backend: str, *words: str) -> dict[str, Any]:
    """What a process of its own says, on a backend."""
    command = [sys.executable, "-m", "benchmarks.memory", "--here", *words]
    told = subprocess.run(command, cwd=ROOT, env=environment(backend), capture_output=True, text=True, check=True)
    return json.loads(told.stdout.splitlines()[-1])


def write(name: str, title: str, lines: list[str]) -> None:
    """Keep a table."""
    result = {"title": title, "machine": machine.describe(), "table": lines}
    (Path(__file__).parent / "results" / f"{name}.json").write_text(json.dumps(result, indent=1) + os.linesep)
    print("\n".join(lines))


def measure_rows(rows: int) -> None:
    """The table of rows."""
    prepared("table", work_folder())
    lines = ["| | above the model, MiB (limit 1,024) | seconds | gradients | converged |", "|:--|--:|--:|--:|--:|"]
    for backend in BACKENDS:
        found = asked(backend, "--rows", str(rows))
        lines.append(
            f"| {backend} | {found['mib']:.0f} | {found['seconds']:.1f} | {found['evaluations']:,} | {found['converged']:.1%} |"
        )
    write("memory", f"Memory: IntegratedGradients of {rows:,} rows of 30 columns", lines)


def measure_channels(channels: int) -> None:
    """The table of channels."""
    lines = ["| | above the model, MiB (limit 1,024) | seconds |", "|:--|--:|--:|"]
    for backend in BACKENDS:
        for method, found in asked(backend, "--channels", str(channels)).items():
            lines.append(f"| {method}, {backend} | {found['mib']:.0f} | {found['seconds']:.1f} |")
    write("memory-channels", f"Memory: {IMAGES} images of 32 x 32 by maps of a layer of {channels:,} channels", lines)


def main() -> None:
    """Measure each backend in a process of its own, and write `results/memory.json` and `results/memory-channels.json`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, help="this table alone, of so many rows")
    parser.add_argument("--channels", type=int, help="this table alone, of so many channels")
    parser.add_argument("--here", action="store_true", help="measure in this process, on the backend it runs")
    args = parser.parse_args()
    if args.here:
        print(json.dumps(explain(args.rows) if args.rows else explain_channels(args.channels)))
        return
    if args.rows or not args.channels:
        measure_rows(args.rows or 100_000)
    if args.channels or not args.rows:
        measure_channels(args.channels or 512)


if __name__ == "__main__":
    main()
