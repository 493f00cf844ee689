"""A picture is a list of marks; it writes itself as SVG, or is painted as PNG.

Six kinds of marks draw everything there is. Coordinates are pixels from the upper left corner; colours are meanings
from the theme. Left without a theme, an SVG takes its colours from the page's CSS variables and so follows it from
light to dark. All text is escaped.
"""

from __future__ import annotations

import base64
import html
import re
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pellucid.errors import InvalidInput, UnwritableOutput
from pellucid.plot import theme as themes
from pellucid.shapes import Array

Point = tuple[float, float]
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class Line:
    """A line through points; `dash` in pixels, such as "4 3"."""

    points: Sequence[Point]
    colour: str = "ink"
    width: float = 1.0
    dash: str = ""
    tip: str = ""
    opacity: float = 1.0


@dataclass(frozen=True)
class Area:
    """A filled outline without a border."""

    points: Sequence[Point]
    colour: str = "accent"
    opacity: float = 0.16
    tip: str = ""


@dataclass(frozen=True)
class Box:
    """A rectangle."""

    x: float
    y: float
    width: float
    height: float
    colour: str = "accent"
    opacity: float = 1.0
    radius: float = 0.0
    tip: str = ""


@dataclass(frozen=True)
class Dot:
    """A disc, or a ring if `hollow`."""

    x: float
    y: float
    radius: float = 3.5
    colour: str = "accent"
    hollow: bool = False
    tip: str = ""


@dataclass(frozen=True)
class Text:
    """One line of text; `y` is its baseline, `anchor` "start", "middle" or "end"."""

    x: float
    y: float
    text: str
    colour: str = "ink"
    size: float = themes.NORMAL
    anchor: str = "start"
    bold: bool = False


@dataclass(frozen=True)
class Raster:
    """Pixels (H, W, 4), red, green, blue, opacity from 0 to 255, drawn with hard edges."""

    x: float
    y: float
    width: float
    height: float
    pixels: Array = field(repr=False)
    framed: bool = True


Mark = Line | Area | Box | Dot | Text | Raster


