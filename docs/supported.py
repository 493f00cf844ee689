"""The page of what works on what, from docs/coverage.json, which the tests write."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

FOUND = Path(__file__).parent / "coverage.json"
EXACT = "●"

INTRODUCTION = f"""# What works on what

Every method was run on a small model of every kind with random weights, on TensorFlow, JAX and PyTorch, by
`tests/explain/test_explain_coverage.py`, which fails when this page is no longer true.

- {EXACT} exact: nothing is sampled or integrated, and where the values promise to add up they do, to 1 in 10,000.
- A number such as 2 %: the largest error that the method states for its maps (sampling, integration), or the part of the sum
  that is missing, whichever the method has; on three examples, with its default tolerance, and at most 256 draws.
  Over 100 %: the layer that conductance was asked about can be bypassed, and what goes around it is missing.
- A letter: refused, for the reason below the table.

One sign holds for all three frameworks; where they differ each has its own. Whether the exact numbers are the right ones is
measured in [the table of agreement](../../benchmarks/AGREEMENT.md).
"""


def page() -> str:
    """The page as Markdown."""
    from pellucid.testing.kinds import KINDS

    found = json.loads(FOUND.read_text(encoding="utf-8"))
    backends, reasons = [b for b in ("tensorflow", "jax", "torch") if b in found], {}
    methods = sorted({method for kinds in found.values() for by_method in kinds.values() for method in by_method})
    lines = [
        "| | " + " | ".join(kind.title for kind in KINDS.values()) + " |",
        "|:--|" + ":-:|" * len(KINDS),
    ]
    for method in methods:
        cells = [_cell({b: found[b][kind][method] for b in backends}, reasons) for kind in KINDS]
        lines.append(f"| {method} | " + " | ".join(cells) + " |")
    notes = [f"- **{letter}** {reason}" for reason, letter in reasons.items()]
    return "\n".join([INTRODUCTION, *lines, "", "Refused:", "", *notes]) + "\n"


def _cell(told: Mapping[str, str], reasons: dict[str, str]) -> str:
    signs = {backend: _sign(text, reasons) for backend, text in told.items()}
    if len(set(signs.values())) == 1 or all(text.startswith("within") for text in told.values()):
        return next(iter(signs.values()))
    return " ".join(f"{backend}: {sign}" for backend, sign in signs.items())


def _sign(text: str, reasons: dict[str, str]) -> str:
    if text == "exact":
        return EXACT
    if text.startswith("within"):
        return f"{100 * size:.2g} %" if (size := float(text.split()[1])) < 1 else "over 100 %"
    return reasons.setdefault(_reason(text), _letter(len(reasons)))


def _letter(number: int) -> str:
    return (chr(ord("a") + number // 26 - 1) if number >= 26 else "") + chr(ord("a") + number % 26)


def _reason(text: str) -> str:
    """A refusal without what only that model has: the names of methods, models and layers."""
    kind, _, told = text.partition(": ")
    told = told.split(";")[0]
    told = re.sub(r"^[A-Z]\w+: ", "", told)
    told = re.sub(r", got .*", "", told)
    told = re.sub(r"(in )?'[\w/]+' \((\w+)\)", r"in layers of kind \2", told)
    return f"{re.sub(r'(sequential|functional|subclassed)(_[0-9]+)?', 'the model', told)} (`{kind}`)"
