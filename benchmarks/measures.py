"""The time of the measures that an audit makes of itself, on a table of 30,000 rows and 24 columns.

Usage: python -m benchmarks.measures [--rows 30000]
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np

from benchmarks import machine

LIMIT = 60.0
"""Seconds on two cores, for the measures together."""

COLUMNS = 24


def subject(rows: int) -> tuple[object, tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """A trained net of two layers, and its rows: four in five to train on."""
    import keras

    generator = np.random.default_rng(0)
    x = generator.normal(size=(rows, COLUMNS)).astype(np.float32)
    weights = generator.normal(size=COLUMNS)
    y = (x @ weights + x[:, 0] * x[:, 1] + generator.normal(size=rows) > 0).astype(int)
    keras.utils.set_random_seed(0)
    net = keras.Sequential(
        [keras.Input((COLUMNS,)), keras.layers.Dense(64, "relu"), keras.layers.Dense(1, "sigmoid", name="output")]
    )
    net.compile("adam", "binary_crossentropy")
    cut = rows * 4 // 5
    net.fit(x[:cut], y[:cut], epochs=3, batch_size=256, verbose=0)
    return net, (x[:cut], y[:cut]), (x[cut:], y[cut:])


def main() -> None:
    """Measure, tell, and keep the record."""
    import pellucid as pl

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=30_000)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "measures.json")
    asked = parser.parse_args()
    net, train, test = subject(asked.rows)
    start = time.perf_counter()
    found = pl.measure(net, pl.default_measures(), train=train, test=test, progress=False)
    seconds = time.perf_counter() - start
    each = {type(m.provenance.method).__name__: m.provenance.seconds for m in found}
    for name, took in sorted(each.items(), key=lambda item: -item[1]):
        print(f"{name:24} {took:7.2f} s")
    print(f"{'together':24} {seconds:7.2f} s (limit {LIMIT:g})")
    record = {"machine": machine.describe(), "rows": asked.rows, "columns": COLUMNS, "seconds": seconds, "each": each}
    asked.out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
