"""`pellucid methods`: every method, its paper, and all about one."""

import json

from pellucid.core.bibliography import PAPERS, paper
from pellucid.core.registry import ENTRIES


def test_every_method_is_listed_with_its_papers(pellucid_command):
    found = json.loads(pellucid_command("methods", "--json").out)
    assert [item["name"] for item in found] == [entry.name for entry in ENTRIES]
    for item, entry in zip(found, ENTRIES, strict=True):
        assert [p["key"] for p in item["papers"]] == list(entry.papers)
    shown = pellucid_command("methods").out
    for entry in ENTRIES:
        assert entry.name in shown
        assert all(paper(key).names.split()[0] in shown for key in entry.papers)


def test_one_verb_and_one_method(pellucid_command):
    found = json.loads(pellucid_command("methods", "--verb", "verify", "--json").out)
    assert {item["verb"] for item in found} == {"verify"}
    told = pellucid_command("methods", "integrated_gradients").out
    assert "pl.IntegratedGradients(" in told
    for word in ("Args", "Limits", "Example", "arXiv:1703.01365", "tolerance"):
        assert word in told


def test_the_bibliography(pellucid_command):
    assert pellucid_command("methods", "--bibtex").out.count("@misc{") == len(PAPERS)
    assert pellucid_command("methods", "Gradient", "--bibtex").out.startswith("@misc{simonyan2014,")


def test_unknown_names_offer_the_nearest(pellucid_command):
    told = pellucid_command("methods", "SmothGrad")
    assert told.code == 2
    assert "'SmoothGrad'" in told.err
    assert "'verify'" in pellucid_command("methods", "--verb", "verfy").err
