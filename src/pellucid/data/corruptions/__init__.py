"""Graded corruptions: what goes wrong with data, a little more at each of five severities.

A corruption is a pure function `corrupt(x, severity, generator, reference)`: inputs (B, ...), a severity from 1 to 5, a
generator, and a `Reference` that the training data gave. It returns new inputs of the same shape and type and never changes
`x`. What happens to a row depends on its number and on nothing else in the batch. One that makes no sense for the data raises
`NotApplicable`. The docstring of each says what its five severities are.
"""

from __future__ import annotations

from pellucid.data.corruptions.audio import AUDIO
from pellucid.data.corruptions.base import SEVERITIES, Column, Corruption, Reference, reference
from pellucid.data.corruptions.images import IMAGE
from pellucid.data.corruptions.sequences import SEQUENCE
from pellucid.data.corruptions.tables import TABLE
from pellucid.data.corruptions.text import TEXT, negation, synonyms

__all__ = [
    "AUDIO", "IMAGE", "KINDS", "SEQUENCE", "SEVERITIES", "TABLE", "TEXT", "USUAL", "Column", "Corruption", "Reference",
    "corruptions", "negation", "reference", "synonyms",
]  # fmt: skip

KINDS = {"tabular": TABLE, "image": IMAGE, "text": TEXT, "sequence": SEQUENCE, "audio": AUDIO}
"""The corruptions of every kind of data, by name."""

USUAL = {
    "tabular": ("noise", "missing"), "image": ("noise", "blur", "contrast", "rotation"), "text": ("typos", "deletion"),
    "sequence": ("noise", "dropout"), "audio": ("noise", "gain"),
}  # fmt: skip
"""The few that are tried unless more are asked for: the commonest, and cheap."""


def corruptions(kind: str) -> dict[str, Corruption]:
    """The corruptions of a kind of data, by name; none for kinds that have none."""
    return KINDS.get(kind, {})
