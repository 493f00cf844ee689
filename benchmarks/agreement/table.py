"""Turn what was compared into Markdown: benchmarks/AGREEMENT.md.

Usage: python -m benchmarks.agreement.table
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.agreement.kinds import KINDS
from benchmarks.agreement.rows import EXACT, INTEGRATED, ROWS, SAMPLED, Row

FOLDER = Path(__file__).parents[1]
RESULT = FOLDER / "results" / "agreement.json"

OTHERS = {
    "definition": "closed form",
    "pellucid-jax": "ours, JAX",
    "pellucid-torch": "ours, PyTorch",
    "pellucid-module": "ours, torch module",
    "captum": "captum",
    "zennit": "zennit",
    "shap": "shap",
}
"""Who Pellucid on TensorFlow is compared with, in the order of the table."""

VERDICTS = {
    "Pellucid": "{other} is wrong",
    "peer": "**Pellucid is wrong**",
    "either": "both are right",
    "neither": "both are wrong",
    "open": "undecided",
}

INTRO = f"""# Agreement

Written by `python -m benchmarks.agreement.table` from `benchmarks/results/agreement.json`; computed by `make agreement`.

Random models of every kind, four random examples each, asked about given classes; the same weights in Keras and in torch.
A number is the largest difference between Pellucid on TensorFlow and somebody else, relative to the largest value of the
other: max |a - b| / max |b|. Up to {EXACT:g} is agreement ({INTEGRATED:g} for integrals, {SAMPLED:g} for what is sampled);
what is above is in bold, with a mark:

- `>` Pellucid is right and the other wrong, `<` the other is right, `=` both are, by different definitions or to the digits
  that float32 holds, `!` both are wrong, `?` nothing decides;
- `o` Pellucid refuses this model, `x` the other does; nothing: it was not asked about this one.

What decides is the closed form: the published formula in float64, by finite differences of the score, by 16,384 points of an
integral, or layer by layer with every linear layer written out as a matrix (`backward.py`). What a method promises decides as
well: that its values add up to the change in score. A side is right if it misses neither by more than five times what counts
as agreement. "ours, torch module" is Pellucid on the peers' own torch module. What is said of a library after its verdict was
computed too: its numbers are those of the definition with this one change.
"""


def number(value: float | None) -> str:
    """One digit and the power of ten."""
    if value is None:
        return ""
    digit, power = f"{value:.0e}".split("e")
    return digit if int(power) == 0 else f"{digit}e{int(power)}"


MARKS = {"both": "", "Pellucid": " >", "peer": " <", "either": " =", "neither": " !", "open": " ?"}


def cell(found: dict[str, Any], row: Row, kind: str, other: str) -> str:
    """One comparison."""
    one = found["by_key"].get((row.name, kind, other))
    if one is not None:
        told = number(one["difference"])
        return f"**{told}**{MARKS[one['right']]}" if one["right"] != "both" else told
    key, refusals = f"{row.name}/{kind}", found["refusals"]
    if key in refusals["pellucid-tensorflow"]:
        return "o"
    return "x" if key in refusals.get(other, {}) and other != "definition" else ""


def lines(found: dict[str, Any]) -> list[str]:
    """The table: a line for a method and somebody who has it."""
    head = ["| method | beside | " + " | ".join(kind.title for kind in KINDS.values()) + " |"]
    head.append("|:--|:--|" + "--:|" * len(KINDS))
    for row in ROWS:
        for i, other in enumerate(o for o in OTHERS if any((row.name, k, o) in found["by_key"] for k in KINDS)):
            cells = [cell(found, row, kind, other) for kind in KINDS]
            head.append(f"| {row.title if i == 0 else ''} | {OTHERS[other]} | {' | '.join(cells)} |")
    return head


def side(told: Sequence[dict[str, Any]]) -> str:
    """What is known of one side at most."""
    most = lambda what: max((one[what] for one in told if one[what] is not None), default=None)  # noqa: E731
    off, gap = most("off"), most("gap")
    return ", ".join([number(off)] * (off is not None) + [f"sum {number(gap)}"] * (gap is not None))


def disagreements(found: dict[str, Any]) -> list[str]:
    """Every difference that is one: how far both are from what decides, and who is wrong."""
    alike: dict[tuple[str, str], dict[str, list[dict[str, Any]]]] = {}
    for one in found["comparisons"]:
        if one["right"] != "both":
            alike.setdefault((one["other"], verdict(one)), {}).setdefault(one["method"], []).append(one)
    columns = ("beside", "verdict", "methods", "kinds", "difference", "ours off by", "other off by")
    head = [f"| {' | '.join(columns)} |", "|:--|:--|:--|:--|--:|--:|--:|"]
    for other in OTHERS:
        for (who, told), methods in alike.items():
            if who == other:
                head += [_merged(other, told, names, ones) for names, ones in _by_kinds(methods)]
    return head


def verdict(one: dict[str, Any]) -> str:
    """Who is wrong, and what is done in place of the definition where that is known."""
    other = OTHERS[one["other"]]
    own = one["right"] == "Pellucid" and other.startswith("ours")
    told = f"**Pellucid is wrong** ({other})" if own else VERDICTS[one["right"]].format(other=other)
    does = [f"{who} {s['does']}" for who, s in (("Pellucid", one["ours"]), (other, one["theirs"])) if s["does"]]
    return "; ".join([told, *does])


def _by_kinds(methods: dict[str, list[dict[str, Any]]]) -> list[tuple[list[str], list[dict[str, Any]]]]:
    """Methods that differ on the same kinds of models together."""
    found: dict[tuple[str, ...], tuple[list[str], list[dict[str, Any]]]] = {}
    titles = {row.name: row.title for row in ROWS}
    for method, ones in methods.items():
        names, all_of_them = found.setdefault(tuple(one["kind"] for one in ones), ([], []))
        names.append(titles[method])
        all_of_them += ones
    return list(found.values())


def _merged(other: str, told: str, names: Sequence[str], ones: Sequence[dict[str, Any]]) -> str:
    """One line, with the largest numbers."""
    kinds = ", ".join(kind.title for kind in KINDS.values() if any(one["kind"] == kind.name for one in ones))
    sides = [side([one[who] for one in ones]) for who in ("ours", "theirs")]
    methods = ", ".join(names).replace(", LayerRelevance, ", ", ")
    most = number(max(one["difference"] for one in ones))
    return f"| {OTHERS[other]} | {told} | {methods} | {kinds} | {most} | {' | '.join(sides)} |"


def provenance(found: dict[str, Any]) -> str:
    """Date, commit and versions."""
    seen: dict[str, set[str]] = {}
    for versions in found["versions"].values():
        for library, version in versions.items():
            seen.setdefault(library, set()).add(version)
    told = ", ".join(f"{library} {' and '.join(sorted(v))}" for library, v in sorted(seen.items()))
    return f"{found['machine']['date']}, commit {found['machine']['commit']}. Versions: {told}."


def write() -> None:
    """Write `AGREEMENT.md`."""
    found = json.loads(RESULT.read_text())
    found["by_key"] = {(one["method"], one["kind"], one["other"]): one for one in found["comparisons"]}
    parts = [
        INTRO + "\n" + provenance(found),
        "## Differences",
        "\n".join(lines(found)),
        "## Who is wrong",
        "\n".join(disagreements(found)),
    ]
    (FOLDER / "AGREEMENT.md").write_text("\n\n".join(parts) + "\n")


if __name__ == "__main__":
    write()
