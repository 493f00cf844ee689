"""Signals: the line has the signal's values, the colours the attributions', the strip their sum."""

import numpy as np
import pytest

import pellucid as pl
from pellucid.plot.attributions import attribution
from pellucid.plot.heat import bound_of, paint
from pellucid.plot.scene import Area, Line, Raster, Text
from pellucid.plot.signals import stretched


def parts(picture, kind):
    return [m for m in picture.marks if isinstance(m, kind)]


def test_the_line_and_its_colours(generator, explanation):
    signal, values = generator.normal(size=(1, 30, 1)), generator.normal(size=(1, 30, 1))
    picture = attribution(explanation(values, signal, kind="sequence"), 0)
    (ground,) = parts(picture, Raster)
    assert (ground.pixels == paint(values[0].T, bound_of(values))).all()
    line = next(m for m in parts(picture, Line) if len(m.points) == 30)
    x, y = np.array(line.points).T
    assert np.corrcoef(y, signal[0, :, 0])[0, 1] == pytest.approx(-1)  # pixels count downwards
    step = x[1] - x[0]
    assert ground.x == pytest.approx(x[0] - step / 2)
    assert ground.width == pytest.approx(30 * step)


def test_the_strip_is_the_sum_over_channels(explanation):
    values = np.zeros((1, 10, 2))
    values[0, 3], values[0, 7] = (2.0, 1.0), (-1.0, -0.5)
    picture = attribution(explanation(values, np.ones((1, 10, 2)), kind="sequence"), 0)
    up, down = parts(picture, Area)
    assert (up.colour, down.colour) == ("for", "against")
    zero = up.points[0][1]
    rise, fall = zero - min(y for _, y in up.points), max(y for _, y in down.points) - zero
    assert rise == pytest.approx(2 * fall)
    assert picture.table.rows[0] == (3, "1.00", "1.00", "3.00")
    assert {"+3.00", "−1.50"} <= {m.text for m in parts(picture, Text)}


def test_one_number_a_moment_is_behind_every_channel(generator, explanation):
    signal, values = generator.normal(size=(1, 12, 3)), generator.normal(size=(1, 12, 1))
    picture = attribution(explanation(values, signal, kind="sequence", feature_names=("a", "b", "c")), 0)
    grounds = parts(picture, Raster)
    assert len(grounds) == 3
    assert all((g.pixels == grounds[0].pixels).all() for g in grounds)
    assert {"a", "b", "c"} <= {m.text for m in parts(picture, Text)}


def test_only_the_channels_that_count_most_are_drawn(generator, explanation):
    values = generator.normal(size=(1, 12, 9)) * np.arange(9)
    picture = attribution(explanation(values, values, kind="sequence"), 0)
    named = [m.text for m in parts(picture, Text) if m.text.startswith("channel")]
    assert named == [f"channel {i}" for i in sorted(np.argsort(-np.abs(values[0]).sum(0))[:6])]


def test_a_coarser_grid_is_drawn_in_blocks(explanation):
    assert stretched(np.array([[1.0], [2.0]]), 5)[:, 0].tolist() == [1, 1, 1, 2, 2]
    e = explanation(
        np.array([[1.0, 2.0]]), np.ones((1, 6, 1)), pl.GradCam(resize=False), kind="sequence", hidden=True, layer="last"
    )
    (ground,) = parts(attribution(e, 0), Raster)
    assert len(set(ground.pixels[0, :3, 3])) == 1
    assert ground.pixels[0, 0, 3] < ground.pixels[0, 5, 3] == 255


def test_a_flat_map_is_said_to_be_flat(explanation):
    picture = attribution(explanation(np.zeros((1, 5, 1)), np.ones((1, 5, 1)), kind="sequence"), 0)
    assert "zero everywhere" in [m.text for m in parts(picture, Text)]
