"""One library in a process of its own: every method on every kind of model, into one file.

Usage: python -m benchmarks.agreement.worker LIBRARY FOLDER FILE [--methods ...] [--kinds ...]
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.agreement.kinds import KINDS, Kind
from benchmarks.agreement.rows import ROWS, Row
from benchmarks.agreement.samples import Sample, load
from benchmarks.worker import versions


def applies(row: Row, kind: Kind) -> bool:
    """Whether a method is asked about a kind of model at all."""
    return row.at != "map" or kind.convolutions


def maps(library: Any, sample: Sample, methods: Sequence[str], **options: Any) -> Iterator[tuple[str, Any]]:
    """Every map (B, N) of a sample by "method/kind"; where there is none, what the library had to say."""
    asked = {row.name for row in ROWS if row.name in methods and applies(row, sample.kind)}
    for method in (m for m in library.METHODS if m.split(":")[0] in asked):
        try:
            found = library.run(library.prepare(sample, **options), method)
        except Exception as problem:  # what a library cannot do is a result as well
            found = f"{type(problem).__name__}: {problem}".splitlines()[0][:200]
        yield f"{method}/{sample.kind.name}", found


def main(given: Sequence[str] | None = None) -> None:
    """Write the maps and the refusals of a library, beside those of methods and kinds that were not asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("library")
    parser.add_argument("folder", type=Path)
    parser.add_argument("file", type=Path)
    parser.add_argument("--module", action="store_true", help="torch modules in place of Keras models")
    parser.add_argument("--methods", nargs="+", default=[row.name for row in ROWS])
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), default=list(KINDS))
    args = parser.parse_args(given)
    library = importlib.import_module(f"benchmarks.agreement.by_{args.library}")
    held, told = args.file.with_suffix(".npz"), args.file.with_suffix(".json")
    arrays = dict(np.load(held)) if held.exists() else {}
    refusals = json.loads(told.read_text())["refusals"] if told.exists() else {}
    for kind in args.kinds:
        for key, found in maps(
            library, load(kind, args.folder), args.methods, **({"module": True} if args.module else {})
        ):
            for held_before in (arrays, refusals):
                held_before.pop(key, None)
            (refusals if isinstance(found, str) else arrays)[key] = found
            print(key, found if isinstance(found, str) else "", file=sys.stderr, flush=True)
        np.savez(held, **arrays)
        told.write_text(json.dumps({"versions": versions(args.library), "refusals": refusals}, indent=1))


if __name__ == "__main__":
    main()
