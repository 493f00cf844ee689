"""What is done at every kind of layer, as one readable table made from the tables that the engine works by."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pellucid.explain.propagation.differences import DIFFERENCES, OPERATION_DIFFERENCES
from pellucid.explain.propagation.treatments import OPERATIONS, TREATMENTS, UNTREATED

NOTHING, REFUSED = "its own gradient", "refused"

Table = Mapping[Any, Sequence[str]]


def page() -> str:
    """The table in Markdown: layers of Keras and torch, then `keras.ops` nodes of functional models."""
    relevance: Table = {**TREATMENTS, None: UNTREATED}
    return "\n".join([
        "# What is done at each kind of layer", "",
        "Relevance (`LayerRelevance`) and differences (`DeepLift`, `DeepShap`) go back through a model by its ordinary gradient, "
        "with another call in place of a layer's own. Where its own gradient already is the rule, nothing is put in place. A "
        "layer that is not listed raises `UnsupportedLayer`. Functions that a torch module calls in its `forward` are treated as "
        "the operation, or the layer, that does the same.", "",
        "## Layers of Keras and torch", "", *_rows(relevance, DIFFERENCES), "",
        "## Operations of `keras.ops` in functional models", "", *_rows(OPERATIONS, OPERATION_DIFFERENCES), "",
    ])  # fmt: skip


def _rows(relevance: Table, differences: Table) -> list[str]:
    """One row for all kinds that are treated alike by both methods."""
    alike: dict[tuple[str, str], list[str]] = {}
    for kind in dict.fromkeys(k for table in (relevance, differences) for kinds in table.values() for k in kinds):
        alike.setdefault((_told(relevance, kind), _told(differences, kind)), []).append(kind)
    head = ["| kinds | relevance | differences |", "|---|---|---|"]
    return head + [f"| {', '.join(kinds)} | {first} | {second} |" for (first, second), kinds in alike.items()]


def _told(table: Table, kind: str) -> str:
    """What is done at a kind of layer, in the words of the treatment's docstring."""
    found = [treatment for treatment, kinds in table.items() if kind in kinds]
    if not found:
        return REFUSED
    return NOTHING if found[0] is None else _line(found[0])


def _line(treatment: Callable[..., Any]) -> str:
    return (inspect.getdoc(treatment) or "").splitlines()[0].rstrip(".")
