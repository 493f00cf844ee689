"""The walls of the house: who may import whom, how long things may be, what may happen on import."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import pellucid

ROOT = Path(__file__).parents[1]
SRC = ROOT / "src" / "pellucid"
FILES = sorted(SRC.rglob("*.py"))
FRAMEWORKS = {"tensorflow", "jax", "torch"}
HEAVY = {
    "keras",
    "scipy",
    "sklearn",
    "skimage",
    "matplotlib",
    "polars",
    "pyarrow",
    "jinja2",
    "typer",
    "rich",
    *FRAMEWORKS,
}

# part of the package -> the parts it may import besides itself; the arrows of the design, spelled out
BASE = {"errors", "shapes"}
CORE = BASE | {"_backend", "core"}
DATA = CORE | {"data"}
VERBS = {"explain", "measure", "improve", "layers"}
ALLOWED = {
    "errors": set(),
    "shapes": set(),
    "_backend": BASE,
    "core": BASE | {"_backend"},
    "training": CORE,
    "data": CORE,
    "explain": DATA,
    "measure": DATA | {"training"},
    "improve": DATA | {"training"},
    "layers": DATA,
    "models": DATA | {"layers"},
    "verify": DATA | {"training", "explain.base"},
    "plot": BASE | {"core.numbers", "core.record", "core.measurement", "core.resampling", "core.randomness"},
    "report": DATA | {"explain", "verify", "measure", "plot"},
    "study": DATA | VERBS | {"training", "models", "verify", "plot", "report"},
    "cli": DATA | VERBS | {"training", "models", "verify", "plot", "report", "study"},
    "testing": BASE | {"__init__"},
    "__init__": {"errors", "core.registry"},
}
# what is loaded with a part that is itself loaded only when it is used: a Keras layer is a class of Keras
LOADED_WHEN_USED = {"cli": {"typer"}, "layers": {"keras"}, "models": {"keras"}}
# what a part may use of another for the names of types alone
TYPES_ALONE = {"__init__": DATA | VERBS | {"verify", "report", "study"}, "plot": {"explain.base"}}


def name_of(path: Path) -> str:
    """The module of a file, without the package's own name: "core.model"; the package itself is "__init__"."""
    parts = path.relative_to(SRC).with_suffix("").parts
    return ".".join(p for p in parts if p != "__init__") or "__init__"


def part_of(module: str) -> str:
    return module.split(".")[0]


def type_checking(tree: ast.AST) -> set[ast.AST]:
    """The nodes inside `if TYPE_CHECKING:`."""
    return {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }


def imports(path: Path) -> list[tuple[str, bool, bool]]:
    """(imported module, whether for types alone, whether at the top level) of a file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    hidden, top, found = type_checking(tree), set(tree.body), []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, node in hidden, node in top) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                module = full if exists(full) else str(node.module)
                found.append((module, node in hidden, node in top))
    return found


def exists(module: str) -> bool:
    """Whether a dotted name is a module of this package, and not a name inside one."""
    path = SRC.parent.joinpath(*module.split("."))
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


def inside(module: str, allowed: set[str]) -> bool:
    return any(module == a or module.startswith(a + ".") for a in allowed)


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_imports_follow_the_arrows(path):
    here = name_of(path)
    part = part_of(here)
    assert part in ALLOWED, f"{part}: say in this test what it may import"
    wrong = []
    for module, types_alone, _ in imports(path):
        if module != "pellucid" and not module.startswith("pellucid."):
            continue
        target = module.removeprefix("pellucid").removeprefix(".") or "__init__"
        allowed = ALLOWED[part] | (TYPES_ALONE.get(part, set()) if types_alone else set())
        own = target == part or target.startswith(part + ".")
        if not own and not inside(target, allowed) and not (part == "cli" and target == "__init__"):
            wrong.append(target)
    assert not wrong, f"{here} may not import {', '.join(wrong)}"


def test_siblings_see_nothing_of_each_other():
    for one in VERBS:
        assert not {a.split(".")[0] for a in ALLOWED[one]} & (VERBS - {one})


def test_every_rule_is_about_something_or_planned():
    parts = {part_of(name_of(path)) for path in FILES}
    assert set(ALLOWED) - parts <= {"layers", "models", "study"}


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_only_the_backend_names_a_framework(path):
    named = {module.split(".")[0] for module, *_ in imports(path)} & FRAMEWORKS
    assert not named or part_of(name_of(path)) == "_backend", f"imports {named}"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_nothing_heavy_is_imported_at_the_top(path):
    if part_of(name_of(path)) == "_backend" and path.stem in FRAMEWORKS:
        return  # loaded only when Keras already runs on it
    light = LOADED_WHEN_USED.get(part_of(name_of(path)), set())
    heavy = {module.split(".")[0] for module, types_alone, top in imports(path) if top and not types_alone}
    assert not heavy & (HEAVY - light)


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_file_is_written_with_care(path):
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    assert ast.get_docstring(tree), "a module says in one line what it is for"
    assert len(text.splitlines()) <= 500, "500 lines are the end"
    assert not any(word in path.stem for word in ("util", "helper", "common", "misc", "manager"))
    for node in ast.walk(tree):
        assert not isinstance(node, ast.Assert), f"line {node.lineno}: assert is for tests; raise an error of errors.py"
        if isinstance(node, ast.ImportFrom):
            assert all(alias.name != "*" for alias in node.names), f"line {node.lineno}: star import"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_function_fits_a_screen(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            told = node.body[0].end_lineno - node.body[0].lineno + 1 if ast.get_docstring(node) else 0
            length = node.end_lineno - node.lineno + 1 - told
            assert length <= 55, f"{node.name} is {length} lines long without its docstring"


def test_tests_mirror_the_source():
    orphans = []
    for test in sorted((ROOT / "tests").glob("*/**/test_*.py")):
        folder = test.parent.relative_to(ROOT / "tests")
        home = SRC / folder if (SRC / folder).is_dir() else SRC / f"_{folder}"
        names = {path.stem for path in home.rglob("*") if path.suffix in ("", ".py")} | {folder.name}
        words = test.stem.split("_")[1:]
        parts = {"_".join(words[i:j]) for i in range(len(words)) for j in range(i + 1, len(words) + 1)}
        if not parts & {form for name in names for form in (name, f"{name}s", name.removesuffix("s"))}:
            orphans.append(str(test.relative_to(ROOT)))
    assert not orphans, f"tests of nothing in the source: {', '.join(orphans)}"


def test_importing_the_package_loads_nothing_heavy():
    code = f"import sys, pellucid; print(sorted(set({sorted(HEAVY)}) & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert found.strip() == "[]"


@pytest.mark.parametrize("name", pellucid.__all__)
def test_every_public_name_is_there(name):
    found = getattr(pellucid, name)
    assert found.__doc__, f"{name} has a docstring"
    assert getattr(pellucid, name) is found, "the same object each time"


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="nothing_like_it"):
        pellucid.nothing_like_it  # noqa: B018
