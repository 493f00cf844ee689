"""The page says what was compared, shows it, and lets nothing from data or names come alive."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise

import pytest

import pellucid as pl
from pellucid.study.page import wide


def test_every_part_is_on_the_page_and_in_the_text(found, tmp_path):
    folder = found.page(tmp_path / "page")
    page, text = (folder / "index.html").read_text(), (folder / "comparison.md").read_text()
    for told in ("What each recipe does", "The ledger", "The table", "How the winner was selected", "The recipes"):
        assert told in page
        assert f"## {told}" in text
    assert "![small against plain](ledger.svg)" in text
    assert (folder / "ledger.svg").read_text().startswith("<svg")
    assert page.count("<svg") == 1
    assert "had no part in the choice" in page
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "").replace(
        'http-equiv="Content-Security-Policy"', ""
    )


class Sound(HTMLParser):
    """Complains of tags that are not closed in order."""

    def __init__(self, text):
        super().__init__()
        self.open = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        if tag not in {"meta", "br", "img", "link", "input", "hr"}:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_sound(found):
    page = found.html()
    Sound(page)
    levels = [int(n) for n in re.findall(r"<h([1-6])", page)]
    assert levels[0] == 1
    assert all(b - a <= 1 for a, b in pairwise(levels))
    assert len(set(ids := re.findall(r'id="([^"]+)"', page))) == len(ids)


def test_the_table_has_a_row_a_recipe_and_a_column_a_quantity(found):
    table = wide(found)
    assert table.columns == ("recipe", *(q.label for q in found.quantities), "training time")
    assert [row[0] for row in table.rows] == ["small", "plain"]
    row = found.row("small", "log_loss")
    cell = table.rows[0][table.columns.index("log loss")]
    assert cell.startswith(f"{row.value:.3f} (")
    assert "[" in cell
    lines = [line for line in found.markdown().splitlines() if line.startswith("| plain | ")]
    assert lines[0].count(" | ") == len(table.columns) - 1


def test_names_are_escaped(found):
    evil = "<script>alert(1)</script>|x"
    rows = tuple(replace(r, recipe=evil) if r.recipe == "small" else r for r in found.rows)
    named = replace(found, recipes={evil: found.recipes["small"], "plain": pl.Recipe()}, rows=rows)
    assert "<script>alert" not in named.html()
    assert "<script>" not in named.markdown()
    assert "|x" not in named.markdown().replace("\\|x", "")


def test_one_recipe_alone_has_a_page_without_a_picture(quick, tmp_path):
    folder = quick(recipes={"plain": pl.Recipe()}, seeds=1).page(tmp_path / "page")
    assert not (folder / "ledger.svg").exists()
    assert "plain alone" in (folder / "comparison.md").read_text()


def test_plain_keys_for_other_programs(found):
    told = found.summary()
    assert told["reference"] == "plain"
    first = next(r for r in told["rows"] if r["difference"] is not None)
    row = found.row(first["recipe"], first["metric"])
    assert first["difference_interval"]["low"] == pytest.approx(row.difference_interval.low)
    assert told["selection"]["recipe"] == found.selection.recipe
