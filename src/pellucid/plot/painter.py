"""Paints the marks of a picture with matplotlib, for `.png` files; nothing global of matplotlib is touched."""

from __future__ import annotations

import io
import warnings
from typing import Any

from pellucid.plot import theme as themes
from pellucid.plot.scene import Area, Box, Dot, Line, Picture, Raster, Text, legible

_ANCHORS = {"start": "left", "middle": "center", "end": "right"}


def paint(picture: Picture, theme: str, scale: float) -> bytes:
    """The picture as PNG bytes."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(
        (picture.width / 100, picture.height / 100), dpi=100 * scale, facecolor=themes.colour("card", theme)
    )
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, picture.width), ylim=(picture.height, 0))
    axes.set_axis_off()
    axes.autoscale(False)
    with rc_context(
        {"font.family": "sans-serif", "font.sans-serif": ["Inter", "Arial", "Liberation Sans", "DejaVu Sans"]}
    ):
        for order, mark in enumerate(picture.marks):
            _PAINTERS[type(mark)](axes, mark, lambda meaning: themes.colour(meaning, theme), order + 1)
        out = io.BytesIO()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph .* missing")  # a letter no font here has is drawn as a box
            figure.savefig(out, format="png", facecolor=figure.get_facecolor())
    return out.getvalue()


def _line(axes: Any, mark: Line, colour: Any, order: int) -> None:
    style: Any = (0, tuple(float(d) * 0.72 for d in mark.dash.split())) if mark.dash else "-"
    x, y = zip(*mark.points, strict=True)
    look = {"color": colour(mark.colour), "alpha": mark.opacity, "solid_joinstyle": "round"}
    axes.plot(x, y, lw=mark.width * 0.72, ls=style, zorder=order, **look)


def _area(axes: Any, mark: Area, colour: Any, order: int) -> None:
    from matplotlib.patches import Polygon

    axes.add_patch(Polygon(mark.points, fc=colour(mark.colour), alpha=mark.opacity, lw=0, zorder=order))


def _box(axes: Any, mark: Box, colour: Any, order: int) -> None:
    from matplotlib.patches import Rectangle

    if not mark.opacity:  # there for its tip alone
        return
    corner = mark.x, mark.y
    axes.add_patch(
        Rectangle(corner, mark.width, mark.height, fc=colour(mark.colour), alpha=mark.opacity, lw=0, zorder=order)
    )


def _dot(axes: Any, mark: Dot, colour: Any, order: int) -> None:
    from matplotlib.patches import Circle

    face = colour("card") if mark.hollow else colour(mark.colour)
    edge = {"ec": colour(mark.colour), "lw": 1.1} if mark.hollow else {"lw": 0}
    axes.add_patch(Circle((mark.x, mark.y), mark.radius, fc=face, zorder=order, **edge))


def _text(axes: Any, mark: Text, colour: Any, order: int) -> None:
    weight = "bold" if mark.bold else "normal"
    look = {"color": colour(mark.colour), "fontsize": mark.size * 0.72, "weight": weight, "zorder": order}
    axes.text(mark.x, mark.y, legible(mark.text), ha=_ANCHORS[mark.anchor], va="baseline", parse_math=False, **look)


def _raster(axes: Any, mark: Raster, colour: Any, order: int) -> None:
    from matplotlib.patches import Rectangle

    edges = (mark.x, mark.x + mark.width, mark.y + mark.height, mark.y)
    axes.imshow(mark.pixels, extent=edges, interpolation="nearest", aspect="auto", zorder=order)
    if mark.framed:
        corner = mark.x, mark.y
        axes.add_patch(Rectangle(corner, mark.width, mark.height, fill=False, ec=colour("rule"), lw=0.72, zorder=order))


_PAINTERS: dict[type, Any] = {Line: _line, Area: _area, Box: _box, Dot: _dot, Text: _text, Raster: _raster}
