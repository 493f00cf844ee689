"""What a person waits for before anything happens: import, help, and a whole audit.

Usage: python -m benchmarks.startup [--repeats 5]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks import machine
from benchmarks.process import ROOT, environment

PELLUCID = str(Path(sys.executable).parent / "pellucid")


def commands(folder: str) -> dict[str, tuple[list[str], float, int]]:
    """What is run, the limit in seconds, and how often at most."""
    return {
        "python -c pass": ([sys.executable, "-c", "pass"], 0.0, 99),
        "import pellucid (with Python's own start)": ([sys.executable, "-c", "import pellucid"], 0.3, 99),
        "pellucid --help": ([PELLUCID, "--help"], 0.5, 99),
        "pellucid audit breast-cancer": ([PELLUCID, "audit", "breast-cancer", "--out", folder], 60.0, 2),
    }


def seconds(command: Sequence[str]) -> float:
    """Wall-clock time of one run."""
    start = time.perf_counter()
    subprocess.run(command, cwd=ROOT, env=environment("tensorflow"), capture_output=True, check=True)
    return time.perf_counter() - start


def main() -> None:
    """Measure, and write `results/startup.json`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    lines = ["| | median, s | least, s | limit, s |", "|:--|--:|--:|--:|"]
    with tempfile.TemporaryDirectory() as folder:
        for name, (command, limit, most) in commands(folder).items():
            try:
                found = [seconds(command) for _ in range(1 + min(repeats, most))][1:]
            except subprocess.CalledProcessError as problem:
                lines.append(f"| {name} | failed with exit code {problem.returncode} | | |")
                continue
            told = f"{limit:.1f}" if limit else ""
            lines.append(f"| {name} | {statistics.median(found):.2f} | {min(found):.2f} | {told} |")
    result = {"title": "Start-up", "machine": machine.describe(), "table": lines}
    (Path(__file__).parent / "results" / "startup.json").write_text(json.dumps(result, indent=1) + os.linesep)
    print("\n".join(lines))


if __name__ == "__main__":
    main()
