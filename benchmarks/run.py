"""Measure Pellucid beside the bare model and beside captum and xplique, all in one run, and write it down.

Usage: python -m benchmarks.run [--cases image table tokens] [--methods ...] [--repeats 5] [--work FOLDER]

Every contender runs in its own process, is warmed up, and takes its turn in every round, so that what else the machine
does falls on all alike; ratios are of the least times. Needs the environments of `benchmarks/peers.sh`; a contender whose
environment is missing is left out, and the table says so.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import machine, table
from benchmarks.cases import CASES, load
from benchmarks.plan import PASSES, WITHOUT, Bench, Row, floor, rows
from benchmarks.process import CONTENDERS, ROOT, Worker, affinity, environment, interpreter

RESULTS = Path(__file__).parent / "results"


def say(text: str) -> None:
    """Tell the person who waits."""
    print(text, file=sys.stderr, flush=True)


def prepared(name: str, work: Path) -> None:
    """Train the case and compute its references, unless that was done before."""
    if not (work / f"{name}.npz").exists():
        say(f"{name}: training, and reference maps with 2,048 points (a few minutes, once)")
        command = [sys.executable, "-m", "benchmarks.prepare", name, str(work)]
        subprocess.run(command, cwd=ROOT, env=environment("tensorflow"), check=True)


def measured(bench: Bench, lines: Sequence[Row], count: int, repeats: int) -> list[list[float]]:
    """Seconds of every row in every round, each warmed up; rounds start at different rows."""
    for row in lines:
        bench.seconds(row, count)
    found: list[list[float]] = [[] for _ in lines]
    for turn in range(repeats):
        for i in range(len(lines)):
            at = (i + 2 * turn) % len(lines)
            found[at].append(bench.seconds(lines[at], count))
    return found


def single(bench: Bench, lines: Sequence[Row], repeats: int) -> list[list[float]]:
    """The same for one example, with the floor of one example."""
    lines = [lines[0], floor(bench, lines[0], 1), *lines[2:]]
    return measured(bench, lines, 1, repeats)


def summary(bench: Bench, row: Row, seconds: list[float], one: list[float], ours: list[float]) -> dict[str, Any]:
    """One row of the results."""
    errors = bench.errors(row)
    evaluations = (
        row.evaluations
        or bench.workers[row.contender].run(row.method, bench.examples(row.method), dict(row.options))["evaluations"]
    )
    return {
        "label": row.label, "contender": row.contender, "options": dict(row.options), "seconds": seconds,
        "median": statistics.median(seconds), "one_example": one, "one_median": statistics.median(one),
        "times_ours": min(seconds) / min(ours),
        "evaluations": evaluations or evaluations_of(bench, row),
        "error_median": None if errors is None else float(np.median(errors)),
        "error_95": None if errors is None else float(np.percentile(errors, 95)),
    }  # fmt: skip


def evaluations_of(bench: Bench, row: Row) -> int | None:
    """What a rule with a fixed number of points costs; None where it is not ours to say."""
    steps, samples = row.options.get("steps", 50), row.options.get("samples")
    each = {
        "integrated_gradients": steps, "conductance": steps + 1, "internal_influence": steps, "smooth_grad": samples,
        "expected_gradients": samples, "gradient": 1, "guided_backprop": 1, "grad_cam": 1,
    }.get(row.method)  # fmt: skip
    return each * bench.examples(row.method) if each else None


def bench_case(
    name: str, methods: Sequence[str], repeats: int, work: Path
) -> Iterator[tuple[str, list[dict[str, Any]], dict[str, Any]]]:
    """For every method on one case: its name, its rows, and the versions that ran."""
    prepared(name, work)
    present = [c for c, (_, venv, _) in CONTENDERS.items() if interpreter(venv).exists()]
    workers = {c: Worker(c, name, work) for c in present}
    bench = Bench(load(name, work), workers)
    try:
        for method in (m for m in methods if m not in WITHOUT.get(name, ())):
            say(f"{name}: {method}, tuning")
            lines = rows(bench, method)
            say(f"{name}: {method}, measuring {len(lines)} rows, {repeats} rounds")
            seconds = measured(bench, lines, bench.examples(method), repeats)
            one = single(bench, lines, repeats)
            told = [summary(bench, r, s, o, seconds[0]) for r, s, o in zip(lines, seconds, one, strict=True)]
            yield method, told, {c: w.versions for c, w in workers.items()}
    finally:
        for worker in workers.values():
            worker.close()


def work_folder() -> Path:
    """Where trained cases are kept between runs: a new one when what makes them changes."""
    here = Path(__file__).parent
    digest = hashlib.sha256(b"".join((here / f).read_bytes() for f in ("cases.py", "prepare.py"))).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"pellucid-benchmarks-{digest}"


def main(given: Sequence[str] | None = None) -> None:
    """Run, write `results/peers.json` and the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--methods", nargs="+", choices=list(PASSES), default=list(PASSES))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--work", type=Path, default=work_folder(), help="where trained cases are kept")
    parser.add_argument("--out", type=Path, default=RESULTS / "peers.json")
    args = parser.parse_args(given)
    args.work.mkdir(parents=True, exist_ok=True)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    affinity()
    found: dict[str, Any] = {"machine": machine.describe(), "repeats": args.repeats, "versions": {}, "cases": {}}
    for name in args.cases:
        for method, told, versions in bench_case(name, args.methods, args.repeats, args.work):
            found["cases"].setdefault(name, {})[method] = told
            found["versions"] |= versions
            found["machine"]["load_after"] = [round(x, 2) for x in os.getloadavg()]
            text = json.dumps(found, indent=1) + os.linesep
            args.out.write_text(text)  # what was measured is kept if a later one fails
    print(table.summary_lines(found))
    if args.out.parent == RESULTS:
        table.write()


if __name__ == "__main__":
    main()
