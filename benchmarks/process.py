"""Talking to workers: every library in a process of its own, on the same two cores, one at work at a time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
THREADS = 2
REST = 0.1
"""Seconds between two runs, so that threads of the last one that still spin do not take from the next."""

CONTENDERS = {
    "pellucid on tensorflow": ("pellucid", None, "tensorflow"),
    "floor": ("floor", None, "tensorflow"),
    "pellucid on jax": ("pellucid", None, "jax"),
    "pellucid on torch": ("pellucid", None, "torch"),
    "captum": ("captum", ".venv-peers-torch", "torch"),
    "xplique": ("xplique", ".venv-peers-tensorflow", "tensorflow"),
}
"""Library, its environment (None: the one that runs this), and the framework Keras runs on there."""


def environment(backend: str) -> dict[str, str]:
    """Variables that give every framework the same number of threads, and keep it quiet."""
    count = str(THREADS)
    names = (
        "OMP_NUM_THREADS",
        "MKL_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "TF_NUM_INTRAOP_THREADS",
        "TF_NUM_INTEROP_THREADS",
    )
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONWARNINGS": "ignore", "CUDA_VISIBLE_DEVICES": "-1"}
    return {**os.environ, **dict.fromkeys(names, count), **quiet, "KERAS_BACKEND": backend}


def interpreter(folder: str | None) -> Path:
    """The Python of an environment."""
    return Path(sys.executable) if folder is None else ROOT / folder / "bin" / "python"


def affinity() -> None:
    """Keep this process and those it starts on as many cores as everybody has threads."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:THREADS])


class Failed(RuntimeError):
    """What a library had to say when it could not do what was asked."""


class Worker:
    """One library, holding one case."""

    def __init__(self, contender: str, case: str, folder: Path) -> None:
        library, venv, backend = CONTENDERS[contender]
        self.contender, self.folder = contender, folder
        command = [str(interpreter(venv)), "-m", "benchmarks.worker", library, case, str(folder)]
        log = (folder / f"{case}-{contender.replace(' ', '-')}.log").open("w")
        self._process = subprocess.Popen(
            command, cwd=ROOT, env=environment(backend), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
        )  # fmt: skip
        self.versions: dict[str, str] = self._read()["versions"]

    def _read(self) -> dict[str, Any]:
        line = self._process.stdout.readline()  # type: ignore[union-attr]
        if not line:
            raise Failed(f"{self.contender} ended; its last words are in {self.folder}")
        reply = json.loads(line)
        if "problem" in reply:
            raise Failed(f"{self.contender}: {reply['problem']}")
        return reply

    def run(self, method: str, count: int, options: dict[str, Any], save: Path | None = None) -> dict[str, Any]:
        """Seconds (and evaluations, where the library counts them) of one call; its map in a file."""
        time.sleep(REST)
        request = {"method": method, "count": count, "options": options, "save": save and str(save)}
        self._process.stdin.write(json.dumps(request) + "\n")  # type: ignore[union-attr]
        self._process.stdin.flush()  # type: ignore[union-attr]
        return self._read()

    def close(self) -> None:
        """Let the process end."""
        self._process.stdin.close()  # type: ignore[union-attr]
        self._process.wait(timeout=30)
