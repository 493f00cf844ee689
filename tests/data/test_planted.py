"""The planted cause decides the class, and nothing else does."""

import dataclasses

import numpy as np
import pytest

import pellucid as pl
from pellucid.errors import InvalidOption

MAKERS = [pl.data.tones, pl.data.moving_shapes]


@pytest.mark.parametrize("make", MAKERS)
def test_the_same_seed_makes_the_same_data(make):
    np.random.seed(5)
    before = np.random.get_state()[1].copy()
    one, two, other = make(12, 3), make(12, seed=3), make(12, 4)
    np.testing.assert_array_equal(one.data.x, two.data.x)
    np.testing.assert_array_equal(one.data.y, two.data.y)
    np.testing.assert_array_equal(one.cause, two.cause)
    assert not np.array_equal(one.data.x, other.data.x)
    np.testing.assert_array_equal(np.random.get_state()[1], before)


@pytest.mark.parametrize("make", MAKERS)
def test_classes_are_balanced_and_causes_belong_to_their_examples(make):
    made = make(42, 0)
    assert np.ptp(np.bincount(made.data.y)) <= 1
    assert made.cause.reshape(42, -1).any(1).all()
    part = made.take([3, 7])
    np.testing.assert_array_equal(part.cause, made.cause[[3, 7]])
    np.testing.assert_array_equal(part.data.x, made.data.x[[3, 7]])
    assert len(part) == 2
    with pytest.raises(InvalidOption, match="cause"):
        dataclasses.replace(made, cause=made.cause[:5])


def correlate(rows, values):
    rows, values = rows - rows.mean(), values - values.mean()
    return (rows * values).sum() / np.sqrt((rows**2).sum() * (values**2).sum())


def test_the_cause_of_a_tone_tells_its_class():
    """Within the cause pitch rises or falls with time: the sign of that correlation is the class."""
    made = pl.data.tones(200, 0)
    found = []
    for x, cause in zip(made.data.x, made.cause):
        frames = np.nonzero(cause.any(1))[0]
        found.append(correlate(frames, cause[frames].argmax(1)) > 0)
        assert x[cause].mean() > x[~cause].mean() + 0.5, "louder than the rest"
    assert np.mean(np.array(found) == made.data.y) == 1


def test_the_cause_of_a_video_tells_its_class():
    made = pl.data.moving_shapes(200, 0)
    for video, cause, label in zip(made.data.x[..., 0], made.cause[..., 0], made.data.y):
        frames = np.nonzero(cause.any((1, 2)))[0]
        assert len(frames) == 7
        assert np.ptp(frames) == 6
        centres = np.array([np.argwhere(cause[f]).mean(0) for f in frames])
        moved = {(0, -1): 0, (0, 1): 1, (-1, 0): 2, (1, 0): 3}
        assert moved[tuple(np.diff(centres, axis=0).mean(0).round().astype(int))] == label
        assert video[cause].min() > 0.3, "the shape lies over the background"


@pytest.mark.parametrize("make", MAKERS)
def test_nothing_outside_the_cause_tells_the_class(make):
    """A forest on the example with every frame of the cause taken out, and on their place, does no better than chance."""
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.model_selection import cross_val_predict

    made = make(400, 0)
    cells = made.data.x.reshape(400, made.data.x.shape[1], -1)
    frames = made.cause.reshape(cells.shape).any(-1)
    rest = np.where(frames[..., None], 0, cells)
    summary = np.concatenate([rest.mean(-1), rest.max(-1), rest.mean(1), frames], axis=1)
    forest = RandomForestClassifier(100, random_state=0)
    right = (cross_val_predict(forest, summary, made.data.y, cv=5) == made.data.y).mean()
    chance = 1 / len(made.data.class_names)
    assert abs(right - chance) < 3.3 * np.sqrt(chance * (1 - chance) / 400), "within 99.9 % of guessing"


def test_where_a_shape_is_says_nothing_of_its_direction():
    """The mean place over the seven frames has the same distribution for every direction."""
    from scipy.stats import kruskal

    made = pl.data.moving_shapes(800, 2)
    where = [np.argwhere(c[..., 0])[:, 1:].mean(0) for c in made.cause]
    for axis in (0, 1):
        place = np.array(where)[:, axis]
        assert kruskal(*(place[made.data.y == k] for k in range(4))).pvalue > 0.001


def test_energy_of_a_pure_tone_is_in_its_band():
    """A sine at the centre of a band is loudest in that band, in the frames in which it sounds."""
    from pellucid.data import planted

    mel = planted._mel()
    for band in (3, 12, 25):
        centre = 700 * (
            10 ** (np.linspace(*[2595 * np.log10(1 + f / 700) for f in (150, 3000)], 34)[band + 1] / 2595) - 1
        )
        samples = planted.HOP * (planted.FRAMES - 1) + planted.WINDOW
        sound = np.sin(2 * np.pi * centre * np.arange(samples) / planted.RATE)
        sound[: samples // 2] = 0
        energy = planted._energy(sound, mel)
        assert (energy[35:].argmax(1) == band).all()
        assert not energy[: samples // 2 // planted.HOP - 4].any()


def test_the_floor_is_the_mean_energy_of_the_noise(generator):
    """The mel energies of white noise are on average the power of the window times the variance, summed over a band."""
    from pellucid.data import planted

    mel, samples = planted._mel(), planted.HOP * (planted.FRAMES - 1) + planted.WINDOW
    found = np.mean([planted._energy(generator.normal(0, 0.1, samples), mel).mean(0) for _ in range(60)], axis=0)
    floor = 0.1**2 * (np.hanning(planted.WINDOW) ** 2).sum() * mel.sum(0)
    np.testing.assert_allclose(found, floor, rtol=0.1)


@pytest.mark.parametrize("make, options, told", [
    (pl.data.tones, {"count": 1}, "count"), (pl.data.moving_shapes, {"count": 3}, "count"),
    (pl.data.tones, {"count": 4, "noise": 0.0}, "noise"), (pl.data.moving_shapes, {"count": 4, "noise": -1.0}, "noise"),
])  # fmt: skip
def test_wrong_options_are_refused(make, options, told):
    with pytest.raises(InvalidOption, match=told):
        make(**options)


def test_a_kind_of_five_axes_is_video():
    assert pl.Dataset(np.zeros((1, 2, 2, 2, 1))).kind == "video"
