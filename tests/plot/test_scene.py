"""Pictures write well-formed SVG in which nothing from data is markup, and paint the same thing as PNG."""

import io
import struct
import xml.etree.ElementTree as ET
import zlib

import numpy as np
import pytest

from pellucid.errors import InvalidInput, UnwritableOutput
from pellucid.plot.scene import Area, Box, Dot, Line, Picture, Raster, Text, encode_png, escape, shorten, text_width
from pellucid.plot.theme import COLOURS

NASTY = "<script>alert('1')</script>\" onload=\"x ]]> & \x00\x0b"
SVG = "{http://www.w3.org/2000/svg}"


def picture(**changed):
    pixels = np.zeros((2, 2, 4), np.uint8)
    pixels[0, 0] = (255, 0, 0, 255)
    marks = (
        Box(10, 10, 30, 20, "accent", tip=NASTY), Line([(0, 0), (100, 50)], "ink", 2, "4 3"), Dot(80, 25, 5, "for", hollow=True),
        Area([(0, 0), (10, 0), (10, 10)], "accent"), Text(5, 45, NASTY, bold=True), Raster(60, 0, 10, 10, pixels),
    )  # fmt: skip
    return Picture(**{"width": 100, "height": 50, "marks": marks, "title": NASTY, "description": NASTY, **changed})


@pytest.mark.parametrize("theme", ["light", "dark", None])
def test_svg_is_well_formed_and_text_stays_text(theme):
    svg = picture().svg(theme)
    root = ET.fromstring(svg)
    tags = {element.tag.removeprefix(SVG) for element in root.iter()}
    assert tags <= {"svg", "rect", "polyline", "polygon", "circle", "text", "title", "image"}
    assert not any(key.startswith("on") for element in root.iter() for key in element.attrib)
    assert root.find(f"{SVG}text").text.startswith("<script>alert('1')</script>")
    assert root.attrib["role"] == "img"
    assert root.attrib["aria-label"].startswith("<script>")


def test_colours_are_values_in_a_theme_and_variables_on_a_page():
    assert COLOURS["accent"].dark in picture().svg("dark")
    assert "var(--" not in picture().svg("light")
    assert "var(--accent)" in picture().svg(None)
    assert "#" not in picture(title="", description="").svg(None).replace("&#", "")


def test_a_notebook_shows_the_light_picture():
    assert picture()._repr_svg_() == picture().svg("light")


def test_png_has_the_size_and_the_colours_of_the_picture():
    from matplotlib.image import imread

    pixels = imread(io.BytesIO(picture().png("light", scale=2)))
    assert pixels.shape[:2] == (100, 200)
    accent = [int(COLOURS["accent"].light[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    assert np.allclose(pixels[50, 60, :3], accent, atol=0.02)  # inside the box, at twice its pixels
    assert np.allclose(pixels[4, 124, :3], [1, 0, 0], atol=0.02)  # the red pixel of the raster


def test_painting_leaves_matplotlib_as_it_was():
    import matplotlib

    before = dict(matplotlib.rcParams)
    picture().png()
    assert dict(matplotlib.rcParams) == before


def test_png_encoder_against_the_format():
    pixels = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)
    data = encode_png(pixels)
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", data[16:24]) == (3, 2)
    start = data.index(b"IDAT")
    length = struct.unpack(">I", data[start - 4 : start])[0]
    raw = np.frombuffer(zlib.decompress(data[start + 4 : start + 4 + length]), np.uint8).reshape(2, 13)
    assert (raw[:, 0] == 0).all()
    assert (raw[:, 1:].reshape(2, 3, 4) == pixels).all()


def test_saving(tmp_path):
    assert picture().save(tmp_path / "a.svg").read_text(encoding="utf-8").startswith("<svg")
    assert picture().save(tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(InvalidInput, match=r"\.svg or \.png, got 'a\.pdf'"):
        picture().save(tmp_path / "a.pdf")
    with pytest.raises(UnwritableOutput, match="nowhere"):
        picture().save(tmp_path / "nowhere" / "a.svg")


def test_words_are_cut_to_their_room():
    assert shorten("short", 100) == "short"
    cut = shorten("a very long name of a column " * 3, 100)
    assert cut.endswith("…")
    assert text_width(cut) <= 100
    assert escape("a\x00b<") == "a\ufffdb&lt;"
