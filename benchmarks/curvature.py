"""The top five eigenvalues and the trace of a CNN's Hessian, beside curvlinops and PyHessian: errors, products, seconds.

Products with the Hessian are the cost that no machine changes. Each library has its own default or the tolerance named here.

Usage: python -m benchmarks.curvature [--peers PYTHON] [--rows 2000]

PYTHON is an interpreter with torch, curvlinops-for-pytorch and pyhessian; without it only Pellucid is measured.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

SIDE, CLASSES, TOP, TOLERANCE = 28, 10, 5, 0.05
"""Images of 28 x 28; errors are shares of the largest eigenvalue, and of the trace."""


def cnn() -> Any:
    """A CNN of about 100,000 weights."""
    import keras

    layers = keras.layers
    return keras.Sequential([
        keras.Input((SIDE, SIDE, 1)), layers.Conv2D(16, 3, activation="relu"), layers.MaxPooling2D(),
        layers.Conv2D(32, 3, activation="relu"), layers.MaxPooling2D(), layers.Flatten(),
        layers.Dense(112, activation="relu"), layers.Dense(CLASSES, name="logits"),
    ])  # fmt: skip


def prepare(folder: Path, rows: int) -> None:
    """Train the CNN, and leave its weights and the rows."""
    import keras

    from benchmarks.cases import images

    x, y = images()
    keras.utils.set_random_seed(0)
    net = cnn()
    net.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    net.fit(x[-6000:], y[-6000:], epochs=3, batch_size=64, verbose=0)
    np.savez(folder / "rows.npz", x=x[:rows], y=y[:rows])
    np.savez(folder / "weights.npz", *net.get_weights())


def pellucid(folder: Path) -> list[dict[str, Any]]:
    """By `Curvature`, as it comes; and to a thousandth, for the truth."""
    import pellucid as pl

    net, data = cnn(), np.load(folder / "rows.npz")
    net.set_weights([w for _, w in sorted(np.load(folder / "weights.npz").items(), key=lambda item: int(item[0][4:]))])
    model, rows = pl.wrap(net, output="logits"), (data["x"], data["y"])
    told = []
    for name, options in (
        ("Pellucid", {"tolerance": TOLERANCE}),
        ("truth", {"tolerance": 1e-4, "probes": 300, "steps": 100}),
    ):
        asked = pl.Curvature(top=TOP, also=("trace",), most=len(rows[1]), **options)
        start = time.perf_counter()
        (found,) = pl.measure(model, asked, train=rows)
        told.append({
            "name": name, "seconds": time.perf_counter() - start, "products": found.provenance.evaluations / len(rows[1]),
            "values": [e["value"] for e in found.detail["eigenvalues"]], "trace": found.detail["trace"]["value"],
        })  # fmt: skip
    return told


def peers(folder: Path) -> list[dict[str, Any]]:
    """By curvlinops (scipy's Lanczos, Hutchinson's trace) and PyHessian, on the torch twin."""
    import torch
    from torch import nn

    data = np.load(folder / "rows.npz")
    w = [v for _, v in sorted(np.load(folder / "weights.npz").items(), key=lambda item: int(item[0][4:]))]
    net = nn.Sequential(
        nn.Conv2d(1, 16, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(800, 112), nn.ReLU(), nn.Linear(112, CLASSES),
    )  # fmt: skip
    dense = w[4].reshape(5, 5, 32, 112).transpose(2, 0, 1, 3).reshape(800, 112)  # channels come first here
    turned = [w[0].transpose(3, 2, 0, 1), w[1], w[2].transpose(3, 2, 0, 1), w[3], dense.T, w[5], w[6].T, w[7]]
    with torch.no_grad():
        for parameter, value in zip(net.parameters(), turned, strict=True):
            parameter.copy_(torch.as_tensor(np.ascontiguousarray(value)))
    x, y = torch.as_tensor(data["x"].transpose(0, 3, 1, 2).copy()), torch.as_tensor(data["y"]).long()
    return [_curvlinops(net, x, y), _pyhessian(net, x, y)]


def _curvlinops(net: Any, x: Any, y: Any) -> dict[str, Any]:
    import torch
    from curvlinops import HessianLinearOperator, hutchinson_trace
    from scipy.sparse.linalg import LinearOperator, eigsh

    batches = list(zip(x.split(500), y.split(500), strict=True))
    params = [p for p in net.parameters() if p.requires_grad]
    start = time.perf_counter()
    operator = HessianLinearOperator(net, torch.nn.CrossEntropyLoss(), params, batches, check_deterministic=False)
    flat, made = operator.to_scipy() if hasattr(operator, "to_scipy") else operator, []

    def product(v: Any) -> Any:
        made.append(v.shape)
        return flat @ v

    counted = LinearOperator(flat.shape, product, dtype=flat.dtype)
    values = eigsh(counted, k=TOP, which="LA", tol=TOLERANCE, return_eigenvectors=False)
    draws = [float(hutchinson_trace(operator, num_matvecs=1)) for _ in range(16)]
    short = 2.13 * np.std(draws, ddof=1) / 4 / (TOLERANCE * np.mean(draws))
    draws += [
        float(hutchinson_trace(operator, num_matvecs=1)) for _ in range(16, min(400, int(np.ceil(16 * short**2))))
    ]
    seconds = time.perf_counter() - start
    return {"name": "curvlinops", "seconds": seconds, "products": len(made) + len(draws), "values": sorted(values.tolist())[::-1],
            "trace": float(np.mean(draws)), "probes": len(draws)}  # fmt: skip


def _pyhessian(net: Any, x: Any, y: Any) -> dict[str, Any]:
    import torch
    from pyhessian import hessian

    made: list[int] = []

    class Counted(hessian):
        def dataloader_hv_product(self, v: Any) -> Any:
            made.append(1)
            return super().dataloader_hv_product(v)

    start = time.perf_counter()
    found = Counted(
        net, torch.nn.CrossEntropyLoss(), dataloader=list(zip(x.split(500), y.split(500), strict=True)), cuda=False
    )
    values, _ = found.eigenvalues(maxIter=100, tol=1e-3, top_n=TOP)
    draws = found.trace(maxIter=400, tol=1e-2)
    seconds = time.perf_counter() - start
    return {"name": "PyHessian", "seconds": seconds, "products": len(made), "values": sorted(values)[::-1],
            "trace": float(np.mean(draws)), "probes": len(draws)}  # fmt: skip


def main() -> None:
    """Prepare, let each compute by itself, and tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", help="the interpreter with the peers")
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--work", type=Path, help="how the parts of this benchmark call each other")
    asked = parser.parse_args()
    if asked.work:
        print("FOUND " + json.dumps((pellucid if asked.peers == "pellucid" else peers)(asked.work)))
        return
    from benchmarks import machine

    told: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder), asked.rows)
        for who, python in (("pellucid", sys.executable), ("peers", asked.peers)):
            if python:
                command = [python, "-m", "benchmarks.curvature", "--peers", who, "--work", folder]
                done = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ))
                lines = [line for line in done.stdout.splitlines() if line.startswith("FOUND ")]
                told += json.loads(lines[0][6:]) if lines else [{"name": who, "failed": done.stderr[-2000:]}]
    truth = next(t for t in told if t["name"] == "truth")
    for t in told:
        if "failed" in t:
            print(t["name"], t["failed"])
            continue
        t["error"] = float(np.max(np.abs(np.subtract(t["values"], truth["values"]))) / truth["values"][0])
        t["trace_error"] = abs(t["trace"] / truth["trace"] - 1)
        off = f"eigenvalues off by {100 * t['error']:.2g} %, trace by {100 * t['trace_error']:.2g} %"
        print(f"{t['name']:12} {t['seconds']:7.1f} s, {t['products']:5.0f} products, {off}")
    record = {"machine": machine.describe(), "rows": asked.rows, "found": told}
    (Path(__file__).parent / "results" / "curvature.json").write_text(
        json.dumps(record, indent=1) + "\n", encoding="utf-8"
    )


if __name__ == "__main__":
    main()
