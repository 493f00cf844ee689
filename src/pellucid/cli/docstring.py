"""Reading docstrings by their sections, for help on the screen and for the reference pages."""

from __future__ import annotations

import inspect
import re
from typing import NamedTuple

SECTIONS = ("Args", "Attributes", "Returns", "Raises", "Example", "References", "Limits")

_HEADING = re.compile(rf"^({'|'.join(SECTIONS)}):$", re.MULTILINE)


class Docstring(NamedTuple):
    """The one line, what follows it, and the sections by name."""

    line: str
    body: str
    sections: dict[str, str]


def read(thing: object) -> Docstring:
    """The docstring of a class or function, parted."""
    text = inspect.getdoc(thing) or ""
    parts = _HEADING.split(text)
    line, _, body = parts[0].partition("\n")
    sections = {name: inspect.cleandoc("\n" + told) for name, told in zip(parts[1::2], parts[2::2], strict=True)}
    return Docstring(line.strip(), body.strip(), sections)


def signature(thing: type) -> str:
    """A class or function as it is called: name, arguments, defaults, without the types."""
    told = []
    for parameter in inspect.signature(thing).parameters.values():
        plain = parameter.replace(annotation=parameter.empty)
        told.append(str(plain))
    return f"{thing.__name__}({', '.join(told)})"


def reflow(text: str) -> str:
    """Paragraphs and items each on one line, so that a screen of any width can wrap them; code and tables stay."""
    found: list[str] = []
    for line in text.splitlines():
        starts = not line.strip() or line.lstrip().startswith(("- ", "|", ">>>", "...")) or _ITEM.match(line)
        if found and found[-1].strip() and not starts and not found[-1].startswith("|"):
            found[-1] += " " + line.strip()
        else:
            found.append(line)
    return "\n".join(found)


_ITEM = re.compile(r"[A-Za-z_][\w, ]*: \S")