@dataclass(frozen=True)
class Table:
    """The numbers behind a picture: a name for each column, and rows."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]


@dataclass(frozen=True)
class Picture:
    """Marks on a sheet of `width` by `height` pixels, what they show in words, and the numbers behind them.

    Attributes:
        title: What is drawn, in a few words; also the name that a screen reader says.
        description: What is to be seen, in a sentence.
        table: The numbers drawn.
    """

    width: float
    height: float
    marks: tuple[Mark, ...] = field(repr=False)
    title: str = ""
    description: str = ""
    table: Table = field(default=Table((), ()), repr=False)

    def svg(self, theme: str | None = "light") -> str:
        """The picture as SVG text, in theme "light" or "dark", or for None in the colours of the page it is put on."""
        paint = lambda meaning: themes.colour(meaning, theme)  # noqa: E731
        sheet = "" if theme is None else f'<rect width="100%" height="100%" fill="{paint("card")}"/>'
        size = f'viewBox="0 0 {_n(self.width)} {_n(self.height)}" width="{_n(self.width)}" height="{_n(self.height)}"'
        label = escape(f"{self.title}. {self.description}" if self.description else self.title)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{label}" '
            f'font-family="{html.escape(themes.FONT)}">'
            + sheet + "".join(_SVG[type(mark)](mark, paint) for mark in self.marks) + "</svg>"
        )  # fmt: skip

    def _repr_svg_(self) -> str:
        return self.svg()

    def png(self, theme: str = "light", scale: float = 2.0) -> bytes:
        """The picture as PNG bytes, `scale` times as many pixels each way."""
        from pellucid.plot.painter import paint

        return paint(self, theme, scale)

    def save(self, path: str | Path, theme: str = "light") -> Path:
        """Write the picture to a `.svg` or `.png` file and give the path.

        Raises:
            InvalidInput: The name ends in neither.
            UnwritableOutput: The file cannot be written.
        """
        path = Path(path)
        kind = path.suffix.lower()
        if kind not in (".svg", ".png"):
            raise InvalidInput(f"path: expected a name ending in .svg or .png, got {path.name!r}")
        content = self.svg(theme).encode() if kind == ".svg" else self.png(theme)
        try:
            path.write_bytes(content)
        except OSError as problem:
            raise UnwritableOutput(f"cannot write {path}: {problem.strerror or problem}") from problem
        return path


def escape(text: Any) -> str:
    """Text made safe for HTML and SVG, in content and in attributes; characters XML forbids become U+FFFD."""
    return html.escape(legible(text), quote=True)


def legible(text: Any) -> str:
    """Text with the characters that XML forbids replaced by U+FFFD."""
    return _FORBIDDEN.sub("\ufffd", str(text))


def shorten(text: Any, width: float, size: float = themes.NORMAL) -> str:
    """Text cut with an ellipsis where it would be wider than `width` pixels."""
    text = " ".join(str(text).split())
    if text_width(text, size) <= width:
        return text
    while text and text_width(text + "…", size) > width:
        text = text[:-1]
    return text.rstrip() + "…"


def text_width(text: str, size: float = themes.NORMAL) -> float:
    """A careful guess of the width of text in pixels: narrow letters, capitals and wide scripts counted apart."""
    return size * sum(_letter(c) for c in text)


def _letter(c: str) -> float:
    if c in "iljtfr.,:;'|!()[] ":
        return 0.32
    if ord(c) > 0x1100:
        return 1.0
    return 0.7 if c.isupper() or c in "mwMW%" else 0.56


def _n(number: float) -> str:
    return f"{number:.2f}".rstrip("0").rstrip(".")


def _tip(mark: Any, name: str, attributes: str) -> str:
    inner = f"<title>{escape(mark.tip)}</title>" if mark.tip else ""
    return f"<{name} {attributes}>{inner}</{name}>" if inner else f"<{name} {attributes}/>"


def _points(points: Sequence[Point]) -> str:
    return " ".join(f"{_n(x)},{_n(y)}" for x, y in points)


def _line(mark: Line, paint: Any) -> str:
    dash = f' stroke-dasharray="{mark.dash}"' if mark.dash else ""
    dash += f' opacity="{mark.opacity}"' if mark.opacity < 1 else ""
    stroke = f'fill="none" stroke="{paint(mark.colour)}" stroke-width="{_n(mark.width)}" stroke-linejoin="round"{dash}'
    return _tip(mark, "polyline", f'points="{_points(mark.points)}" {stroke}')


def _area(mark: Area, paint: Any) -> str:
    return _tip(
        mark,
        "polygon",
        f'points="{_points(mark.points)}" fill="{paint(mark.colour)}" opacity="{mark.opacity}"',
    )


def _box(mark: Box, paint: Any) -> str:
    place = f'x="{_n(mark.x)}" y="{_n(mark.y)}" width="{_n(mark.width)}" height="{_n(mark.height)}"'
    soft = f' opacity="{mark.opacity}"' if mark.opacity < 1 else ""
    round_ = f' rx="{_n(mark.radius)}"' if mark.radius else ""
    return _tip(mark, "rect", f'{place} fill="{paint(mark.colour)}"{soft}{round_}')


def _dot(mark: Dot, paint: Any) -> str:
    ring = f'fill="{paint("card")}" stroke="{paint(mark.colour)}" stroke-width="1.5"'
    fill = ring if mark.hollow else f'fill="{paint(mark.colour)}"'
    return _tip(mark, "circle", f'cx="{_n(mark.x)}" cy="{_n(mark.y)}" r="{_n(mark.radius)}" {fill}')


def _text(mark: Text, paint: Any) -> str:
    look = f'fill="{paint(mark.colour)}" font-size="{_n(mark.size)}"'
    look += f' text-anchor="{mark.anchor}"' if mark.anchor != "start" else ""
    look += ' font-weight="600"' if mark.bold else ""
    return f'<text x="{_n(mark.x)}" y="{_n(mark.y)}" {look}>{escape(mark.text)}</text>'


def _raster(mark: Raster, paint: Any) -> str:
    place = f'x="{_n(mark.x)}" y="{_n(mark.y)}" width="{_n(mark.width)}" height="{_n(mark.height)}"'
    image = (
        f'<image {place} preserveAspectRatio="none" style="image-rendering:pixelated" '
        f'href="data:image/png;base64,{base64.b64encode(encode_png(mark.pixels)).decode()}"/>'
    )
    return image + (f'<rect {place} fill="none" stroke="{paint("rule")}"/>' if mark.framed else "")


_SVG: dict[type, Any] = {Line: _line, Area: _area, Box: _box, Dot: _dot, Text: _text, Raster: _raster}


def encode_png(pixels: Array) -> bytes:
    """RGBA pixels (H, W, 4) of type uint8 as a PNG file."""
    height, width = pixels.shape[:2]
    rows = np.concatenate([np.zeros((height, 1), np.uint8), pixels.astype(np.uint8).reshape(height, -1)], axis=1)
    head = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    body = b"".join(
        _chunk(*part) for part in ((b"IHDR", head), (b"IDAT", zlib.compress(rows.tobytes(), 9)), (b"IEND", b""))
    )
    return b"\x89PNG\r\n\x1a\n" + body


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
