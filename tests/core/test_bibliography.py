"""The bibliography: complete for the registry, and every identifier well formed."""

import re

import pytest

from pellucid.core.bibliography import PAPERS, bibtex, paper
from pellucid.core.registry import ENTRIES
from pellucid.errors import UnknownName


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda e: e.name)
def test_every_method_names_papers_that_exist(entry):
    assert entry.papers, "a method says whose idea it is"
    assert [paper(key).key for key in entry.papers] == list(entry.papers)


def test_no_paper_is_left_that_no_method_uses():
    assert set(PAPERS) == {key for entry in ENTRIES for key in entry.papers}


@pytest.mark.parametrize("key", PAPERS)
def test_a_paper_can_be_found_by_its_identifier(key):
    found = PAPERS[key]
    assert found.doi or found.arxiv or found.url
    assert not found.doi or re.fullmatch(r"10\.\d{4,9}/\S+", found.doi)
    assert not found.arxiv or re.fullmatch(r"\d{4}\.\d{4,5}", found.arxiv)
    assert not (found.url and (found.doi or found.arxiv)), "an address is for papers without an identifier"
    assert key.endswith(str(found.year)), "the key names the year"
    assert all("," in author for author in found.authors.split(" and ")), "authors are 'Family, Given'"


def test_bibtex_has_one_balanced_entry_a_paper():
    text = bibtex()
    entries = text.split("\n\n")
    assert [re.match(r"@misc\{(\w+),", entry)[1] for entry in entries] == sorted(PAPERS)
    for entry in entries:
        assert entry.count("{") == entry.count("}")
        body = entry.split("\n")[1:-1]
        assert all(re.fullmatch(r"  \w+ = \{.+\},", line) for line in body), entry
        assert not re.search(r"(?<!\\)&", entry)


def test_bibtex_of_some_keys_is_sorted_and_without_repeats():
    assert bibtex(["zeiler2014", "efron1987", "zeiler2014"]).count("@misc") == 2
    assert bibtex(["zeiler2014", "efron1987"]).startswith("@misc{efron1987,")


def test_citations_name_authors_as_papers_do():
    assert paper("efron1987").names == "Efron"
    assert paper("geifman2017").names == "Geifman and El-Yaniv"
    assert str(paper("smilkov2017")).startswith("Smilkov et al. (2017). SmoothGrad")


def test_an_unknown_key_offers_the_nearest():
    with pytest.raises(UnknownName, match="sundararajan2017"):
        paper("sundararajan2018")
