"""Write docs/reference from the docstrings: `make docs`."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import supported

FOLDER = Path(__file__).parent / "reference"
VERBS = {
    "explain": "Why this answer",
    "verify": "Is the explanation true",
    "measure": "How it will do on new data",
    "improve": "What makes it better",
}
CORE = (
    "wrap",
    "Model",
    "Dataset",
    "Margin",
    "Unit",
    "Blurred",
    "MaskToken",
    "Background",
    "Explanation",
    "Measurement",
    "Audit",
    "Recipe",
    "members",
    "Disagreement",
    "Conformal",
    "Decision",
)
PARTS = {
    "explain": (
        "Composite", "EpsilonPlusFlat", "EpsilonGammaBox", "EpsilonAlpha2Beta1", "EpsilonAlpha2Beta1Flat",
        "Epsilon", "Gamma", "ZPlus", "AlphaBeta", "Flat", "WSquare", "ZBox",
    )
}  # fmt: skip
"""What methods are made of, after them."""

MODULES = {
    "layers": "Keras layers whose attention can be read, and those that remedies leave",
    "models": "small transformers of six kinds of data",
}
"""Modules of the package that are documented name by name, each on a page of its own."""

LISTS = ("Args", "Attributes", "Raises")
ENTRY = {
    "explain": ("explain", "disagreement"),
    "verify": ("verify",),
    "measure": ("measure",),
    "improve": ("improve", "label_survival", "size_of"),
}
"""What the page of a verb opens with."""

STUDY = ("compare", "Comparison", "Faithfulness", "recommend", "Recommendation")
"""What is about many models."""


def pages() -> dict[str, str]:
    """Every page of the reference by file name."""
    from pellucid.explain.propagation.table import page as treatments
    from pellucid.report.finding import reference as findings

    found = {f"{verb}.md": _verb(verb, title) for verb, title in VERBS.items()}
    found["core.md"] = _core()
    found["study.md"] = _study()
    found |= {f"{module}.md": _module(module, title) for module, title in MODULES.items()}
    found["findings.md"] = findings()
    found["propagation.md"] = treatments()
    found["bibliography.md"] = _bibliography()
    found["coverage.md"] = supported.page()
    return {"index.md": _index(), **found}


def _index() -> str:
    from pellucid.core.registry import entries

    lines = ["# Reference", "", "Made from the docstrings by `make docs`.", ""]
    for verb, title in VERBS.items():
        names = ", ".join(f"[{e.name}]({verb}.md#{e.name.lower()})" for e in entries(verb))
        lines += [f"- [{verb}]({verb}.md): {title.lower()}. {names}"]
    for module, title in MODULES.items():
        names = ", ".join(f"[{n}]({module}.md#pl{module}{n.lower()})" for n in _names(module))
        lines += [f"- [{module}]({module}.md): {title}. {names}"]
    told = ", ".join(f"[{name}](study.md#pl{name.lower()})" for name in STUDY)
    lines += [f"- [study](study.md): many models side by side. {told}"]
    lines += ["- [core](core.md): models, data, targets, results", "- [findings](findings.md): every code of an audit"]
    lines += ["- [propagation](propagation.md): what relevance and differences do at each kind of layer"]
    lines += ["- [coverage](coverage.md): which method works on which kind of model, and how exactly"]
    return "\n".join([*lines, "- [bibliography](bibliography.md): every paper"]) + "\n"


def _verb(verb: str, title: str) -> str:
    import pellucid as pl
    from pellucid.core.registry import entries

    parts = [f"# {verb}: {title.lower()}"]
    parts += [_thing(getattr(pl, name), f"pl.{name}") for name in ENTRY[verb]]
    for entry in entries(verb):
        parts.append(_thing(entry.load(), entry.name, entry.papers))
    parts += [_thing(getattr(pl, name), name) for name in PARTS.get(verb, ())]
    return "\n\n".join(parts) + "\n"


def _core() -> str:
    import pellucid as pl
    from pellucid.data import Planted, load, moving_shapes, tones

    made = [_thing(thing, f"pl.data.{thing.__name__}") for thing in (load, tones, moving_shapes, Planted)]
    shown = [_thing(getattr(pl, name), name if name[0].isupper() else f"pl.{name}") for name in CORE]
    return "\n\n".join(["# core: models, data, targets, results", *shown, *made]) + "\n"


def _study() -> str:
    import pellucid as pl

    shown = [_thing(getattr(pl, name), f"pl.{name}") for name in STUDY]
    return "\n\n".join(["# study: many models side by side", *shown]) + "\n"


def _names(module: str) -> list[str]:
    import pellucid as pl

    return sorted(getattr(pl, module).__all__, key=str.lower)


def _module(module: str, title: str) -> str:
    """The page of a module: what it says of itself, then every name in it."""
    import pellucid as pl

    found = getattr(pl, module)
    shown = [_thing(getattr(found, name), f"pl.{module}.{name}") for name in _names(module)]
    return "\n\n".join([f"# {module}: {title}", inspect.cleandoc(found.__doc__), *shown]) + "\n"


def _thing(thing: Any, title: str, papers: tuple[str, ...] = ()) -> str:
    from pellucid.cli.docstring import read, reflow, signature
    from pellucid.core.bibliography import paper

    told = read(thing)
    parts = [f"## {title}", f"`{signature(thing)}`", told.line, reflow(told.body)]
    for name, text in told.sections.items():
        if name == "Example":
            parts.append(f"**Example**\n\n```pycon\n{inspect.cleandoc(text)}\n```")
        elif name != "References" or not papers:
            parts.append(
                f"**{name}**\n\n{_items(reflow(text)) if name in ('Args', 'Attributes', 'Raises') else reflow(text)}"
            )
    if papers:
        parts.append("**Papers**\n\n" + "\n".join(f"- [{p}]({p.address})" for p in map(paper, papers)))
    return "\n\n".join(filter(None, parts))


def _items(text: str) -> str:
    lines = []
    for line in text.splitlines():
        name, mark, told = line.partition(": ")
        lines.append(f"- `{name.strip()}`: {told}" if mark else line)
    return "\n".join(lines)


def _bibliography() -> str:
    from pellucid.core.bibliography import PAPERS

    lines = [f"- {p}".replace(p.identifier, f"[{p.identifier}]({p.address})") for p in PAPERS.values()]
    return "\n".join(["# Bibliography", "", "As BibTeX: `pellucid methods --bibtex`.", "", *lines]) + "\n"


def main() -> None:
    """Write every page."""
    FOLDER.mkdir(exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
        print(f"docs/reference/{name}")


if __name__ == "__main__":
    main()
