import numpy as np
import pytest

import pellucid as pl
from pellucid.data.corruptions import IMAGE, reference
from pellucid.data.corruptions.images import disc, line

GREY = np.full((20, 32, 32, 1), 0.5)
SPAN = pl.Dataset(np.linspace(0, 1, 32 * 32).reshape(1, 32, 32, 1))
SEVERITIES = (1, 2, 3, 4, 5)


def put(name, x, severity, seed=0):
    return IMAGE[name](x, severity, np.random.default_rng(seed), reference(SPAN))


def each(levels):
    return list(zip(SEVERITIES, levels))


def ramp(axis, size=33):
    """Pixel p has the value of its place along an axis, from 0 to 1."""
    return np.moveaxis(np.broadcast_to(np.linspace(0, 1, size), (30, size, size)), 2, axis + 1)[..., None].copy()


@pytest.mark.parametrize("name", list(IMAGE))
@pytest.mark.parametrize("low, high", [(0, 255), (-2.0, 2.5), (0, 1)])
def test_the_range_of_the_data_sets_the_scale_and_is_kept(name, low, high):
    """What a corruption does is the same on another scale of values, up to rounding."""
    g = np.random.default_rng(0)
    x = np.clip(
        np.add.outer(np.linspace(0, 0.6, 16), np.linspace(0, 0.3, 16))[None, :, :, None]
        + 0.1 * g.random((8, 16, 16, 3)),
        0,
        1,
    )
    x[0, 0, :2] = [[0], [1]]
    one = IMAGE[name](x, 3, np.random.default_rng(1), reference(pl.Dataset(x)))
    scaled = low + (high - low) * x
    two = IMAGE[name](scaled, 3, np.random.default_rng(1), reference(pl.Dataset(scaled)))
    assert low - 1e-9 <= two.min() <= two.max() <= high + 1e-9
    np.testing.assert_allclose((two - low) / (high - low), one, atol=1e-6)


@pytest.mark.parametrize("severity, spread", each((0.08, 0.12, 0.18, 0.26, 0.38)))
def test_noise_has_its_spread(severity, spread):
    from scipy.stats import norm

    found = put("noise", GREY, severity) - 0.5
    inside = np.mean(np.abs(found) < 0.1)  # also where the ends of the range cut it off
    assert inside == pytest.approx(2 * norm.cdf(0.1 / spread) - 1, abs=0.015)


@pytest.mark.parametrize("severity, photons", each((60, 25, 12, 5, 3)))
def test_shot_noise_is_that_of_counts(severity, photons):
    found = put("shot", 0.2 + 0 * GREY, severity) * photons
    np.testing.assert_allclose(found, np.minimum(np.rint(found), photons), atol=1e-9)
    assert found.mean() == pytest.approx(0.2 * photons, rel=0.03)
    assert found.var() == pytest.approx(0.2 * photons, rel=0.06)


@pytest.mark.parametrize("severity, share", each((0.03, 0.06, 0.09, 0.17, 0.27)))
def test_impulses_are_as_many_as_said_half_of_them_white(severity, share):
    found = put("impulse", GREY, severity)
    assert set(np.unique(found)) == {0.0, 0.5, 1.0}
    for end in (0, 1):
        assert (found == end).mean() == pytest.approx(share / 2, abs=0.01)


def landed(radius, size):
    """The share of points, drawn evenly in a disc, that land in each pixel."""
    g = np.random.default_rng(0)
    far, angle = radius * np.sqrt(g.random(4_000_000)), 2 * np.pi * g.random(4_000_000)
    ends = np.arange(size + 1) - size / 2
    return np.histogram2d(far * np.sin(angle), far * np.cos(angle), bins=(ends, ends))[0] / 4_000_000


