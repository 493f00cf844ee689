"""The table of treatments holds every kind of layer once, and says what is done there."""

from pellucid.explain.propagation.differences import DIFFERENCES, OPERATION_DIFFERENCES
from pellucid.explain.propagation.table import NOTHING, REFUSED, page
from pellucid.explain.propagation.treatments import OPERATIONS, TREATMENTS, UNTREATED


def rows(title):
    text = page().split(f"## {title}")[1].split("##")[0]
    cells = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")][1:]
    return {kind: (first, second) for kinds, first, second in cells for kind in kinds.split(", ")}


def test_every_kind_has_one_row():
    layers, operations = rows("Layers"), rows("Operations")
    assert set(layers) == {k for kinds in (*TREATMENTS.values(), UNTREATED, *DIFFERENCES.values()) for k in kinds}
    assert set(operations) == {k for t in (OPERATIONS, OPERATION_DIFFERENCES) for kinds in t.values() for k in kinds}


def test_a_row_says_what_both_methods_do():
    layers, operations = rows("Layers"), rows("Operations")
    assert layers["Dense"] == (
        "A linear layer: its rule; then its activation, if it has one",
        "A linear layer and its activation",
    )
    assert layers["Flatten"] == (NOTHING, NOTHING)
    assert operations["Max"][1] == operations["Sin"][0] == REFUSED
    assert all(first != REFUSED or second != REFUSED for first, second in (*layers.values(), *operations.values()))
