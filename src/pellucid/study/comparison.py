"""The record of a comparison: a row a recipe, a column a quantity, and how the winner was selected."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pellucid.core.numbers import counted, figure, signed
from pellucid.core.record import Provenance, Record
from pellucid.core.registry import unknown
from pellucid.core.resampling import Interval
from pellucid.errors import UnknownName
from pellucid.improve.recipe import Recipe
from pellucid.shapes import Floats
from pellucid.study import effects
from pellucid.study.paired import Quantity, Row
from pellucid.study.selection import Selection, selected


@dataclass(frozen=True, eq=False)
class Comparison(Record):
    """Recipes side by side.

    Attributes:
        recipes: The recipes by name, R of them.
        reference: The name of the recipe that the others are compared with.
        seeds: One training each, S of them.
        quantities: What was measured, M of them: name, which way is better, whether it is a share.
        scores: By part ("train", "validation", "test") an array (R, S, M), NaN where there is no number.
        judged: The part that the table is about.
        rows: The table: the mean of each quantity under each recipe, its paired difference from the reference, and a verdict.
        cost: "seconds" of training, "parameters" and those that are not zero ("nonzero"), arrays (R, S). They are told, and not
            tested.
        sizes: Examples in each part.
        failures: Recipes of which a training diverged, with the seeds and the reason.
        blanks: Quantities that are missing for a recipe, by "recipe: quantity", with the reason.
        selection: The choice on validation data; None without them.
        level: The level of all intervals, and 1 minus the limit of adjusted p-values.
        interrupted: Whether it is of fewer seeds than were asked for, because Ctrl-C ended it.
        notes: What else a reader should know.
        provenance: Cost and versions.
    """

    recipes: Mapping[str, Recipe]
    reference: str
    seeds: tuple[int, ...]
    quantities: tuple[Quantity, ...]
    scores: Mapping[str, Floats]
    judged: str
    rows: tuple[Row, ...]
    cost: Mapping[str, Floats]
    sizes: Mapping[str, int]
    failures: Mapping[str, str] = field(default_factory=dict)
    blanks: Mapping[str, str] = field(default_factory=dict)
    selection: Selection | None = None
    level: float = 0.95
    interrupted: bool = False
    notes: tuple[str, ...] = ()
    provenance: Provenance = field(default_factory=Provenance)

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the quantities."""
        return tuple(q.name for q in self.quantities)

    def row(self, recipe: str, metric: str) -> Row:
        """One row of the table."""
        for row in self.rows:
            if (row.recipe, row.metric) == (recipe, metric):
                return row
        raise UnknownName(unknown("row", f"{recipe}, {metric}", (f"{row.recipe}, {row.metric}" for row in self.rows)))

    def selected(self, on: str = "validation", quantity: str | None = None, *, oracle: bool = False) -> Selection:
        """The recipe with the best mean over seeds, and in words what that choice is worth.

        Args:
            on: "validation", or "test" for an oracle.
            quantity: What it is chosen by; None for log loss, or root mean squared error.
            oracle: Whether it is meant as a diagnostic: what a choice in hindsight would be. Comparisons of methods against
                shifts were found to hinge on it (Gulrajani and Lopez-Paz 2021, arXiv:2007.01434).

        Raises:
            NotApplicable: A choice on test data that is not called an oracle's, or on data that were not given.
            UnknownName: No such quantity, or one for which neither way is better.
        """
        return selected(self, on, quantity, oracle)

    def best(self, metric: str | None = None) -> str:
        """The recipe selected on validation data; by log loss or root mean squared error if nothing is named.

        Raises:
            NotApplicable: There were no validation data: choosing on test data would make its score too good.
        """
        return self.selected(quantity=metric).recipe

    @property
    def effects(self) -> tuple[str, ...]:
        """What each recipe does to everything that was measured, in words; side effects are called out."""
        return effects.effects(self)

    def time(self, recipe: str) -> tuple[float, Interval]:
        """The training time of a recipe in units of the reference's, with its interval."""
        return effects.of_time(self, recipe)

    @property
    def statement(self) -> str:
        """Which data were used for what, and how the choice was made."""
        sizes = self.sizes
        used = f"Trained on {counted(sizes['train'], 'example')} with {counted(len(self.seeds), 'seed')}"
        if "validation" in sizes:
            used += f"; stopping and choosing on {counted(sizes['validation'], 'validation example')}"
        if self.judged == "test":
            told = f"{used}; judged on {counted(sizes['test'], 'test example')} that no recipe saw."
        else:
            told = f"{used}; judged on those same validation examples: where a recipe stops by them, its score is too good."
        chosen = "No recipe was selected: there were no validation data to choose on."
        return f"{told} {self.selection.statement if self.selection else chosen}"

    def summary(self) -> dict[str, Any]:
        """The table, the effects and the choice in plain keys and numbers, for other programs."""
        from pellucid.study.page import summary

        return summary(self)

    def page(self, folder: str | Path) -> Path:
        """Write the comparison to be read: `index.html`, `comparison.md` and the picture `ledger.svg`; gives the folder.

        Raises:
            UnwritableOutput: The folder cannot be made or written.
        """
        from pellucid.study.page import write

        return write(self, Path(folder))

    def html(self) -> str:
        """One page that needs nothing else."""
        from pellucid.study.page import html

        return html(self)

    def markdown(self, picture: str | None = None) -> str:
        """The same as Markdown; `picture` is the address of the drawn ledger."""
        from pellucid.study.page import markdown

        return markdown(self, picture)

    def __str__(self) -> str:
        width = max(len("recipe"), *map(len, self.recipes))
        named = {q.name: q for q in self.quantities}
        around = f"{100 * self.level:g} % interval"
        head = f"{'recipe':<{width}}  {'quantity':<32} {'mean':>9} {'difference':>14} {around:>22} {'adjusted p':>10}  verdict"
        lines = [_line(row, named[row.metric], width) for row in self.rows]
        more = [f"blank: {name}: {why}" for name, why in self.blanks.items()]
        return "\n".join([head, *lines, "", *self.effects, *more, *self.notes, self.statement])

    def _repr_html_(self) -> str:
        from pellucid.plot.scene import escape

        return f'<iframe srcdoc="{escape(self.html())}" style="width:100%;height:80vh;border:0" title="Comparison"></iframe>'


def _line(row: Row, quantity: Quantity, width: int) -> str:
    start = f"{row.recipe:<{width}}  {quantity.label:<32.32} {figure(row.value, percent=quantity.share):>9}"
    if row.difference is None or row.adjusted is None:
        return f"{start} {'':>14} {'':>22} {'':>10}  {row.verdict}"
    around = row.around(percent=quantity.share)
    difference = signed(row.difference, row.difference_interval, percent=quantity.share)
    return f"{start} {difference:>14} {around:>22} {row.adjusted:>10.3g}  {row.verdict}"
