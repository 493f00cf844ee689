"""Sounds: time along, frequency up, the map on the axes of the spectrogram."""

import numpy as np
import pytest

from pellucid.plot.attributions import attribution
from pellucid.plot.scene import Line, Raster, Text
from pellucid.plot.spectrograms import GROUND
from pellucid.plot.theme import ENERGY


def rasters(picture):
    return [m for m in picture.marks if isinstance(m, Raster)]


def texts(picture):
    return [m.text for m in picture.marks if isinstance(m, Text)]


def test_low_bands_lie_at_the_bottom_and_loud_cells_are_strong(generator, explanation):
    heard, values = generator.uniform(size=(1, 20, 10)), generator.normal(size=(1, 20, 10))
    picture = attribution(explanation(values, heard, kind="audio"), 0)
    energy, ground, drawn, _ = rasters(picture)
    share = (heard[0] - heard.min()) / np.ptp(heard)
    assert energy.pixels[..., 3] == pytest.approx(255 * share.T[::-1], abs=0.51)
    assert (energy.pixels[..., :3] == ENERGY).all()
    assert ground.pixels[..., 3] == pytest.approx(GROUND * energy.pixels[..., 3], abs=0.51)
    bound = np.quantile(np.abs(values), 0.995)
    assert drawn.pixels[..., 3] == pytest.approx(255 * np.clip(np.abs(values[0]).T[::-1] / bound, 0, 1), abs=0.51)
    assert (drawn.x, drawn.width, drawn.height) == (energy.x, energy.width, energy.height)
    assert {"time, in frames", "band"} <= set(texts(picture))


def test_the_table_names_the_cells_that_count_most(explanation):
    values = np.zeros((1, 12, 9))
    values[0, 7, 2], values[0, 3, 8] = -2.0, 1.0
    picture = attribution(explanation(values, np.ones((1, 12, 9)), kind="audio"), 0)
    assert picture.table.columns == ("frame", "band", "attribution")
    assert picture.table.rows[:2] == ((7, 2, "−2.00"), (3, 8, "1.00"))


def test_ticks_stand_where_their_frames_are(explanation):
    picture = attribution(explanation(np.ones((1, 40, 8)), np.ones((1, 40, 8)), kind="audio"), 0, beside=False)
    _, drawn, _ = rasters(picture)
    ticks = [m.points[0][0] for m in picture.marks if isinstance(m, Line)]
    labels = [int(m.text) for m in picture.marks if isinstance(m, Text) and m.anchor == "middle"]
    assert ticks == pytest.approx([drawn.x + drawn.width * (t + 0.5) / 40 for t in labels])


def test_bands_have_names_at_their_ends(explanation):
    names = [f"{100 * i} Hz" for i in range(8)]
    picture = attribution(explanation(np.ones((1, 9, 8)), np.ones((1, 9, 8)), kind="audio", feature_names=names), 0)
    assert {"0 Hz", "700 Hz"} <= set(texts(picture))


@pytest.mark.parametrize("shape", [(1, 5, 1), (1, 5), (1, 5, 4)])
def test_coarser_maps_are_blocks(generator, explanation, shape):
    values = generator.uniform(size=shape)
    *_, drawn, _ = rasters(attribution(explanation(values, np.ones((1, 20, 8)), kind="audio"), 0))
    assert drawn.pixels.shape == (4 if shape == (1, 5, 4) else 1, 5, 4)


def test_a_channel_axis_of_one_changes_nothing(generator, explanation):
    heard, values = generator.uniform(size=(1, 20, 10)), generator.normal(size=(1, 20, 10))
    flat = attribution(explanation(values, heard, kind="audio"), 0)
    deep = attribution(explanation(values[..., None], heard[..., None], kind="audio"), 0)
    assert flat.svg() == deep.svg()


@pytest.mark.parametrize("shape", [(1, 30), (1, 30, 2)])
def test_a_waveform_is_a_line(generator, explanation, shape):
    values = generator.normal(size=shape)
    picture = attribution(explanation(values, generator.normal(size=shape), kind="audio"), 0)
    assert "time, in steps" in texts(picture)
