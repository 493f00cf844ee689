"""Colours keep the contrast that is promised, in light and in dark, and signs do not rest on colour alone."""

import pytest

from pellucid.plot.theme import COLOURS, SEVERITIES

TEXT = ("ink", "muted", "accent", "for", "against", "critical", "warning", "note", "good")


def luminance(colour: str) -> float:
    """Relative luminance as WCAG 2.2 defines it."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, two: str) -> float:
    light, dark = sorted((luminance(one), luminance(two)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("ground", ["paper", "card"])
@pytest.mark.parametrize("meaning", TEXT)
def test_text_can_be_read(theme, ground, meaning):
    assert contrast(getattr(COLOURS[meaning], theme), getattr(COLOURS[ground], theme)) >= 4.5


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_marks_can_be_seen(theme):
    assert contrast(getattr(COLOURS["reference"], theme), getattr(COLOURS["card"], theme)) >= 3


def test_every_severity_has_a_sign_of_its_own():
    assert len(set(SEVERITIES.values())) == len(SEVERITIES) == 4
