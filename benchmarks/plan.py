"""Who runs what: each contender as it comes, and tuned as well as its options allow."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks.cases import Prepared
from benchmarks.process import Worker

SAMPLES = 64
"""Draws of SmoothGrad, for everybody."""

TARGET = 0.02
"""The relative L2 error of a map that IntegratedGradients is compared at, on 95 % of the examples."""

STEPS = (3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 16, 20, 24, 32, 40, 50)
PASSES = {
    "integrated_gradients": "gradients", "smooth_grad": "gradients", "expected_gradients": "gradients",
    "conductance": "gradients", "internal_influence": "gradients", "occlusion": "forwards",
    "gradient": "gradients", "guided_backprop": "gradients", "grad_cam": "gradients",
}  # fmt: skip
"""What each method needs of the bare model."""

ONE_PASS = ("gradient", "guided_backprop", "grad_cam")
MANY, ROWS = 512, 16_384
"""Methods of one pass, and how many examples and rows of a table they are given: of fewer, only the call would be timed."""

WITHOUT = {
    "xplique": ("expected_gradients", "conductance", "internal_influence"),
    "tokens": ("expected_gradients", "conductance", "internal_influence", "guided_backprop", "grad_cam", "gradient"),
    "table": ("grad_cam",),
}
"""Who does not have what; which models cannot be asked."""

CHUNKS = {
    ("captum", "integrated_gradients"): (25600, 6400, 3200, 1600, 1024, 512, 256, 128, 64, 16),
    ("captum", "smooth_grad"): (64, 16, 8, 4, 2, 1),
    ("captum", "occlusion"): (64, 16, 4, 1),
    ("captum", "conductance"): (3200, 1600, 1024, 512, 256, 128, 64),
    ("captum", "internal_influence"): (3200, 1600, 1024, 512, 256, 128, 64),
    ("xplique", "gradient"): (16384, 4096, 1024, 512, 256, 128, 64, 32),
    ("xplique", "guided_backprop"): (16384, 4096, 1024, 512, 256, 128, 64, 32),
    ("xplique", "grad_cam"): (16384, 4096, 1024, 512, 256, 128, 64, 32),
    ("xplique", "integrated_gradients"): (25600, 6400, 3200, 1024, 512, 256, 128, 64, 32),
    ("xplique", "smooth_grad"): (32768, 8192, 4096, 1024, 512, 256, 128, 64),
    ("xplique", "occlusion"): (64, 32, 16),
    ("floor", "gradients"): (16384, 8192, 4096, 2048, 1024, 512, 256, 128, 64, 32),
    ("floor", "forwards"): (16384, 8192, 4096, 2048, 1024, 512, 256, 128, 64),
}


@dataclass(frozen=True)
class Row:
    """One line of a table: a contender and the options it is called with."""

    label: str
    contender: str
    method: str
    options: Mapping[str, Any] = field(default_factory=dict)
    evaluations: int | None = None


@dataclass(frozen=True)
class Bench:
    """A case and the workers that hold it."""

    case: Prepared
    workers: Mapping[str, Worker]
    known: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """How many examples are explained."""
        return len(self.case.x)

    def examples(self, method: str) -> int:
        """How many examples of it a method is given."""
        many = ROWS if self.case.case.name == "table" else MANY
        return max(self.count, many) if method in ONE_PASS else self.count

    def seconds(self, row: Row, count: int | None = None) -> float:
        """Seconds of one run, of all examples or of the first ones."""
        return self.workers[row.contender].run(row.method, count or self.examples(row.method), dict(row.options))[
            "seconds"
        ]

    def map_of(self, row: Row) -> tuple[np.ndarray, int | None]:
        """The map that a row gives, and what it cost where that is counted."""
        worker = self.workers[row.contender]
        path = worker.folder / "map.npy"
        reply = worker.run(row.method, self.count, dict(row.options), path)
        return np.load(path), reply["evaluations"]

    def reference(self, method: str) -> np.ndarray | None:
        """What a method's maps are measured against: of hidden layers, captum with twenty times its own steps."""
        if method in ("conductance", "internal_influence") and "captum" in self.workers:
            if method not in self.known:
                self.known[method] = self.map_of(Row("", "captum", method, {"steps": 1024, "chunk": 1024}))[0]
            return self.known[method]
        return {"integrated_gradients": self.case.reference, "smooth_grad": self.case.smooth}.get(method)

    def errors(self, row: Row) -> np.ndarray | None:
        """Relative L2 error of each example's map (B,) against the reference; None where there is none."""
        reference = self.reference(row.method)
        if reference is None or row.contender == "floor":
            return None
        away = (self.map_of(row)[0] - reference).reshape(len(reference), -1)
        return np.linalg.norm(away, axis=1) / np.linalg.norm(reference.reshape(len(reference), -1), axis=1)


