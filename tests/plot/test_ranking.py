"""Global importance: the mean of absolute values by column, with bootstrap intervals that cover."""

import numpy as np
import pytest

from pellucid.explain.base import Explanation
from pellucid.plot.ranking import by_column, importance, summarise
from pellucid.plot.scene import Box, Raster


def explanation(values, **more):
    count = len(values)
    one = np.ones(count)
    more = {"inputs": np.zeros_like(values), **more}
    return Explanation(
        values=values,
        output=one,
        classes=one.astype(int),
        converged=one > 0,
        evaluations=one,
        selector=np.ones((count, 2)),
        **more,
    )


def test_encoded_columns_count_as_one_before_the_absolute_value():
    values = np.array([[1.0, -3.0, 2.0], [0.5, 0.5, -2.0]])
    found = summarise(explanation(values, feature_names=("c=a", "c=b", "n"), columns=("c", "c", "n")))
    assert found.names == ("c", "n")
    assert found.values.tolist() == [1.5, 2.0]
    assert found.shares.tolist() == pytest.approx([1.5 / 3.5, 2 / 3.5])
    assert found.order().tolist() == [1, 0]


def test_intervals_cover_the_true_mean(generator):
    covered, count = 0, 200
    for trial in range(count):
        values = generator.gamma(2.0, 1.0, size=(80, 1)) * generator.choice([-1, 1], size=(80, 1))
        found = summarise(explanation(values), seed=trial)
        covered += 2.0 in found.interval(0)
    assert 0.89 <= covered / count <= 0.99  # nominal 0.95; three standard errors are 0.046


def test_shares_are_resampled_together(generator):
    values = np.abs(generator.normal(size=(50, 1))) * np.array([[3.0, 1.0]])
    found = summarise(explanation(values))
    assert found.shares.tolist() == pytest.approx([0.75, 0.25])
    assert found.share_interval(0).width == pytest.approx(0, abs=1e-12)  # proportional in every row
    assert found.interval(0).width > 0.1


def test_the_same_seed_gives_the_same():
    values = np.random.default_rng(0).normal(size=(20, 4))
    assert summarise(explanation(values), seed=3) == summarise(explanation(values), seed=3)
    assert summarise(explanation(values), seed=3) != summarise(explanation(values), seed=4)


def test_images_keep_their_place(generator):
    values = generator.normal(size=(10, 4, 5, 3))
    found = summarise(explanation(values, kind="image"))
    assert found.values == pytest.approx(np.abs(values.sum(-1)).mean(0))
    picture = importance(found)
    assert any(isinstance(m, Raster) and m.pixels.shape == (4, 5, 4) for m in picture.marks)
    assert len(picture.table.rows) == 15


def test_several_inputs_and_positions_have_names():
    one = explanation({"a": np.ones((3, 2)), "b": np.ones((3, 1))}, inputs={"a": np.ones((3, 2)), "b": np.ones((3, 1))})
    assert by_column(one)[0] == ["a[0]", "a[1]", "b[0]"]
    names, parts = by_column(explanation(np.ones((3, 4, 2)), kind="sequence", feature_names=("x", "y")))
    assert names[:3] == ["x [0]", "y [0]", "x [1]"]
    assert parts.shape == (3, 8)


def test_bars_are_as_long_as_their_numbers():
    values = np.tile([[4.0, -2.0, 1.0]], (6, 1))
    picture = importance(explanation(values, feature_names=("a", "b", "c")))
    widths = [m.width for m in picture.marks if isinstance(m, Box)]
    assert widths == pytest.approx([widths[0], widths[0] / 2, widths[0] / 4])
    assert [row[0] for row in picture.table.rows] == ["a", "b", "c"]
    assert picture.table.rows[0][-1] == "57.1\u202f%"


def test_what_is_not_drawn_is_told():
    picture = importance(explanation(np.ones((4, 20))), top=5)
    assert "the other 15 inputs hold 75.0\u202f%" in picture.description


@pytest.mark.parametrize(
    ("kind", "shape", "last"),
    [
        ("audio", (2, 3, 4), "frame 2, band 3"), ("video", (2, 3, 4, 5, 1), "frame 2, row 3, column 4"),
        ("audio", (2, 6), "input 5"),
    ],
)  # fmt: skip
def test_inputs_of_sounds_and_videos_are_called_by_their_place(explanation, kind, shape, last):
    names, values = by_column(explanation(np.arange(np.prod(shape)).reshape(shape), np.ones(shape), kind=kind))
    assert names[-1] == last
    assert len(names) == values.shape[1] == np.prod(shape[1:])
    assert values[0, -1] == values[0].max()


def test_words_count_wherever_they_stand_and_padding_does_not():
    ids = np.array([[3, 5, 3, 0], [5, 7, 0, 0]])
    values = np.array([[1.0, -2.0, -0.5, 9.0], [4.0, 0.25, 9.0, 9.0]])
    found = summarise(explanation(values, inputs=ids, kind="text", vocabulary=tuple("0123456789")))
    assert found.names == ("3", "5", "7")
    assert found.values.tolist() == [0.25, 3.0, 0.125], "in each text a word's values are added up first"
    assert summarise(explanation(values, inputs=ids, kind="text")).names == ("token 3", "token 5", "token 7")
