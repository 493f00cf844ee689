"""One visual language: what each colour means, in light and in dark, for the page, the pictures and the terminal.

A colour is asked for by its meaning and never by its value. Signed numbers run from orange (against) through the
paper to blue (for), a pair that every common kind of colour blindness tells apart; magnitudes are teal, references
grey. Text colours keep a contrast of at least 4.5 to 1 on paper and on cards, marks at least 3 to 1 (WCAG 2.2 AA).
"""

from __future__ import annotations

from typing import NamedTuple


class Shade(NamedTuple):
    """One meaning: its colour on light paper, on dark paper, and in a terminal."""

    light: str
    dark: str
    terminal: str = "default"


COLOURS = {
    "paper": Shade("#fbfaf7", "#14171a"),
    "card": Shade("#ffffff", "#1b1f23"),
    "ink": Shade("#1c2227", "#e6e8ea"),
    "muted": Shade("#586069", "#a3abb3", "bright_black"),
    "rule": Shade("#dedbd3", "#343a40", "bright_black"),
    "accent": Shade("#0e6973", "#62c3cc", "cyan"),
    "for": Shade("#2a6fb5", "#6aaef0", "blue"),
    "against": Shade("#ad5700", "#f0993e", "yellow"),
    "reference": Shade("#727a82", "#8b949c", "bright_black"),
    "critical": Shade("#a8201a", "#ff8f86", "red"),
    "warning": Shade("#7d5700", "#e6bd57", "yellow"),
    "note": Shade("#4a5a6a", "#a9bac9", "default"),
    "good": Shade("#22683c", "#77cd94", "green"),
}
"""Every colour by its meaning."""

SEVERITIES = {"critical": "▲", "warning": "◆", "note": "●", "good": "✓"}
"""The sign of each severity, gravest first: shape and word say it, colour only repeats it."""

FONT = '"Inter", "Segoe UI", -apple-system, "Helvetica Neue", Arial, sans-serif'
SERIF = 'Charter, "Bitstream Charter", "Iowan Old Style", "Palatino Linotype", Georgia, "Liberation Serif", serif'
SMALL, NORMAL = 12, 13
"""Sizes of text in pictures, in pixels."""

HEAT_FOR, HEAT_AGAINST, HEAT_MAGNITUDE = (52, 122, 201), (217, 116, 22), (20, 134, 146)
"""Heatmap hues that stand out on both papers; how strongly a pixel is painted is its magnitude."""


ENERGY = (114, 122, 130)
"""The grey of a spectrogram, which stands out on both papers; how loud it is, is how strongly it is painted."""


def colour(meaning: str, theme: str | None) -> str:
    """The colour of a meaning: a value for theme "light" or "dark", a CSS variable for None (the page decides)."""
    return f"var(--{meaning})" if theme is None else getattr(COLOURS[meaning], theme)


def variables(theme: str) -> str:
    """The CSS variables of one theme."""
    return " ".join(f"--{meaning}: {getattr(shade, theme)};" for meaning, shade in COLOURS.items())
