"""Every whisker ends where the interval ends, on its column's own axis; colours say what verdicts say."""

from dataclasses import replace

import numpy as np
import pytest

import pellucid as pl
from pellucid.core.measurement import Measurement
from pellucid.core.numbers import figure
from pellucid.errors import InvalidInput
from pellucid.plot.scene import Dot, Line, Text
from pellucid.study.assembly import assembled
from pellucid.study.trial import Plan, Trial


def comparison(recipes=("plain", "up", "down", "wild"), failed="wild", seeds=4):
    """Accuracy rises under "up" and falls under "down"; a measure is missing under "down"."""
    named = {n: pl.Recipe() if n == "plain" else pl.Recipe(pl.L2(0.1 + i)) for i, n in enumerate(recipes)}
    data = {part: pl.Dataset(np.zeros((20, 1)), np.arange(20) % 2) for part in ("train", "test")}
    plan = Plan(lambda: None, named, tuple(range(seeds)), data, [pl.CalibrationError()])
    draw, done = np.random.default_rng(0), []
    for name, seed in plan.tasks:
        change = {"up": 0.05, "down": -0.04}.get(name, 0.0)
        quality = {"accuracy": 0.8 + change + draw.normal(0, 0.004), "log_loss": 0.4 + draw.normal(0, 0.02)}
        value = None if name == "down" else 0.05 + draw.normal(0, 0.01)
        error = Measurement(
            "calibration_error", value, better="lower", share=True, detail={"explanation": "no confidence"}
        )
        good = {"performance": {"train": quality, "test": quality}, "measured": {"test": (error,)}}
        why = {"failed": "diverged"} if name == failed and seed == 1 else good
        done.append(Trial(name, seed, seconds=1 + draw.random(), parameters=3, **why))
    return assembled(plan, done, 0.95)


@pytest.fixture(scope="module")
def found():
    return comparison()


class Column:
    """What is drawn in the first band of a column, and its axis from numbers to pixels, read from the tick labels below it."""

    def __init__(self, picture, title):
        texts = [m for m in picture.marks if isinstance(m, Text)]
        head = next(t for t in texts if t.text == title)
        right = min((t.x for t in texts if t.y == head.y and t.x > head.x), default=picture.width)
        ticks = [t for t in texts if head.x <= t.x < right and t.anchor == "middle" and t.y > head.y]
        below = min(t.y for t in ticks)
        pairs = [(float(t.text.replace("−", "-")), t.x) for t in ticks if t.y == below]
        self.slope, self.start = np.polyfit(*zip(*pairs, strict=True), 1)
        inside = lambda x, y: head.x <= x < right and head.y < y < below  # noqa: E731
        self.dots = [m for m in picture.marks if isinstance(m, Dot) and inside(m.x, m.y)]
        self.lines = [m for m in picture.marks if isinstance(m, Line) and inside(*m.points[0])]

    def place(self, number):
        return pytest.approx(self.slope * number + self.start, abs=0.2)


def test_whiskers_run_from_low_to_high(found):
    for title, name, scale in (("accuracy", "accuracy", 100), ("log loss", "log_loss", 1)):
        column, rows = Column(pl.plot.ledger(found), title), [found.row(recipe, name) for recipe in ("up", "down")]
        assert len(column.dots) == 2
        for dot, row in zip(column.dots, rows, strict=True):
            assert dot.x == column.place(scale * row.difference)
            (whisker,) = [m for m in column.lines if m.points[0][1] == m.points[1][1] == dot.y]
            for point, end in zip(whisker.points, row.difference_interval, strict=True):
                assert point[0] == column.place(scale * end)
        zeros = [m for m in column.lines if m.dash]
        assert [m.points[0][0] for m in zeros] == [column.place(0)] * 3


def test_colours_say_the_verdict(found):
    picture = pl.plot.ledger(found)
    assert [found.row(r, "accuracy").verdict for r in ("up", "down")] == ["better", "worse"]
    dots = Column(picture, "accuracy").dots
    assert [(d.colour, d.hollow) for d in dots] == [("for", False), ("against", False)]
    assert found.row("up", "log_loss").verdict == "no difference shown"
    assert {(d.colour, d.hollow) for d in Column(picture, "log loss").dots} == {("reference", True)}


def test_what_is_missing_is_said(found):
    texts = [m.text for m in pl.plot.ledger(found).marks if isinstance(m, Text)]
    assert texts.count("failed") == len(found.quantities)
    assert "–" in texts, "a quantity that a recipe has none of"
    assert "the reference" in texts
    own = found.row("plain", "accuracy")
    assert figure(own.value, own.interval, percent=True) in texts, "the reference's own value"


def test_a_quantity_that_none_has_takes_no_room(found):
    rows = tuple(replace(r, value=None, difference=None) if r.metric == "calibration_error" else r for r in found.rows)
    texts = [m.text for m in pl.plot.ledger(replace(found, rows=rows)).marks if isinstance(m, Text)]
    assert "accuracy" in texts
    assert "calibration error" not in texts


def test_every_difference_is_in_the_table(found):
    table = pl.plot.ledger(found).table
    assert len(table.rows) == len(found.rows)
    assert {row[-1] for row in table.rows} == {row.verdict for row in found.rows}


def test_nothing_leaves_the_sheet(found):
    picture = pl.plot.ledger(found)
    for mark in picture.marks:
        xs = [p[0] for p in mark.points] if isinstance(mark, Line) else [mark.x]
        ys = [p[1] for p in mark.points] if isinstance(mark, Line) else [mark.y]
        assert min(xs) >= 0
        assert max(xs) <= picture.width
        assert max(ys) <= picture.height
    assert picture.svg(None).startswith("<svg")
    assert picture.png()[:4] == b"\x89PNG"


def test_one_seed_has_dots_without_whiskers():
    column = Column(pl.plot.ledger(comparison(failed="", seeds=1)), "accuracy")
    assert len(column.dots) == 3
    assert not [m for m in column.lines if m.points[0][1] == m.points[1][1] and m.colour != "rule"]


def test_one_recipe_has_nothing_to_draw():
    with pytest.raises(InvalidInput, match="at least two recipes"):
        pl.plot.ledger(comparison(recipes=("plain",)))
