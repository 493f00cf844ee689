"""Which test rows are explained: a fair sample for the whole, and chosen ones to look at."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from pellucid.core.dataset import Dataset
from pellucid.core.model import Model
from pellucid.core.randomness import stream
from pellucid.core.record import Value
from pellucid.shapes import Array

SAMPLE, CHECKED = 200, 64
"""Test rows explained for the whole picture, and how many of them the explanation is verified on."""

ROLES = {
    "typical": "Right, and as sure as is usual for this model.",
    "borderline": "The model could hardly decide.",
    "confidently wrong": "Wrong, and sure of itself.",
    "near": "The error is as large as is usual for this model.",
    "far": "Among the largest errors.",
    "asked for": "Chosen by the one who asked for the audit.",
}


@dataclass(frozen=True, eq=False)
class Example(Value):
    """One test row that is shown.

    Attributes:
        role: Why it is shown, a key of `ROLES`.
        row: Its place in the test data.
        index: Its place in the explanation.
        name: What the row is called: its id where there is one.
        predicted: What the model said, in words.
        label: What is true, in words; empty where it is not known.
        probability: The probability of the answer, None for a regression.
        right: Whether the answer is right, None where that cannot be said.
    """

    role: str
    row: int
    index: int
    name: str
    predicted: str
    label: str
    probability: float | None = None
    right: bool | None = None


@dataclass(frozen=True)
class Chosen:
    """Rows of the test data to explain: the first `sampled` are a fair sample, `roles` are the rows to show."""

    rows: Array
    sampled: int
    roles: tuple[tuple[str, int], ...]


def choose(model: Model, test: Dataset, examples: int | Iterable[int], sample: int, seed: int) -> Chosen:
    """Choose the rows of the test data to explain and to show; the same seed chooses the same."""
    generator = stream(seed, "audit sample")
    fair = np.sort(generator.permutation(len(test))[:sample])
    roles = (
        _roles(model, test, examples) if isinstance(examples, int) else [("asked for", int(row)) for row in examples]
    )
    more = [row for row in dict.fromkeys(row for _, row in roles) if row not in set(fair.tolist())]
    return Chosen(np.concatenate([fair, np.array(more, dtype=int)]), len(fair), tuple(roles))


def _roles(model: Model, test: Dataset, each: int) -> list[tuple[str, int]]:
    if each < 1:
        return []
    model.prepare(test.take(slice(0, 1)))
    if model.task != "classification":
        return _by_error(np.abs(model.scores(test)[:, 0] - test.y) if test.y is not None else np.zeros(len(test)), each)
    p = model.probabilities(test)
    top = np.sort(p, axis=1)[:, -2:]
    sure, answers = top[:, 1], p.argmax(1)
    right = answers == test.y if test.y is not None else np.ones(len(test), bool)
    wrong = np.flatnonzero(~right)
    usual = np.flatnonzero(right)
    roles = [
        ("typical", r)
        for r in _spread(
            usual[np.argsort(np.abs(sure[usual] - np.median(sure[usual])))] if len(usual) else usual, answers, each
        )
    ]
    taken = {r for _, r in roles}
    border = [r for r in np.argsort(top[:, 1] - top[:, 0], kind="stable") if r not in taken][:each]
    taken |= set(border)
    worst = [r for r in wrong[np.argsort(-sure[wrong], kind="stable")] if r not in taken and sure[r] > 0.5][:each]
    return [
        (role, int(r))
        for role, r in (*roles, *(("borderline", r) for r in border), *(("confidently wrong", r) for r in worst))
    ]


def _spread(rows: Array, answers: Array, each: int) -> list[int]:
    """The first rows, one of each answer before a second of any."""
    first: dict[int, int] = {}
    for row in rows:
        first.setdefault(int(answers[row]), int(row))
    ordered = list(dict.fromkeys([*first.values(), *map(int, rows)]))
    return ordered[:each]


def _by_error(error: Array, each: int) -> list[tuple[str, int]]:
    usual = np.argsort(np.abs(error - np.median(error)), kind="stable")[:each]
    far = [r for r in np.argsort(-error, kind="stable") if r not in set(usual.tolist())][:each]
    return [("near", int(r)) for r in usual] + [("far", int(r)) for r in far]


def describe(model: Model, test: Dataset, chosen: Chosen) -> tuple[Example, ...]:
    """The rows to show, with what the model said and what is true."""
    place = {int(row): index for index, row in enumerate(chosen.rows)}
    rows = [row for _, row in chosen.roles]
    if not rows:
        return ()
    part = test.take(np.array(rows))
    answers: Any = model.probabilities(part) if model.task == "classification" else model.scores(part)
    return tuple(
        _example(test, role, row, place[row], answer, model.task)
        for (role, row), answer in zip(chosen.roles, answers, strict=True)
    )


def _example(test: Dataset, role: str, row: int, index: int, answer: Array, task: str) -> Example:
    name = f"row {row}" if test.ids is None else f"row {row} (id {test.ids[row]})"
    truth = None if test.y is None else test.y[row]
    if task != "classification":
        return Example(
            role, row, index, name, f"{float(answer[0]):.4g}", "" if truth is None else f"{float(truth):.4g}"
        )
    best = int(answer.argmax())
    right = None if truth is None else bool(best == int(truth))
    label = "" if truth is None else test.label(int(truth))
    return Example(role, row, index, name, test.label(best), label, float(answer[best]), right)