def test_a_line_and_a_disc_have_the_moments_of_their_shapes():
    """Variance of a line along itself: L^2 / 12, to which sharing a point among pixels adds up to 1 / 4."""
    for length, angle in ((6.0, 0.0), (9.0, np.pi / 2), (8.0, np.pi / 4)):
        kernel = line(length, angle)
        at = np.arange(len(kernel)) - len(kernel) // 2
        y, x = np.meshgrid(at, at, indexing="ij")
        along = x * np.cos(angle) + y * np.sin(angle)
        across = y * np.cos(angle) - x * np.sin(angle)
        assert kernel.sum() == pytest.approx(1)
        assert -0.02 < (kernel * along**2).sum() - length**2 / 12 < 0.26
        assert (kernel * across**2).sum() <= 0.25
    for radius in (0.7, 1.5, 3.0, 4.4):
        kernel = disc(radius)
        assert kernel.sum() == pytest.approx(1)
        np.testing.assert_allclose(kernel, landed(radius, len(kernel)), atol=0.02 * kernel.max())
        np.testing.assert_allclose(kernel, kernel.T)


def test_a_point_is_spread_as_far_as_said():
    """A point far from the border keeps its light; its variance is that of the blur, its shape that of the disc."""
    x = np.zeros((1, 65, 65, 1))
    x[0, 32, 32] = 1
    at = np.arange(65) - 32
    for severity, share in each((0.1, 0.15, 0.2, 0.3, 0.4)):
        blurred, unsharp = (put(name, x, severity)[0, ..., 0] for name in ("blur", "defocus"))
        assert blurred.sum() == pytest.approx(1)
        assert (blurred * at**2).sum() == pytest.approx(share**2 * 65, rel=0.06)
        np.testing.assert_allclose(unsharp, landed(2 * share * 65**0.5, 65), atol=0.02 * unsharp.max())


@pytest.mark.parametrize("severity, share", each((0.05, 0.08, 0.12, 0.16, 0.24)))
def test_motion_smears_a_point_along_one_line(severity, share):
    x = np.zeros((12, 65, 65, 1))
    x[:, 32, 32] = 1
    at = np.arange(65) - 32
    for found in put("motion", x, severity)[..., 0]:
        moments = [[(found * a * b).sum() for b in (at[:, None], at)] for a in (at[:, None], at)]
        thin, long = np.linalg.eigvalsh(moments)
        assert -0.02 < long - (share * 65) ** 2 / 12 < 0.26
        assert thin <= 0.25 + 1e-9


@pytest.mark.parametrize("severity, share", each((0.15, 0.3, 0.4, 0.5, 0.65)))
def test_fog_takes_its_share_of_the_light(severity, share):
    x = np.random.default_rng(0).random((5, 32, 32, 3))
    found = put("fog", x, severity)
    light = (found - (1 - share) * x) / share
    assert light.min() == pytest.approx(0.7, abs=1e-5)
    assert light.max() == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(light[..., 0], light[..., 2], atol=1e-6)
    assert np.abs(np.diff(light, axis=1)).max() < 0.05


@pytest.mark.parametrize("severity, more", each((0.1, 0.2, 0.3, 0.4, 0.5)))
def test_brightness_goes_up_or_down(severity, more):
    changes = put("brightness", GREY, severity).mean((1, 2, 3)) - 0.5
    np.testing.assert_allclose(np.abs(changes), more)
    assert {1, -1} == set(np.sign(changes))


@pytest.mark.parametrize("severity, kept", each((0.75, 0.5, 0.4, 0.3, 0.15)))
def test_contrast_keeps_the_mean_of_each_channel(severity, kept):
    x = np.random.default_rng(0).random((3, 8, 8, 2))
    found = put("contrast", x, severity)
    np.testing.assert_allclose(found.mean((1, 2)), x.mean((1, 2)))
    np.testing.assert_allclose(found.std((1, 2)), kept * x.std((1, 2)))


def test_pixelate_makes_blocks_of_their_average():
    x = np.random.default_rng(0).random((2, 8, 12, 3))
    found = put("pixelate", x, 2)
    blocks = x.reshape(2, 4, 2, 6, 2, 3).mean((2, 4))
    np.testing.assert_allclose(found, blocks.repeat(2, axis=1).repeat(2, axis=2))
    counts = [len(np.unique(put("pixelate", ramp(0, 60)[:1], s).round(9))) for s in SEVERITIES]
    assert counts == [36, 30, 24, 18, 15]


