"""The page is sound HTML: one document, nothing loaded, headings in order, every picture named, nothing from data alive."""

import base64
import hashlib
import re
from html.parser import HTMLParser
from itertools import pairwise

import pytest

from pellucid.report.render import html

VOID = {"meta", "br", "img", "link", "input", "hr", "image", "rect", "polyline", "polygon", "circle"}


class Page(HTMLParser):
    """Reads a page and keeps its elements; complains of tags that are not closed in order."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.elements, self.words = [], [], {}
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs), tuple(self.open)))
        if tag not in {"meta", "br", "img", "link", "input", "hr"}:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs), tuple(self.open)))

    def handle_endtag(self, tag):
        assert self.open
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open:
            self.words.setdefault(self.open[-1], []).append(data)

    def all(self, tag):
        return [attrs for name, attrs, _ in self.elements if name == tag]


@pytest.fixture(scope="session")
def page(audited):
    return Page(audited.html())


def test_headings_do_not_skip_levels(page):
    levels = [int(tag[1]) for tag, _, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b <= a + 1 for a, b in pairwise(levels))


def test_landmarks_language_and_title(page):
    assert page.all("html")[0]["lang"] == "en"
    assert [len(page.all(tag)) for tag in ("main", "header", "footer", "nav", "title")[:4]] == [1, 1, 1, 1]
    assert page.all("a")[0] == {"class": "skip", "href": "#main"}
    assert "small on toy: " in "".join(page.words["title"])


def test_every_link_inside_the_page_leads_somewhere(page):
    ids = [attrs["id"] for _, attrs, _ in page.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert {a["href"].removeprefix("#") for a in page.all("a")} <= set(ids)
    labelled = {attrs["aria-labelledby"] for _, attrs, _ in page.elements if "aria-labelledby" in attrs}
    assert labelled <= set(ids)


def test_every_picture_has_a_name_and_its_numbers(page):
    pictures = page.all("svg")
    assert len(pictures) >= 10
    assert all(p["role"] == "img" and len(p["aria-label"]) > 5 for p in pictures)
    cards = [i for i, (tag, _, _) in enumerate(page.elements) if tag == "article"]
    assert len(page.all("details")) == len(cards)


def test_tables_say_what_their_cells_belong_to(page):
    scopes = [attrs.get("scope") for attrs in page.all("th")]
    assert set(scopes) == {"col", "row"}


def test_nothing_is_loaded_and_only_one_script_may_run(page, audited):
    for tag, attrs, _ in page.elements:
        for key in ("src", "href", "srcset", "action", "data", "xlink:href"):
            if key in attrs:
                assert attrs[key].startswith(("#", "data:image/png")), (tag, attrs[key])
    assert page.all("link") == []
    text = audited.html()
    assert "@import" not in text
    assert "url(" not in text
    outside = set(re.findall(r"https?://[^\s\"'<)]+", text)) - {"http://www.w3.org/2000/svg"}
    assert all(u.startswith(("https://doi.org/", "https://arxiv.org/")) for u in outside)
    policy = next(m["content"] for m in page.all("meta") if m.get("http-equiv") == "Content-Security-Policy")
    digest = base64.b64encode(hashlib.sha256("".join(page.words["script"]).encode()).digest()).decode()
    assert "default-src 'none'" in policy
    assert f"script-src 'sha256-{digest}'" in policy


def test_what_comes_from_data_is_never_markup(hostile):
    page = Page(hostile.html())
    assert len(page.all("script")) == 1
    assert page.all("img") == []
    assert not any(key.startswith("on") for _, attrs, _ in page.elements for key in attrs)
    text = " ".join("".join(words) for words in page.words.values())
    assert "<script>alert(1)</script>" in text
    assert "{{ 7*7 }}" in text
    assert "49" not in re.findall(r"--> (\d+)", text)


def test_both_themes_and_print_are_styled(page):
    style = "".join(page.words["style"])
    for rule in ("prefers-color-scheme: dark", '[data-theme="dark"]', "@media print", "prefers-reduced-motion"):
        assert rule in style


def test_the_first_screen_tells_the_verdict_and_each_finding(audited, page):
    words = " ".join("".join(w) for w in page.words.values())
    for found in audited.findings:
        assert found.code in words
        assert found.title.replace(" %", "\u202f%") in words.replace("\xa0", " ") or found.title in words
    assert audited.sentence.replace(" %", "\u202f%") in words
    assert audited.subject["date"] in words


def test_the_page_is_small(audited):
    assert len(audited.html().encode()) < 1_500_000


def test_unverified_explanations_are_said_to_be_so(audited):
    import dataclasses

    bare = dataclasses.replace(audited, verification=(), trust="unverified", trust_reason="")
    assert bare.html().count("These explanations have not been verified") == 2


def test_domains_and_groups_are_drawn_side_by_side():
    import numpy as np

    import pellucid as pl
    from pellucid.report.render.sections import generalization

    x = np.tile(np.linspace(0, 1, 100), 2)[:, None]
    y = (x[:, 0] > np.repeat([0.5, 0.8], 100)).astype(int)
    model = pl.wrap(lambda x: np.hstack([1 - x, x]), output="probabilities")
    where = {"site": np.repeat(["A", "B"], 100)}
    asked = [pl.DomainGap(where, reference="A"), pl.Subgroups(where)]
    made = pl.Audit({}, measurements=pl.measure(model, asked, test=(x, y)))
    drawn = {d.title: str(d.picture) for d in generalization(made).figures}
    assert set(drawn) == {"Accuracy of each domain", "Accuracy of each group"}


def test_numbers_stand_to_the_right_where_a_column_holds_nothing_else():
    rows = [["plain", 0.5, "96.8\u202f%", "97 %"], ["L2", None, "−1.5", "97 % (+0 =)"]]
    assert html._numeric_columns(rows) == [False, True, True, False]
    assert html._numeric_columns([["", None]]) == [False, False]
    assert html._numeric_columns([]) == []
