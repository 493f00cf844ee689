"""Texts: every word on its colour and inside the picture, padding left out and accounted for."""

import numpy as np
import pytest

import pellucid as pl
from pellucid.core.numbers import figure
from pellucid.errors import InvalidInput
from pellucid.plot.attributions import attribution
from pellucid.plot.scene import Box, Text
from pellucid.plot.theme import COLOURS
from pellucid.plot.words import REMARKABLE, STRONGEST

IDS = np.array([[4, 9, 1, 7, 0, 0]])
VALUES = np.array([[1.0, -0.5, 0.1, 0.0, 0.25, 0.0]])


@pytest.fixture
def draw(explanation):
    def drawn(values=VALUES, tokens=("not", "a", "bad", "film"), method=None, kind="text", **more):
        return attribution(explanation(values, IDS, method, kind=kind), 0, tokens=tokens, **more)

    return drawn


def boxes(picture):
    return [m for m in picture.marks if isinstance(m, Box)]


def texts(picture):
    return [m.text for m in picture.marks if isinstance(m, Text)]


def test_words_have_the_colour_and_strength_of_their_values(draw):
    found = boxes(draw())
    assert [(b.colour, b.opacity) for b in found] == [
        ("for", STRONGEST), ("against", STRONGEST / 2), ("for", round(STRONGEST / 10, 3)), ("for", 0.0),
    ]  # fmt: skip
    assert {"not", "a", "bad", "film", "+1.00", "−0.500"} <= set(texts(draw()))
    assert "+0.100" not in texts(draw()), "weak words are not labelled"


def test_padding_is_left_out_and_accounted_for(draw):
    picture = draw()
    assert len(boxes(picture)) == 4
    assert "padding: 0.250" in texts(picture)
    assert picture.table.rows[-1] == ("", "padding", "0.250")
    assert texts(draw(tokens=("not", "a", "bad", "film", "", ""))) == texts(picture)
    assert not any("padding" in t for t in texts(draw(np.array([[1.0, -0.5, 0.1, 0.0, 0.0, 0.0]]))))


def test_tokens_without_words_are_numbers(draw):
    assert {"token 4", "token 9"} <= set(texts(draw(tokens=None)))


def test_words_given_make_a_text_of_any_tokens(draw):
    assert len(boxes(draw(kind="tabular"))) == 4


def test_the_wrong_number_of_words(draw):
    with pytest.raises(InvalidInput, match="expected 6 words, one for each token, or 4 without padding; got 2"):
        draw(tokens=("not", "bad"))


def test_lines_are_wrapped_within_the_picture(draw):
    narrow = draw(width=90)
    assert all(b.x >= 0 and b.x + b.width <= 90 for b in boxes(narrow))
    assert len({b.y for b in boxes(narrow)}) > 1
    for one, other in zip(boxes(narrow), boxes(narrow)[1:], strict=False):
        assert other.y > one.y or other.x >= one.x + one.width


def test_magnitudes_are_teal(draw):
    assert {b.colour for b in boxes(draw(np.abs(VALUES), method=pl.Gradient()))} == {"accent"}


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("meaning", ["for", "against", "accent"])
def test_the_strongest_word_can_be_read(theme, meaning):
    ink, ground, paper = (np.array(channels(getattr(COLOURS[m], theme))) for m in ("ink", meaning, "card"))
    mixed = STRONGEST * ground + (1 - STRONGEST) * paper
    light, dark = sorted((luminance(ink), luminance(mixed)), reverse=True)
    assert (light + 0.05) / (dark + 0.05) >= 4.5


def channels(colour):
    return [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]


def luminance(rgb):
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def test_stretches_of_a_long_text_where_no_word_counts_are_left_out(explanation):
    values = np.linspace(0.001, 0.002, 1024)[None].copy()
    values[0, [100, 500]] = 1.0, -0.5
    ids = np.ones((1, 1024), int)
    picture = attribution(explanation(values, ids, kind="text"), 0, tokens=[f"w{i}" for i in range(1024)])
    shown = set(texts(picture))
    assert {"w98", "w100", "w102", "w500", "+1.00", "−0.500"} <= shown
    assert not {"w97", "w103", "w600"} & shown
    assert len(boxes(picture)) < 5 * REMARKABLE + REMARKABLE + 1
    assert len(picture.svg()) < 100_000
    left_out = [row for row in picture.table.rows if "words" in row[1]]
    first = int(left_out[0][1].split()[1])
    assert left_out[0] == (0, "⋯ 98 words ⋯", figure(values[0, :first].sum()))
    counted = sum(int(row[1].split()[1]) for row in left_out) + len(picture.table.rows) - len(left_out)
    assert counted == 1024, "every word is written or counted"
    assert "Stretches" in picture.description


def test_words_left_out_have_no_ground(explanation):
    values = np.full((1, 300), 0.01)
    values[0, 0] = 0.02
    picture = attribution(explanation(values, np.ones((1, 300), int), kind="text"), 0)
    assert [b.opacity for b in boxes(picture) if "words" in b.tip] == [0.0]


def test_words_come_from_the_vocabulary_unless_others_are_given(draw, explanation):
    known = tuple(f"w{i}" for i in range(30))
    made = explanation(VALUES, IDS, kind="text", vocabulary=known)
    inner = [i for i in IDS[0] if i]
    assert {f"w{i}" for i in inner} <= set(texts(attribution(made, 0)))
    assert "not" in texts(attribution(made, 0, tokens=("not", "a", "bad", "film")))
    short = explanation(VALUES, IDS, kind="text", vocabulary=known[:5])
    assert "token 9" in texts(attribution(short, 0)), "a number that has no word stays one"
