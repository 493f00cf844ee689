"""Calibration errors, risk-coverage areas and Brier scores beside netcal's and torch-uncertainty's, of the same probabilities.

Usage: python -m benchmarks.agreement.measures --peers PYTHON

PYTHON is an interpreter with torch, netcal and torch-uncertainty. What decides is the sum written out here, row by row.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

RESULT = Path(__file__).parents[1] / "results" / "agreement-measures.json"
PAGE = Path(__file__).parents[1] / "AGREEMENT-MEASURES.md"

BINS = 15
NAMES = {
    "width": "Calibration error, 15 bins of equal width",
    "mass": "Calibration error, 15 bins of equal numbers",
    "square": "The same of equal width, root of the mean square",
    "area": "Area under risk over coverage",
    "brier": "Brier score",
}
"""What is compared: of the class predicted, as published and without taking noise out."""

KINDS = ("two classes", "ten classes", "far too sure", "a thousand rows alike", "confidences on edges", "40 rows")

NOTES = (
    "netcal refuses bins of equal numbers where many confidences are the same (x).",
    "Of 40 rows Pellucid makes 4 bins of equal numbers, as it wants ten rows in each; the peers make 15. Both are what they say.",
    "torch-uncertainty's bins of equal numbers hold one row more in the first N mod 15, where quantiles (netcal, Pellucid) "
    "spread them; so 2,000 rows are parted a row apart. It also parts rows of equal confidence, in the order of the sort: which "
    "come first then changes the error. Neither is wrong but for ties, which the definition cannot part.",
    "torch-uncertainty's bins of equal width are those of torchmetrics, which puts a confidence of exactly 1 into a bin of its "
    "own above the last: no part of the definition, and seen in the mean square.",
    "torch-uncertainty's area is the trapezoid between the first and the last row over 1 - 1/N, where its documentation and "
    "Geifman et al. 2019 have the mean over rows; they differ by about 1/N. Rows of equal confidence count in the order of the "
    "sort; Pellucid takes the mean over all orders.",
)
"""Why a peer differs."""

AGREES = 1e-4
"""Differences up to here, relative to the value, are those of single precision."""


def drawn(kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (B, K) in single precision, and labels (B,)."""
    g = np.random.default_rng(KINDS.index(kind))
    rows, classes = (40 if kind == "40 rows" else 2000), (2 if kind in ("two classes", "confidences on edges") else 10)
    logits = g.normal(size=(rows, classes)) * 2
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    y = np.array([g.choice(classes, p=row) for row in p])
    if kind == "far too sure":
        p = p**3 / (p**3).sum(axis=1, keepdims=True)
    if kind == "a thousand rows alike":
        p[:1000] = p[0]
    if kind == "confidences on edges":
        first = g.integers(0, BINS + 1, rows) / BINS
        p = np.column_stack([first, 1 - first])
    return p.astype(np.float32), y