def test_posterize_leaves_as_many_values_and_moves_none_by_more_than_half_a_step():
    x = np.random.default_rng(0).random((4, 32, 32, 1))
    for severity, count in each((16, 8, 6, 4, 2)):
        found = put("posterize", x, severity)
        np.testing.assert_allclose(np.unique(found), np.linspace(0, 1, count), atol=1e-12)
        assert np.abs(found - x).max() <= 0.5 / (count - 1) + 1e-12


def test_jpeg_is_what_a_file_of_that_quality_gives_back(tmp_path):
    from PIL import Image

    colour = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), dtype=np.uint8)
    data = pl.Dataset(np.concatenate([colour, np.zeros_like(colour), np.full_like(colour, 255)]))
    for severity, quality in each((25, 18, 15, 10, 7)):
        found = IMAGE["jpeg"](colour, severity, np.random.default_rng(0), reference(data))
        grey = IMAGE["jpeg"](colour[..., :2], severity, np.random.default_rng(0), reference(data))
        Image.fromarray(colour[1]).save(tmp_path / "c.jpg", quality=quality)
        Image.fromarray(colour[1, ..., 1]).save(tmp_path / "g.jpg", quality=quality)
        np.testing.assert_array_equal(found[1], np.asarray(Image.open(tmp_path / "c.jpg")))
        np.testing.assert_array_equal(grey[1, ..., 1], np.asarray(Image.open(tmp_path / "g.jpg")))


@pytest.mark.parametrize("severity, degrees", each((5, 10, 15, 20, 30)))
def test_rotation_turns_a_ramp_by_its_angle(severity, degrees):
    """Inside, the ramp along an axis becomes a plane whose slopes are the cosine and the sine of the angle."""
    found = put("rotation", ramp(0), severity)[:, 12:21, 12:21, 0] * 32
    down, across = np.diff(found, axis=1), np.diff(found, axis=2)
    np.testing.assert_allclose(down, np.cos(np.radians(degrees)), atol=1e-9)
    np.testing.assert_allclose(np.abs(across), np.sin(np.radians(degrees)), atol=1e-9)
    assert {1, -1} == set(np.sign(across[:, 0, 0]))


@pytest.mark.parametrize("severity, share", each((0.04, 0.08, 0.12, 0.16, 0.24)))
def test_translation_moves_by_its_share_of_a_side(severity, share):
    size = 50
    x = np.random.default_rng(0).random((30, size, size, 2))
    shift, seen = round(share * size), set()
    for old, new in zip(x, put("translation", x, severity)):
        for way in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
            moved = np.roll(old, [shift * w for w in way], axis=(0, 1))
            if np.allclose(new[shift:-shift, shift:-shift], moved[shift:-shift, shift:-shift], atol=1e-9):
                seen.add(way)
                break
        else:
            raise AssertionError("moved in no way that it should")
    assert len(seen) == 4


@pytest.mark.parametrize("severity, factor", each((1.1, 1.2, 1.3, 1.4, 1.6)))
def test_scale_makes_a_ramp_flatter_or_steeper(severity, factor):
    found = put("scale", ramp(1), severity)[:, 12:21, 12:21, 0] * 32
    slopes = np.diff(found, axis=2)
    assert {round(s, 6) for s in slopes[:, 0, 0]} == {round(1 / factor, 6), round(factor, 6)}
    np.testing.assert_allclose(slopes, slopes[:, :1, :1] + 0 * slopes, atol=1e-9)
    np.testing.assert_allclose(found[:, 4, 4], 16)  # the middle stays


@pytest.mark.parametrize("severity, slope", each((0.1, 0.2, 0.3, 0.4, 0.5)))
def test_shear_moves_rows_by_their_distance_from_the_middle(severity, slope):
    found = put("shear", ramp(1), severity)[:, 12:21, 12:21, 0] * 32
    np.testing.assert_allclose(np.diff(found, axis=2), 1, atol=1e-9)
    np.testing.assert_allclose(np.abs(np.diff(found, axis=1)), slope, atol=1e-9)
