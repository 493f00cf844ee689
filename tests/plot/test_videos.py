"""Videos: every frame with its map, in order, all on one scale."""

import numpy as np
import pytest

from pellucid.plot.attributions import attribution
from pellucid.plot.heat import grey
from pellucid.plot.scene import Raster, Text
from pellucid.plot.videos import FRAMES, GROUND


def rasters(picture):
    return [m for m in picture.marks if isinstance(m, Raster)]


def texts(picture):
    return [m.text for m in picture.marks if isinstance(m, Text)]


def test_each_frame_stands_above_its_map(generator, explanation):
    video, values = generator.uniform(size=(1, 5, 6, 8, 3)), generator.normal(size=(1, 5, 6, 8, 3))
    *drawn, _ = rasters(attribution(explanation(values, video, kind="video"), 0))
    maps = values[0].sum(-1)
    bound = np.quantile(np.abs(maps), 0.995)
    assert len(drawn) == 10
    for frame, (above, below) in enumerate(zip(drawn[::2], drawn[1::2], strict=True)):
        assert (above.pixels == grey(video[0])[frame]).all() if video.ndim == 4 else above.pixels.shape == (6, 8, 4)
        assert below.pixels[..., 3] == pytest.approx(255 * np.clip(np.abs(maps[frame]) / bound, 0, 1), abs=0.51)
        assert (above.x, above.width, above.height) == (below.x, below.width, below.height)
        assert below.y >= above.y + above.height


def test_without_its_frame_beside_it_a_map_lies_over_it(generator, explanation):
    video, values = generator.uniform(size=(1, 4, 6, 6, 1)), generator.normal(size=(1, 4, 6, 6))
    *drawn, _ = rasters(attribution(explanation(values, video, kind="video"), 0, beside=False))
    assert len(drawn) == 8
    for ground, over in zip(drawn[::2], drawn[1::2], strict=True):
        assert (ground.x, ground.y, ground.width, ground.height) == (over.x, over.y, over.width, over.height)
        assert (ground.pixels[..., 3] == GROUND).all()


def test_frames_share_one_scale_of_brightness(explanation):
    video = np.zeros((1, 2, 4, 4, 1))
    video[0, 1] = 100.0
    dark, _, bright, _, _ = rasters(attribution(explanation(np.ones((1, 2, 4, 4)), video, kind="video"), 0))
    assert dark.pixels[..., 0].max() == 0
    assert bright.pixels[..., 0].min() > 90


def test_coarser_maps_are_held_for_several_frames(generator, explanation):
    values = generator.uniform(size=(1, 3, 2, 2))
    *drawn, _ = rasters(attribution(explanation(values, np.ones((1, 6, 8, 8, 1)), kind="video"), 0))
    maps = [m.pixels for m in drawn[1::2]]
    assert maps[0].shape == (2, 2, 4)
    assert all((maps[2 * i] == maps[2 * i + 1]).all() for i in range(3))
    assert not (maps[0] == maps[2]).all()


def test_of_many_frames_some_are_drawn_evenly_and_the_picture_says_so(explanation):
    video = np.ones((1, 100, 4, 4, 1))
    picture = attribution(explanation(video, video, kind="video"), 0)
    assert "one frame in 5 of 100 is drawn" in texts(picture)
    assert len(rasters(picture)) == 2 * 20 + 1 <= 2 * FRAMES + 1
    assert {"frame 0", "5", "95"} <= set(texts(picture))


def test_everything_is_inside_the_picture_and_the_numbers_are_sums_over_frames(explanation):
    values = np.zeros((1, 7, 4, 4, 1))
    values[0, 3], values[0, 5] = 0.5, -1.0
    picture = attribution(explanation(values, np.ones((1, 7, 4, 4, 1)), kind="video"), 0, width=300)
    assert all(r.x >= 0 and r.x + r.width <= 300 and r.y + r.height <= picture.height for r in rasters(picture))
    assert picture.table.rows[:2] == ((5, "−16.0"), (3, "8.00"))
    assert 'role="img"' in picture.svg()
