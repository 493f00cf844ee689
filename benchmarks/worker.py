"""One library in a process of its own: reads a request a line, runs it, and answers with a line of JSON.

Usage: python -m benchmarks.worker LIBRARY CASE FOLDER
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from benchmarks.cases import load

LIBRARIES = {"pellucid": "Pellucid", "captum": "Captum", "xplique": "Xplique", "floor": "Floor"}


SHORT = 0.1
"""Seconds: a call is repeated until so many have passed, as one that takes a few milliseconds tells little by itself."""


def answer(contender: Any, request: dict[str, Any]) -> dict[str, Any]:
    """Run `method` on `count` examples, least seconds of a few; save the map where the request names a file."""
    method, spent, found = getattr(contender, request["method"]), list[float](), None
    while sum(spent) < SHORT:
        start = time.perf_counter()
        found = method(request["count"], **request["options"])
        spent.append(time.perf_counter() - start)
    seconds = min(spent)
    if request.get("save"):
        np.save(request["save"], contender.array(found))
    counted = contender.evaluations(found) if hasattr(contender, "evaluations") else None
    return {"seconds": seconds, "evaluations": counted}


def versions(library: str) -> dict[str, str]:
    """Versions of what this process has loaded that matters for speed."""
    import importlib.metadata as metadata

    names = {"pellucid", "captum", "xplique", "keras", "tensorflow", "jax", "torch", "numpy"}
    found = metadata.packages_distributions()
    return {name: metadata.version(found[name][0]) for name in sorted(names & set(sys.modules) & set(found))}


def lines(stream: TextIO) -> Iterator[dict[str, Any]]:
    """Requests, until the other side closes."""
    return (json.loads(line) for line in stream)


def main(library: str, name: str, folder: str) -> None:
    """Answer requests until there are no more."""
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints must not come between the answers
    module = importlib.import_module(f"benchmarks.contenders.{library}")
    contender = getattr(module, LIBRARIES[library])(load(name, Path(folder)))
    print(json.dumps({"versions": versions(library)}), file=replies, flush=True)
    for request in lines(sys.stdin):
        try:
            reply = answer(contender, request)
        except Exception as problem:  # told to the other side, which knows what it asked for
            reply = {"problem": f"{type(problem).__name__}: {problem}"}
        print(json.dumps(reply), file=replies, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