def by_definition(p: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """The published sums, written out; bins hold their lower edge, rows of equal confidence stay together or have no order."""
    sure, hit, rows = p.max(axis=1).astype(float), p.argmax(axis=1) == y, len(y)

    def binned(edges: np.ndarray, power: int) -> float:
        total = 0.0
        for low, high in zip([-np.inf, *edges], [*edges, np.inf], strict=True):
            own = (sure >= low) & (sure < high)
            if own.any():
                total += own.sum() / rows * abs(hit[own].mean() - sure[own].mean()) ** power
        return float(total ** (1 / power))

    width = np.arange(1, BINS) / BINS
    count = max(1, min(BINS, rows // 10))
    mass = np.unique(np.quantile(sure, np.arange(1, count) / count, method="higher"))
    order = np.argsort(-sure, kind="stable")
    wrong, ranked, risk, before = (~hit[order]).astype(float), sure[order], np.zeros(rows), 0
    for value in dict.fromkeys(ranked.tolist()):  # rows of one confidence, in the mean over all their orders
        tied = np.flatnonzero(ranked == value)
        share = wrong[tied].mean()
        risk[tied] = (wrong[:before].sum() + share * np.arange(1, len(tied) + 1)) / (
            before + np.arange(1, len(tied) + 1)
        )
        before += len(tied)
    score = np.mean(
        [sum((q - (k == label)) ** 2 for k, q in enumerate(row)) for row, label in zip(p.astype(float), y, strict=True)]
    )
    return {
        "width": binned(width, 1), "mass": binned(mass, 1), "square": binned(width, 2), "area": float(risk.mean()),
        "brier": float(score),
    }  # fmt: skip


def by_pellucid(p: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """What `measure` gives, before noise is taken out."""
    import pellucid as pl

    asked = [pl.CalibrationError(BINS), pl.CalibrationError(BINS, norm=2), pl.SelectiveRisk(), pl.Brier()]
    model = pl.wrap(lambda x: x, output="probabilities")
    one, two, area, brier = pl.measure(model, asked, test=(p, y), progress=False)
    return {
        "width": one.detail["equal_width"]["plug_in"], "mass": one.detail["equal_mass"]["plug_in"],
        "square": two.detail["equal_width"]["plug_in"], "area": area.value, "brier": brier.value,
    }  # fmt: skip


def by_netcal(p: np.ndarray, y: np.ndarray, what: str) -> float | None:
    """netcal, given the confidence of the class predicted and whether it is right."""
    from netcal.metrics.confidence.ECE import ECE

    if what not in ("width", "mass"):
        return None
    return float(ECE(BINS, equal_intervals=what == "width").measure(p.max(axis=1), (p.argmax(axis=1) == y).astype(int)))


def by_torch_uncertainty(p: np.ndarray, y: np.ndarray, what: str) -> float:
    """torch-uncertainty's metrics alone: the rest of it asks for torchvision."""
    import contextlib
    import importlib.util
    import types

    import torch

    if "torch_uncertainty" not in sys.modules:
        where = importlib.util.find_spec("torch_uncertainty")
        root = types.ModuleType("torch_uncertainty")
        root.__path__ = list(where.submodule_search_locations or []) if where else []
        sys.modules["torch_uncertainty"] = root
        with contextlib.suppress(ModuleNotFoundError):  # what its plots ask for
            importlib.import_module("torch_uncertainty.metrics.classification")
    from torch_uncertainty.metrics.classification import brier_score, calibration, risk_coverage

    classes = p.shape[1]
    asked = {
        "width": lambda: calibration.CalibrationError(task="multiclass", num_classes=classes, num_bins=BINS),
        "square": lambda: calibration.CalibrationError(task="multiclass", num_classes=classes, num_bins=BINS, norm="l2"),
        "mass": lambda: calibration.AdaptiveCalibrationError(task="multiclass", num_classes=classes, num_bins=BINS),
        "area": risk_coverage.AURC, "brier": lambda: brier_score.BrierScore(num_classes=classes),
    }  # fmt: skip
    metric = asked[what]()
    metric.update(torch.as_tensor(p), torch.as_tensor(y))
    return float(metric.compute())


LIBRARIES = {"netcal": by_netcal, "torch-uncertainty": by_torch_uncertainty}


def peers(folder: Path) -> None:
    """What the peers say, or why they do not, as lines of JSON."""
    for name, ask in LIBRARIES.items():
        for i, kind in enumerate(KINDS):
            data, found = np.load(folder / f"{i}.npz"), dict[str, Any]()
            for what in NAMES:
                try:
                    found[what] = ask(data["p"], data["y"], what)
                except Exception as problem:  # told in the record
                    found[what] = f"{type(problem).__name__}: {problem}"
            print("FOUND " + json.dumps([name, kind, found]))


def written(found: dict[str, Any]) -> str:
    """The page."""
    head = (__doc__ or "").split("\n\n")[0].replace("\n", " ")
    rows = []
    for what, title in NAMES.items():
        for who in ("Pellucid", *LIBRARIES):
            each = [found[kind].get(who, {}).get(what) for kind in KINDS]
            if any(v is not None for v in each):
                apart = [_apart(v, found[kind]["definition"][what]) for v, kind in zip(each, KINDS, strict=True)]
                rows.append(f"| {title if who == 'Pellucid' else ''} | {who} | " + " | ".join(apart) + " |")
    notes = [f"- {note}" for note in NOTES]
    return "\n".join([
        "# Agreement of measures", "", f"{head} Written by `python -m benchmarks.agreement.measures`.", "",
        "A number is |a - b| / |b| beside the sum written out row by row; up to 0.0001 is agreement, above is bold.", "",
        "| measure | by | " + " | ".join(KINDS) + " |", "|:--|:--|" + "--:|" * len(KINDS), *rows, "", *notes, "",
    ])  # fmt: skip


def _apart(value: float | str | None, truth: float) -> str:
    if value is None or isinstance(value, str):
        return "x" if value else ""
    apart = abs(value - truth) / abs(truth)
    return f"**{apart:.0e}**" if apart > AGREES else f"{apart:.0e}" if apart else "0"


def main() -> None:
    """Draw, let each compute by itself, and tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", help="the interpreter with the peers")
    parser.add_argument("--work", type=Path, help="how the parts of this benchmark call each other")
    asked = parser.parse_args()
    if asked.work:
        peers(asked.work)
        return
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for i, kind in enumerate(KINDS):
            p, y = drawn(kind)
            np.savez(Path(folder) / f"{i}.npz", p=p, y=y)
            found[kind] = {"definition": by_definition(p, y), "Pellucid": by_pellucid(p, y)}
        if asked.peers:
            command = [asked.peers, "-m", "benchmarks.agreement.measures", "--work", folder]
            done = subprocess.run(command, capture_output=True, text=True)
            for line in done.stdout.splitlines():
                if line.startswith("FOUND "):
                    who, kind, values = json.loads(line[6:])
                    found[kind][who] = values
            if done.returncode:
                print(done.stderr[-2000:])
    from benchmarks import machine

    record = {"machine": machine.describe(), "found": found}
    RESULT.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(written(found), encoding="utf-8")
    print(written(found))


if __name__ == "__main__":
    main()
