"""One example: bars of the right sign and length beside the value of each input, maps of the right colours."""

import numpy as np
import pytest

from pellucid.errors import InvalidInput
from pellucid.explain.base import Explanation
from pellucid.plot.attributions import attribution
from pellucid.plot.heat import bound_of, grey, paint
from pellucid.plot.scene import Box, Raster, Text
from pellucid.plot.theme import HEAT_AGAINST, HEAT_FOR


def explanation(values, inputs, **more):
    one = np.ones(len(values))
    return Explanation(
        values=values, inputs=inputs, output=one, classes=one.astype(int), converged=one > 0, evaluations=one,
        selector=np.ones((len(values), 2)), class_names=("no", "yes"), **more,
    )  # fmt: skip


def table():
    values = np.array([[2.0, -1.0, 0.25], [0.0, 0.0, 0.0]])
    return explanation(values, np.array([[10.0, 0.5, 7.0], [1.0, 2.0, 3.0]]), feature_names=("a", "b", "c"))


def test_bars_have_the_sign_and_the_length_of_their_values():
    picture = attribution(table(), 0)
    boxes = [m for m in picture.marks if isinstance(m, Box)]
    assert [b.colour for b in boxes] == ["for", "against", "for"]
    assert [b.width for b in boxes] == pytest.approx([boxes[0].width, boxes[0].width / 2, boxes[0].width / 8])
    zero = boxes[0].x
    assert boxes[1].x + boxes[1].width == pytest.approx(zero)
    assert picture.title == "What counted for and against “yes”"
    assert picture.table.rows == (("a", "10", "2.00"), ("b", "0.5", "−1.00"), ("c", "7", "0.250"))


def test_the_rest_is_one_bar_of_its_sum():
    values = np.arange(20.0)[None, :] - 5
    picture = attribution(explanation(values, values), 0, top=4)
    words = [m.text for m in picture.marks if isinstance(m, Text)]
    assert "16 others" in words
    assert len([m for m in picture.marks if isinstance(m, Box)]) == 5


def test_an_encoded_column_shows_the_category_that_was_set():
    one = explanation(
        np.array([[0.5, 0.25, -1.0]]), np.array([[0.0, 1.0, 3.0]]), feature_names=("colour=red", "colour=blue", "n"),
        columns=("colour", "colour", "n"),
    )  # fmt: skip
    assert attribution(one, 0).table.rows == (("n", "3", "−1.00"), ("colour", "blue", "0.750"))


def test_no_word_is_cut_where_there_is_room():
    one = explanation(
        np.array([[1.0, 2.0]]),
        np.array([[1.0, 3.0]]),
        feature_names=("scan=a long category", "short"),
        columns=("scan", "short"),
    )
    words = [m.text for m in attribution(one, 0).marks if isinstance(m, Text)]
    assert {"scan", "short"} <= set(words)
    assert not any("…" in word for word in words)


def test_nothing_at_all_is_still_a_picture():
    assert "0.0" in attribution(table(), 1).svg()


def test_maps_are_blue_for_and_orange_against_and_clear_at_zero():
    pixels = paint(np.array([[1.0, -0.5], [0.0, 2.0]]), 1.0)
    assert pixels[0, 0].tolist() == [*HEAT_FOR, 255]
    assert pixels[0, 1].tolist() == [*HEAT_AGAINST, 128]
    assert pixels[1, 0, 3] == 0
    assert pixels[1, 1, 3] == 255
    assert bound_of(np.zeros((2, 2))) == 1.0


def test_images_are_shown_as_they_are():
    assert grey(np.array([[[0.0], [1.0]]]))[0, :, 0].tolist() == [0, 255]
    assert grey(np.array([[[0], [51], [255]]]))[0, :, 0].tolist() == [0, 51, 255]
    assert grey(np.array([[[-1.0], [1.0]]]))[0, :, 0].tolist() == [0, 255]  # of no usual range: stretched
    assert grey(np.array([[[0.2, 0.4, 0.6]]]))[0, 0].tolist() == [51, 102, 153, 255]


def test_an_image_stands_beside_its_map(generator):
    values = generator.normal(size=(1, 6, 5, 1))
    picture = attribution(explanation(values, np.abs(values), kind="image"), 0)
    shown, drawn, _ = [m.pixels for m in picture.marks if isinstance(m, Raster)]
    assert shown.shape == drawn.shape == (6, 5, 4)
    assert ((drawn[..., 2] > drawn[..., 0]) == (values[0, ..., 0] >= 0)).all()
    row, column, told = picture.table.rows[0]
    assert abs(values[0, row, column, 0]) == np.abs(values).max()
    assert told[0] == ("−" if values[0, row, column, 0] < 0 else told[0])


def test_an_example_that_is_not_there():
    with pytest.raises(InvalidInput, match="has 2 examples, there is no number 2"):
        attribution(table(), 2)