def fastest(bench: Bench, contender: str, method: str, chunks: Sequence[int], options: Mapping[str, Any]) -> int:
    """The chunk size at which a call is fastest: the least of three timed runs each, after one that warms up."""
    best: dict[int, float] = {}
    for chunk in chunks:  # the largest first: once it is far from the best, smaller ones only lose more to their number
        row = Row("", contender, method, {**options, "chunk": chunk})
        first, second = bench.seconds(row), bench.seconds(row)
        best[chunk] = second
        if second > 2.5 * min(best.values()):
            break
        best[chunk] = min(first, second, bench.seconds(row), bench.seconds(row))
    return min(best, key=best.__getitem__)


def fewest_steps(bench: Bench, contender: str, chunk: int) -> int:
    """The smallest number of steps that the reference shows to be enough: something a user could not know."""
    for steps in STEPS:
        row = Row("", contender, "integrated_gradients", {"steps": steps, "chunk": chunk})
        errors = bench.errors(row)
        if errors is not None and np.mean(errors <= TARGET) >= 0.95:
            return steps
    return STEPS[-1]


def rows(bench: Bench, method: str) -> list[Row]:
    """Every line of one method's table, ours first and the floor right after it."""
    fixed = {"samples": SAMPLES} if method in ("smooth_grad", "expected_gradients") else {}
    ours = Row("Pellucid, TensorFlow", "pellucid on tensorflow", method, fixed)
    found = [ours, floor(bench, ours)]
    found += [
        Row(f"Pellucid, {title}", f"pellucid on {name}", method, fixed)
        for name, title in (("jax", "JAX"), ("torch", "PyTorch"))
        if f"pellucid on {name}" in bench.workers
    ]
    for peer in ("captum", "xplique"):
        if (
            peer in bench.workers
            and method not in WITHOUT.get(peer, ())
            and not (bench.case.case.tokens and method == "smooth_grad")
        ):
            found += peer_rows(bench, peer, method, fixed)
    return found


def floor(bench: Bench, ours: Row, count: int | None = None) -> Row:
    """The bare passes that our method needed."""
    worker = bench.workers[ours.contender]
    needed = worker.run(ours.method, count or bench.examples(ours.method), dict(ours.options))["evaluations"]
    passes = PASSES[ours.method]
    sizes = [c for c in CHUNKS["floor", passes] if c <= needed] or [needed]
    chunk = fastest(bench, "floor", passes, sizes, {"rows": needed})
    return Row("bare TensorFlow passes", "floor", passes, {"rows": needed, "chunk": chunk}, needed)


def peer_rows(bench: Bench, peer: str, method: str, fixed: Mapping[str, Any]) -> list[Row]:
    """A peer as it comes; at its best chunk; and, for IntegratedGradients, with the fewest steps as well."""
    rows = {"integrated_gradients": STEPS[-1], "smooth_grad": SAMPLES}.get(method, STEPS[-1])
    chunks = [c for c in CHUNKS.get((peer, method), ()) if c <= rows * bench.count]
    made: Callable[..., Row] = lambda label, **options: Row(f"{peer}, {label}", peer, method, {**fixed, **options})  # noqa: E731
    if not chunks:  # it has no such option
        return [made("as it comes")]
    chunk = fastest(bench, peer, method, chunks, fixed)
    found = [made("as it comes"), made("best chunk", chunk=chunk)]
    if method == "integrated_gradients":
        steps = fewest_steps(bench, peer, chunk)
        chunk = fastest(bench, peer, method, chunks, {"steps": steps})
        found.append(made(f"{steps} steps, best chunk", steps=steps, chunk=chunk))
    return found
