"""The documentation tells the truth: examples run, sections are there, links lead somewhere."""

import dataclasses
import doctest
import importlib
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import pellucid
from pellucid.cli.docstring import read
from pellucid.core.bibliography import paper
from pellucid.core.registry import ENTRIES

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")])
MODULES = sorted(
    ".".join(p.relative_to(ROOT / "src").with_suffix("").parts).removesuffix(".__init__")
    for p in (ROOT / "src").rglob("*.py")
    if "_backend" not in p.parts
)
VERBS = ("audit", "compare", "explain", "improve", "label_survival", "load", "measure", "verify", "wrap")
FORBIDDEN = re.compile(
    r"(?<![\w.])/(work|home|root)/|pypi\.org|pythonhosted|file:///|\bissue #?\d+|\bthis session\b", re.I
)
TEXT = {".py", ".md", ".toml", ".yaml", ".yml", ".cff", ".txt", ".html", ".css", ".js", ""}


@pytest.mark.parametrize("module", MODULES)
def test_examples_of_a_module_run(module, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    found = importlib.import_module(module)
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    result = doctest.testmod(found, optionflags=flags, verbose=False)
    assert result.failed == 0, f"{result.failed} of {result.attempted} examples of {module} failed; see above"


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda e: e.name)
def test_a_method_is_described_in_full(entry):
    kind = entry.load()
    told = read(kind)
    assert told.line.endswith((".", "?")), "one line, a sentence"
    assert len(told.body) > 40, "the question it answers and the formula"
    fields = [f.name for f in dataclasses.fields(kind) if not f.name.startswith("_")]
    for section in ("Example", "References", "Limits", *(["Args"] if fields else [])):
        assert told.sections.get(section), f"{entry.name} has no section {section}"
    missing = [name for name in fields if not re.search(rf"^[\w, ]*\b{name}\b[\w, ]*:", told.sections["Args"], re.M)]
    assert not missing, f"{entry.name}: Args does not tell of {', '.join(missing)}"
    assert "pl." in told.sections["Example"], "the example uses the public names"


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda e: e.name)
def test_a_method_names_its_papers(entry):
    told = read(entry.load()).sections.get("References", "")
    for key in entry.papers:
        found = paper(key)
        identifiers = [i for i in (found.doi, found.arxiv) if i]
        family = found.authors.split(",")[0].split()[-1].translate(str.maketrans({"ö": "oe"}))
        named = told.translate(str.maketrans({"ö": "oe"}))
        assert str(found.year) in told, f"{entry.name}: References lacks {found.names} {found.year}"
        assert family in named, f"{entry.name}: References lacks {found.names} {found.year}"
        assert not identifiers or any(i in told for i in identifiers), (
            f"{entry.name}: References lacks {found.identifier}"
        )


@pytest.mark.parametrize("name", VERBS)
def test_a_verb_is_described_in_full(name):
    told = read(getattr(pellucid, name))
    wanted = ("Raises",) if name == "load" else ("Args", "Raises", "Limits")
    for section in wanted:
        assert told.sections.get(section) or name == "load", f"{name} has no section {section}"
    if "Args" in told.sections:
        for argument in inspect.signature(getattr(pellucid, name)).parameters:
            assert re.search(rf"^[\w, ]*\b{argument}\b[\w, ]*:", told.sections["Args"], re.M), f"{name}: {argument}"


def blocks(page: Path) -> list[str]:
    """The Python code of a page; a block that follows `<!-- not run -->` is left out."""
    text = page.read_text(encoding="utf-8")
    return re.findall(r"(?<!<!-- not run -->\n)^```python\n(.*?)^```", text, re.M | re.S)


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p)], ids=lambda p: str(p.relative_to(ROOT)))
def test_code_on_a_page_runs(page, tmp_path):
    code = "\n".join(blocks(page))
    environment = {**os.environ, "KERAS_BACKEND": os.environ.get("KERAS_BACKEND", "tensorflow")}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{page.name}: {done.stderr[-2000:]}"


ASKED = {
    "attention.py": ["tones"],
    "holding_up.py": ["digits"],
    "coloured_digits.py": ["--seeds", "1", "--steps", "20"],
    "spread_of_values.py": ["--splits", "2", "--epochs", "5"],
}
"""What an example is asked, where all it can do would take long."""


@pytest.mark.slow
@pytest.mark.parametrize("script", sorted((ROOT / "examples").rglob("*.py")), ids=lambda p: p.name)
def test_an_example_runs(script, tmp_path):
    command = [sys.executable, script, *ASKED.get(script.name, [])]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout


def test_an_example_says_which_data_are_not_there(tmp_path):
    script, there = ROOT / "examples" / "attention.py", {**os.environ, "PELLUCID_DATA": str(tmp_path / "nothing")}
    asked = [sys.executable, script, "ecg", "text"]
    done = subprocess.run(asked, cwd=tmp_path, env=there, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    for name in ("ecg is left out: no ecg5000_train/ECG5000_TRAIN.txt.gz", "text is left out: no sst2/train.tsv.gz"):
        assert name in done.stdout
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)|src=\"([^\"]+)\"", text):
        link = next(filter(None, target))
        if link.startswith(("http://", "https://", "mailto:")):
            continue
        name, _, anchor = link.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.exists(), f"{page.name} links to {link}"
        if anchor and file.suffix == ".md":
            assert anchor in anchors(file), f"{page.name} links to {link}, which has no such heading"


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def test_the_project_speaks_of_itself_alone():
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a checkout")
    wrong = []
    for name in listed.stdout.split():
        path = ROOT / name
        if (
            path.suffix in {".py", ".md", ".toml", ".yaml", ".yml", ".cff", ".txt", ".html", ".css", ""}
            and path.is_file()
        ):
            text = path.read_text(encoding="utf-8", errors="ignore")
            if path != Path(__file__) and (found := FORBIDDEN.search(text)):
                wrong.append(f"{name}: {found[0]!r}")
    assert not wrong, "; ".join(wrong)


def test_the_reference_is_up_to_date():
    sys.path.insert(0, str(ROOT / "docs"))
    try:
        pages = importlib.import_module("generate").pages()
    finally:
        sys.path.remove(str(ROOT / "docs"))
    stale = [
        name for name, text in pages.items() if (ROOT / "docs/reference" / name).read_text(encoding="utf-8") != text
    ]
    assert not stale, f"run `make docs`: {', '.join(stale)}"
