"""Turn what was measured into Markdown: benchmarks/README.md, and the block between markers in the top README.

Usage: python -m benchmarks.table
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.cases import CASES

HERE = Path(__file__).parent
TOP = HERE.parent / "README.md"
START, END = "<!-- benchmark:start -->", "<!-- benchmark:end -->"
TITLES = {
    "integrated_gradients": "IntegratedGradients, to a map error of 2 %",
    "smooth_grad": "SmoothGrad, 64 draws",
    "expected_gradients": "ExpectedGradients, 64 draws",
    "conductance": "Conductance, to a map error of 2 %",
    "internal_influence": "InternalInfluence, to a map error of 2 %",
    "occlusion": "Occlusion, the same windows",
    "gradient": "Gradient, in one pass",
    "guided_backprop": "GuidedBackprop, in one pass",
    "grad_cam": "GradCam, in one pass",
}
COLUMNS = ("", "seconds (least to most)", "x ours", "evaluations", "map error, median / 95 %", "one example, ms")
HEAD = f"| {' | '.join(COLUMNS)} |\n|:--|{'--:|' * (len(COLUMNS) - 1)}"
INTRO = """# Benchmarks

Written by `python -m benchmarks.table` from `benchmarks/results/`; measured by `make peers` and `make bench`.
Whether everybody gives the same numbers, and who is right where they do not, is in [AGREEMENT.md](AGREEMENT.md) and, of measures,
[AGREEMENT-MEASURES.md](AGREEMENT-MEASURES.md).

Everybody explains the same 64 images, 64 sentences or 512 rows of a table (512 images and 16,384 rows by methods of one pass):
the same weights, inputs, classes and baseline, two threads each, every library in its own process, warmed up, taking turns, a
call of less than a tenth of a second several times in each. Seconds are the median of the rounds; "x ours"
is the least time of a row over the least time of Pellucid on TensorFlow: what else a machine does only ever adds time, so
the least is what a library can do. "Bare TensorFlow passes" is the floor: as many compiled passes of the model as our method
needed, at the chunk size that is fastest for them, and nothing else. "As it comes" is a library's own default; "best chunk"
is the fastest of its batch sizes found by trying; "n steps, best chunk" is also given the smallest number of points that the
reference shows to be enough, which a user has no way of knowing. The map error is the relative L2 error of a whole map
against a midpoint rule of 2,048 points (IntegratedGradients) or 1,024 other draws (SmoothGrad).
The table's model takes a microsecond a row, there and back: beside that, checking and fingerprinting the row, keeping what is
known of its value, and calling a compiled step at all, are no small part.
xplique takes no tokens: of the transformer it is given the embedded inputs. Occlusion leaves the floor's passes as they are, but
hidden copies have to be made.
"""


def seconds(value: float) -> str:
    """Three significant digits."""
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"


def line(row: dict[str, Any]) -> str:
    """One row of a table."""
    spread = f"{seconds(row['median'])} ({seconds(min(row['seconds']))} to {seconds(max(row['seconds']))})"
    error = "" if row["error_median"] is None else f"{100 * row['error_median']:.2f} / {100 * row['error_95']:.2f} %"
    count = f"{row['evaluations']:,}" if row["evaluations"] else ""
    return (
        f"| {row['label']} | {spread} | {row['times_ours']:.2f} | {count} | {error} | {1000 * row['one_median']:.1f} |"
    )


def section(name: str, methods: dict[str, Any]) -> str:
    """All tables of one case."""
    parts = [f"## {CASES[name].title}"]
    for method, rows in methods.items():
        parts.append("\n".join([f"### {TITLES[method]}", "", HEAD, *map(line, rows)]))
    return "\n\n".join(parts)


def provenance(found: dict[str, Any]) -> str:
    """Machine, date and versions in two sentences."""
    m, seen = found["machine"], {}
    for versions in found["versions"].values():
        for library, version in versions.items():
            seen.setdefault(library, []).append(version)
    told = ", ".join(f"{library} {' and '.join(sorted(set(v)))}" for library, v in sorted(seen.items()))
    return (
        f"Machine: {m['processor']}, {m['cores']} cores, {m['memory_gib']} GiB, {m['system']}, "
        f"Python {m['python']}; {m['date']}, commit {m['commit']}, {found['repeats']} rounds or more, "
        f"load average {m['load'][0]} before and {m.get('load_after', ['?'])[0]} after. Versions: {told}."
    )


def chosen(rows: list[dict[str, Any]], start: str) -> dict[str, Any] | None:
    """The first row whose label starts so."""
    return next((row for row in rows if row["label"].startswith(start)), None)


def summary_lines(found: dict[str, Any]) -> str:
    """The short table: what a reader of the front page wants to know."""
    columns = {"captum, as it comes": "captum", "captum, best": "captum, best chunk", "xplique, as it comes": "xplique",
               "xplique, best": "xplique, best chunk", "bare": "bare passes"}  # fmt: skip
    lines = [
        "| | Pellucid, s | " + " | ".join(f"{title}, s" for title in columns.values()) + " |",
        "|:--|" + "--:|" * (1 + len(columns)),
    ]
    for name, methods in found["cases"].items():
        for method, rows in methods.items():
            cells = [chosen(rows, start) for start in columns]
            told = [f"{seconds(c['median'])} ({c['times_ours']:.1f}x)" if c else "" for c in cells]
            lines.append(
                f"| {CASES[name].title}: {TITLES[method]} | {seconds(rows[0]['median'])} | {' | '.join(told)} |"
            )
    return "\n".join(lines)


def other_results() -> str:
    """Memory and start-up, where they were measured."""
    parts = []
    for path in sorted((HERE / "results").glob("*.json")):
        found = json.loads(path.read_text())
        if "table" in found:
            machine = found["machine"]
            parts.append(
                f"## {found['title']}\n\n"
                + "\n".join(found["table"])
                + f"\n\n{machine['date']}, commit {machine['commit']}."
            )
    return "\n\n".join(parts)


def write() -> None:
    """Write both READMEs."""
    found = json.loads((HERE / "results" / "peers.json").read_text())
    tables = "\n\n".join(section(name, methods) for name, methods in found["cases"].items())
    whole = [INTRO + provenance(found), "## In short\n\n" + summary_lines(found), tables, other_results()]
    (HERE / "README.md").write_text("\n\n".join(part for part in whole if part) + "\n")
    if TOP.exists() and START in (text := TOP.read_text()) and END in text:
        before, rest = text.split(START, 1)
        block = f"{START}\n{summary_lines(found)}\n\n{provenance(found)}\n{END}"
        TOP.write_text(before + block + rest.split(END, 1)[1])


if __name__ == "__main__":
    write()
