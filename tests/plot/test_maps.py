"""Maps lie where they belong: beside the picture, over it, in blocks, channel by channel, whatever axis comes first."""

import numpy as np
import pytest

import pellucid as pl
from pellucid.plot.attributions import attribution
from pellucid.plot.heat import GROUND, faded
from pellucid.plot.ranking import by_column
from pellucid.plot.scene import Raster, Text


def rasters(picture):
    return [m for m in picture.marks if isinstance(m, Raster)]


def test_a_class_activation_map_lies_over_the_picture(generator, explanation):
    image, values = generator.uniform(size=(1, 8, 6, 3)), generator.uniform(size=(1, 8, 6, 1))
    ground, over, _ = rasters(attribution(explanation(values, image, pl.GradCam(), kind="image"), 0, beside=False))
    assert (ground.x, ground.y, ground.width, ground.height) == (over.x, over.y, over.width, over.height)
    assert (ground.pixels == faded(image[0])).all()
    assert (ground.pixels[..., 3] == GROUND).all()


def test_a_coarser_grid_covers_the_picture_in_blocks(generator, explanation):
    image, values = generator.uniform(size=(1, 8, 8, 1)), generator.uniform(size=(1, 2, 4))
    e = explanation(values, image, pl.GradCam(resize=False), kind="image", hidden=True, layer="last")
    shown, ground, over, _ = rasters(attribution(e, 0))
    assert over.pixels.shape == (2, 4, 4)
    assert shown.height == ground.height == over.height == over.width


def test_without_its_picture_a_map_takes_the_whole_width(generator, explanation):
    e = explanation(generator.normal(size=(1, 5, 5, 1)), np.ones((1, 5, 5, 1)), kind="image")
    drawn, _ = rasters(attribution(e, 0, width=200, beside=False))
    assert (drawn.x, drawn.width) == (1, 198)


def test_channels_may_come_first(generator, explanation):
    last = generator.uniform(size=(1, 6, 5, 3))
    first = np.moveaxis(last, -1, 1)
    pictures = [attribution(explanation(a - 0.5, a, kind="image"), 0) for a in (last, first)]
    for one, other in zip(*map(rasters, pictures), strict=True):
        assert (one.pixels == other.pixels).all()
    found = [by_column(explanation(a, a, kind="image"))[1] for a in (last, first)]
    assert found[0] == pytest.approx(found[1])


def test_the_strongest_channels_of_a_layer_share_a_scale(generator, explanation):
    values = generator.uniform(size=(1, 3, 4, 20)) * np.arange(20)
    e = explanation(values, np.ones((1, 6, 8, 1)), pl.LayerActivation("conv"), kind="image", hidden=True, layer="conv")
    picture = attribution(e, 0)
    strongest = np.argsort(-values[0].sum((0, 1)))[:8]
    assert [row[0] for row in picture.table.rows] == strongest.tolist()
    drawn = rasters(picture)[:8]
    bound = np.quantile(values, 0.995)
    for raster, channel in zip(drawn, strongest, strict=True):
        assert raster.pixels[..., 3] == pytest.approx(255 * np.clip(values[0, ..., channel] / bound, 0, 1), abs=0.51)


def test_units_and_places_of_a_layer_are_a_grid(generator, explanation):
    values = generator.normal(size=(1, 7, 3))
    e = explanation(values, np.ones((1, 7, 1)), pl.LayerActivation("conv"), kind="sequence", hidden=True, layer="conv")
    picture = attribution(e, 0)
    assert rasters(picture)[0].pixels.shape == (3, 7, 4)
    unit, place, _ = picture.table.rows[0]
    assert abs(values[0, place, unit]) == np.abs(values).max()


def test_dense_units_are_bars_without_a_sum_of_the_rest(explanation):
    values = np.arange(20.0)[None]
    e = explanation(values, values, pl.LayerActivation("hidden"), hidden=True, layer="hidden")
    words = [m.text for m in attribution(e, 0, top=4).marks if isinstance(m, Text)]
    assert "hidden [19]" in words
    assert not any("other" in word for word in words)
