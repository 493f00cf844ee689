"""The time of one modified backward pass beside that of an ordinary one.

Usage: python -m benchmarks.propagation [--repeats 5]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
from collections.abc import Iterator
from pathlib import Path

from benchmarks import machine
from benchmarks.cases import CASES, load
from benchmarks.plan import CHUNKS, MANY, Bench, Row, fastest
from benchmarks.process import CONTENDERS, Worker, affinity, interpreter
from benchmarks.run import measured, prepared, say, work_folder
from benchmarks.table import seconds

LIMIT = 3.0
"""How many ordinary passes a modified one may take."""

TITLES = {"layer_relevance": "LayerRelevance", "deep_lift": "DeepLift"}
OWN = {"tensorflow": "TensorFlow", "jax": "JAX", "torch": "PyTorch"}


def contenders() -> dict[str, str]:
    """Who takes part, with a title; xplique has none of these methods."""
    present = [
        c for c, (_, venv, _) in CONTENDERS.items() if interpreter(venv).exists() and c not in {"xplique", "floor"}
    ]
    return {c: c if c == "captum" else f"Pellucid, {OWN[CONTENDERS[c][2]]}" for c in present}


def rows(bench: Bench) -> list[Row]:
    """Bare passes; then, of everybody, the gradient and each method."""
    count, taking_part = MANY, contenders()
    sizes = [c for c in CHUNKS["floor", "gradients"] if c <= count] or [count]
    chunk = fastest(bench, "floor", "gradients", sizes, {"rows": count})
    found = [Row("bare TensorFlow pass", "floor", "gradients", {"rows": count, "chunk": chunk})]
    for name, title in taking_part.items():
        found.append(Row(f"{title}: Gradient", name, "gradient"))
        found += [
            Row(f"{title}: {t}", name, m)
            for m, t in TITLES.items()
            if not (name == "captum" and m == "layer_relevance")
        ]
    return found


def lines(name: str, repeats: int, work: Path) -> Iterator[str]:
    """One line a row of a case."""
    prepared(name, work)
    workers = {c: Worker(c, name, work) for c in (*contenders(), "floor")}
    try:
        bench = Bench(load(name, work), workers)
        told = rows(bench)
        found = measured(bench, told, MANY, repeats)
    finally:
        for worker in workers.values():
            worker.close()
    bare, own = min(found[0]), dict[str, float]()
    for row, spent in zip(told, found, strict=True):
        own.setdefault(row.contender, min(spent))
        spread = f"{seconds(statistics.median(spent))} ({seconds(min(spent))} to {seconds(max(spent))})"
        against = f"{min(spent) / own[row.contender]:.2f}" if row.contender != "floor" else ""
        yield f"| {CASES[name].title} | {row.label} | {spread} | {min(spent) / bare:.2f} | {against} |"


def main() -> None:
    """Measure the CNN and the MLP, and write `results/propagation.json`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    repeats, work = parser.parse_args().repeats, work_folder()
    work.mkdir(parents=True, exist_ok=True)
    affinity()
    table = [
        f"| | | seconds (least to most) | bare TensorFlow passes (limit {LIMIT:g}) | own gradients |", "|:--|:--|--:|--:|--:|",
    ]  # fmt: skip
    result = {"title": "One modified backward pass", "machine": machine.describe(), "table": table}
    for name in ("image", "table"):
        say(f"{name}: propagation")
        table += lines(name, repeats, work)
        text = json.dumps(result, indent=1) + os.linesep
        (Path(__file__).parent / "results" / "propagation.json").write_text(text)  # kept if the next one fails
    print("\n".join(table))


if __name__ == "__main__":
    main()
