"""What holds for every corruption: pure, graded, seeded, row by row."""

import numpy as np
import pytest

import pellucid as pl
from pellucid.data.corruptions import KINDS, USUAL, corruptions, negation, reference, synonyms
from pellucid.errors import InvalidInput

WORDS = [
    "",
    "[UNK]",
    *["the", "film", "was", "not", "good", "and", "The", "Film", "plot", "bad", "actors", "great", "story"],
]


def smooth(count, size, channels, seed=0):
    """Images that look like something: a few soft blobs and a little grain, from 0 to 1."""
    g, at = np.random.default_rng(seed), np.linspace(0, 1, size)
    y, x, s = (g.uniform(*ends, (count, 4, 1, 1, channels)) for ends in ((0.1, 0.9), (0.1, 0.9), (0.05, 0.2)))
    bumps = np.exp(-((at[:, None, None] - y) ** 2 + (at[:, None] - x) ** 2) / (2 * s**2)).sum(1)
    return np.clip(bumps / 2 + 0.05 * g.random(bumps.shape), 0, 1)


def table(count, seed=0):
    g = np.random.default_rng(seed)
    return np.column_stack([
        g.normal(5, 3, count), g.integers(18, 90, count), g.gamma(2, 20, count),
        np.eye(3)[g.choice(3, p=[0.6, 0.3, 0.1], size=count)], g.integers(2, size=count),
    ])  # fmt: skip


COLUMNS = ["a", "age", "b", "colour", "colour", "colour", "flag"]
TONES = np.sin(np.arange(400) * np.random.default_rng(0).uniform(0.05, 2, (30, 1)))[..., None]
WAVES = np.cumsum(np.random.default_rng(1).normal(size=(30, 60, 3)), axis=1)
TOKENS = np.pad(np.random.default_rng(2).integers(2, len(WORDS), (40, 9)), ((0, 0), (0, 3)))
BYTES = (255 * smooth(12, 16, 3)).astype(np.uint8)

DATA = {
    "tabular": [pl.Dataset(table(300), columns=COLUMNS), pl.Dataset(np.rint(table(300)).astype(int), columns=COLUMNS)],
    "image": [
        pl.Dataset(smooth(12, 16, 3).astype(np.float32)), pl.Dataset(BYTES),
        pl.Dataset((smooth(12, 16, 1) - 0.4) / 0.2), pl.Dataset(smooth(6, 16, 2)),
    ],
    "text": [
        pl.Dataset(TOKENS, vocabulary=WORDS), pl.Dataset(TOKENS[:, ::-1].astype(np.int32), vocabulary=WORDS),
        pl.Dataset(np.array([" ".join(WORDS[t] for t in row[:9]) for row in TOKENS]), kind="text"),
    ],
    "sequence": [pl.Dataset(WAVES), pl.Dataset(WAVES.astype(np.float32))],
    "audio": [pl.Dataset(TONES, kind="audio"), pl.Dataset((2**12 * TONES).astype(np.int16)[..., 0], kind="audio")],
}  # fmt: skip
OTHERS = {"synonyms": synonyms({"good": ["fine", "great"], "bad": ["poor"], "film": ["story"]}), "negation": negation}
CASES = [
    pytest.param(function, data, id=f"{kind}-{i}-{name}")
    for kind, table_ in KINDS.items()
    for i, data in enumerate(DATA[kind])
    for name, function in {**table_, **(OTHERS if kind == "text" else {})}.items()
]


def put(function, data, severity=3, seed=0, rows=slice(None)):
    return function(data.x[rows], severity, np.random.default_rng(seed), reference(data))


def distance(found, x):
    """How many words differ, or by how much numbers do, in units of each number's own spread."""
    if x.dtype.kind in "US":
        pairs = [(a.split(), b.split()) for a, b in zip(found, x)]
        return sum(sum(one != two for one, two in zip(a, b)) + abs(len(a) - len(b)) for a, b in pairs)
    spread = np.maximum(x.std(axis=0), 0.01 * x.std())
    return float((np.abs(found.astype(float) - x) / spread).mean())


@pytest.mark.parametrize("function, data", CASES)
def test_shape_and_type_stay_the_original_is_untouched_and_a_seed_says_it_all(function, data):
    kept = data.x.copy()
    data.x.flags.writeable = False
    one, two, other = (put(function, data, seed=seed) for seed in (3, 3, 4))
    assert one.shape == kept.shape
    assert one.dtype.kind == kept.dtype.kind
    assert kept.dtype.kind == "U" or one.dtype == kept.dtype
    np.testing.assert_array_equal(data.x, kept)
    np.testing.assert_array_equal(one, two)
    assert kept.dtype.kind in "US" or np.isfinite(one).all()
    fixed = {"blur", "defocus", "contrast", "pixelate", "jpeg", "posterize", "clipping", "band_loss"}
    assert function.__name__ in fixed or (one != other).any()


@pytest.mark.parametrize("function, data", CASES)
def test_what_happens_to_a_row_depends_on_no_other_row(function, data):
    every, known = put(function, data), reference(data)
    np.testing.assert_array_equal(every[:5], put(function, data, rows=slice(0, 5)))
    others = data.x.copy()
    others[:4] = data.x[5:9] if len(data.x) > 8 else data.x[[5]]
    found = function(others, 3, np.random.default_rng(0), known)
    np.testing.assert_array_equal(every[4:], found[4:])


@pytest.mark.parametrize("function, data", CASES)
def test_it_gets_worse_with_severity(function, data):
    """The mean distance over several draws rises from severity to severity, and is above 0 at the first."""
    far = [np.mean([distance(put(function, data, s, seed), data.x) for seed in range(8)]) for s in (1, 2, 3, 4, 5)]
    assert far[0] > 0
    assert far == sorted(far)


@pytest.mark.parametrize("function, data", CASES)
def test_severities_are_one_to_five(function, data):
    for severity in (0, 6, 2.5):
        with pytest.raises(InvalidInput, match="1 to 5"):
            put(function, data, severity)


def test_every_kind_has_the_usual_ones_and_the_others_have_none():
    assert all(set(names) <= set(corruptions(kind)) for kind, names in USUAL.items())
    assert corruptions("video") == {}
    assert not {"negation", "synonyms"} & set(corruptions("text"))
    with pytest.raises(InvalidInput, match="one array"):
        reference(pl.Dataset({"a": np.ones((3, 2))}))
