"""A comparison to be read: one HTML page that needs nothing else, the same as Markdown, and the picture."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pellucid import plot
from pellucid.core.numbers import count, counted, figure, signed
from pellucid.core.record import writing
from pellucid.plot.scene import Picture, Table
from pellucid.study.paired import BETTER, HIGHER, LOWER, NONE, WORSE, Quantity, Row

PAGE, TEXT, PICTURE = "index.html", "comparison.md", "ledger.svg"

SIGNS = {BETTER: "✓", WORSE: "✗", HIGHER: "↑", LOWER: "↓", NONE: "="}
"""What stands for a verdict in a cell of the table; the words are in the numbers."""

LEAD = (
    "Means over seeds; under other recipes than the reference the paired difference with its interval. ✓ better, ✗ worse, "
    "= no difference shown."
)


def write(comparison: Any, folder: Path) -> Path:
    """Write page, text and picture to a folder."""
    drawn = picture(comparison)
    page, text = html(comparison), markdown(comparison, PICTURE if drawn else None)
    with writing(folder) as draft:
        (draft / PAGE).write_text(page, encoding="utf-8")
        (draft / TEXT).write_text(text, encoding="utf-8")
        if drawn:
            drawn.save(draft / PICTURE)
    return folder


def picture(comparison: Any) -> Picture | None:
    """The ledger, where there is more than one recipe."""
    return plot.ledger(comparison) if len(comparison.recipes) > 1 else None


def html(comparison: Any) -> str:
    """The page; all that came from the caller is escaped."""
    from pellucid.report.render.html import document

    version = comparison.provenance.versions.get("pellucid", "")
    return document(
        "comparison.html.j2", version, recipes=list(comparison.recipes), reference=comparison.reference,
        title=_title(comparison), facts=_facts(comparison), sections=list(_sections(comparison)),
    )  # fmt: skip


def markdown(comparison: Any, address: str | None = None) -> str:
    """The page as Markdown; `address` is that of the picture."""
    parts = [f"# {_plain(_title(comparison))}"]
    parts.append(
        "\n".join(f"- {f['name']}: {_plain(f['value'])}. {_plain(f['more'])}".rstrip(". ") for f in _facts(comparison))
    )
    for section in _sections(comparison):
        parts.append(f"## {section['title']}")
        parts += [_plain(section["lead"])] if section["lead"] else []
        if section["lines"]:
            parts.append("\n".join(f"- {_plain(line)}" for line in section["lines"]))
        if section["picture"] and address:
            parts.append(f"![{_plain(_title(comparison))}]({address})")
        if section["table"]:
            parts.append(_grid(section["table"]))
    return "\n\n".join(parts) + "\n"


def summary(comparison: Any) -> dict[str, Any]:
    """What other programs read: numbers that are none become null."""
    chosen = comparison.selection
    return _finite({
        "reference": comparison.reference, "recipes": {n: str(r) for n, r in comparison.recipes.items()},
        "seeds": list(comparison.seeds), "judged": comparison.judged, "rows": [_number(row) for row in comparison.rows],
        "effects": list(comparison.effects), "selection": None if chosen is None else {"recipe": chosen.recipe, "on": chosen.on,
        "quantity": chosen.quantity, "statement": chosen.statement}, "statement": comparison.statement,
        "failures": dict(comparison.failures), "blanks": dict(comparison.blanks), "notes": list(comparison.notes),
        "seconds": {n: list(map(float, s)) for n, s in zip(comparison.recipes, comparison.cost["seconds"], strict=True)},
    })  # fmt: skip


def _number(row: Row) -> dict[str, Any]:
    ends = {name: None if i is None else {"low": i.low, "high": i.high, "level": i.level}
            for name, i in (("interval", row.interval), ("difference_interval", row.difference_interval))}  # fmt: skip
    return {**row.settings(), **ends}


def _title(comparison: Any) -> str:
    others = [name for name in comparison.recipes if name != comparison.reference]
    return f"{', '.join(others)} against {comparison.reference}" if others else f"{comparison.reference} alone"


def _facts(comparison: Any) -> list[dict[str, str]]:
    """What was compared, in a few words each."""
    sizes, versions = comparison.sizes, comparison.provenance.versions
    held = ", ".join(f"{count(n)} {part}" for part, n in sizes.items() if part != "train")
    seconds = comparison.cost["seconds"]
    found = [
        ("Recipes", counted(len(comparison.recipes), "recipe"), f"reference: {comparison.reference}"),
        ("Seeds", counted(len(comparison.seeds), "seed"), ", ".join(map(str, comparison.seeds))),
        ("Examples", f"{count(sizes['train'])} for training", held),
        ("Judged on", f"{comparison.judged} examples", f"intervals at {100 * comparison.level:g} %"),
        ("Cost", f"{figure(float(seconds[seconds == seconds].sum()))} s of training", _size(comparison)),
        ("Made with", f"Pellucid {versions.get('pellucid', '')}", stack(versions)),
    ]  # fmt: skip
    return [{"name": name, "value": value, "more": more} for name, value, more in found]


def stack(versions: Any) -> str:
    """Keras and its backend."""
    return f"Keras {versions.get('keras', '')} on {versions.get('backend', '')}"


def _size(comparison: Any) -> str:
    sizes = comparison.cost["parameters"]
    known = sorted(set(sizes[sizes == sizes].astype(int).tolist()))
    ends = known if len(known) < 2 else (known[0], known[-1])
    return f"{' to '.join(map(count, ends))} trained numbers" if known else ""


def _sections(comparison: Any) -> Iterator[dict[str, Any]]:
    """What the page says, part by part."""
    from markupsafe import Markup

    drawn = picture(comparison)
    if drawn:
        yield _section(
            "effects", "What each recipe does", "Gains first, then what they cost elsewhere.", comparison.effects
        )
        lead = (
            "The difference from the reference with its interval, each on its own scale. Blue is better, orange worse."
        )
        yield _section("ledger", "The ledger", lead, picture=Markup(drawn.svg(None)), numbers=drawn.table)
    yield _section("table", "The table", LEAD, table=wide(comparison))
    yield _section("selection", "How the winner was selected", comparison.statement)
    recipes = Table(("recipe", "remedies"), tuple((name, str(recipe)) for name, recipe in comparison.recipes.items()))
    yield _section("recipes", "The recipes", "As they were trained.", table=recipes)
    if more := [*(f"{name}: {why}" for name, why in comparison.blanks.items()), *comparison.notes]:
        yield _section(
            "missing", "What is missing", "Cells without a number, and what else a reader should know.", more
        )


def _section(id: str, title: str, lead: str, lines: Any = (), **more: Any) -> dict[str, Any]:
    return {
        "id": id,
        "title": title,
        "lead": lead,
        "lines": tuple(lines),
        "picture": None,
        "numbers": None,
        "table": None,
        **more,
    }


def wide(comparison: Any) -> Table:
    """A row a recipe, a column a quantity, then what it cost."""
    rows = []
    for name in comparison.recipes:
        cells = [cell(comparison.row(name, q.name), q) for q in comparison.quantities]
        rows.append((name, *cells, _seconds(comparison, name)))
    return Table(("recipe", *(q.label for q in comparison.quantities), "training time"), tuple(rows))


def cell(row: Row, quantity: Quantity) -> str:
    """A mean, and how it differs: "74.8 % (−3.9 points [−6.0 to −1.8] ✗)"."""
    if row.value is None:
        return "–"
    mean = figure(row.value, percent=quantity.share)
    if row.difference is None:
        return f"{mean} ({row.verdict})" if row.note else mean
    told = signed(row.difference, row.difference_interval, percent=quantity.share).removesuffix("\xa0points")
    return f"{mean} ({told} [{row.around(percent=quantity.share)}] {SIGNS.get(row.verdict, row.verdict)})"


def _seconds(comparison: Any, name: str) -> str:
    own = comparison.cost["seconds"][list(comparison.recipes).index(name)]
    known = own[own == own]
    if not len(known):
        return "–"
    ratio = "" if name == comparison.reference else f" ({figure(comparison.time(name)[0])} ×)"
    return f"{figure(float(known.mean()))} s{ratio}"


def _grid(table: Table) -> str:
    lines = [table.columns, ["---"] * len(table.columns), *table.rows]
    return "\n".join(f"| {' | '.join(map(_plain, line))} |" for line in lines)


def _finite(value: Any) -> Any:
    from pellucid.report.render.plain import finite

    return finite(value)


def _plain(text: Any) -> str:
    """Text that cannot start a table cell, a tag, a link or emphasis of its own."""
    from pellucid.report.render.plain import escaped

    return escaped(text)
