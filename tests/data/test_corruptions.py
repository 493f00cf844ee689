import numpy as np
import pytest

import pellucid as pl
from pellucid.data.corruptions import IMAGE, TABLE, corruptions, reference
from pellucid.errors import InvalidInput

TABULAR = np.column_stack([
    np.random.default_rng(0).normal(5, 3, 4000), np.random.default_rng(1).integers(18, 90, 4000),
    np.eye(3)[np.random.default_rng(2).integers(3, size=4000)], np.ones(4000),
])  # fmt: skip
DATA = pl.Dataset(TABULAR, columns=["a", "age", "colour", "colour", "colour", "constant"])


def test_noise_is_in_units_of_the_training_deviation():
    found = TABLE["noise"](TABULAR, 4, np.random.default_rng(0), reference(DATA))
    assert (found - TABULAR)[:, 0].std() == pytest.approx(0.5 * TABULAR[:, 0].std(), rel=0.05)
    assert np.mod(found[:, 1], 1).max() == 0
    np.testing.assert_array_equal(found[:, 5], 1)


@pytest.mark.parametrize("name", list(TABLE))
@pytest.mark.parametrize("severity", [1, 5])
def test_an_encoded_group_stays_one_category(name, severity):
    found = TABLE[name](TABULAR, severity, np.random.default_rng(0), reference(DATA))
    assert set(found[:, 2:5].ravel()) == {0.0, 1.0}
    np.testing.assert_array_equal(found[:, 2:5].sum(1), 1)
    assert (found[:, 2:5] != TABULAR[:, 2:5]).any()


def test_missing_values_become_the_usual_one():
    found = TABLE["missing"](TABULAR, 4, np.random.default_rng(0), reference(DATA))
    lost = found[:, 0] != TABULAR[:, 0]
    assert lost.mean() == pytest.approx(0.3, abs=0.03)
    np.testing.assert_allclose(found[lost, 0], np.median(TABULAR[:, 0]))


@pytest.mark.parametrize("kind", ["float", "uint8"])
@pytest.mark.parametrize("name", list(IMAGE))
def test_images_keep_type_range_and_originals_and_get_worse(name, kind):
    g = np.random.default_rng(0)
    smooth = np.add.outer(np.linspace(0, 0.5, 16), np.linspace(0, 0.5, 16))
    x = np.clip(smooth[None, :, :, None] + 0.2 * g.random((20, 16, 16, 2)), 0, 1)
    x = (255 * x).astype(np.uint8) if kind == "uint8" else x.astype(np.float32)
    kept, known = x.copy(), reference(pl.Dataset(x))
    x.flags.writeable = False
    found = [IMAGE[name](x, s, np.random.default_rng(s), known) for s in (1, 2, 3, 4, 5)]
    np.testing.assert_array_equal(x, kept)
    assert all(f.dtype == x.dtype and f.shape == x.shape and f.min() >= x.min() and f.max() <= x.max() for f in found)
    changes = [np.abs(f.astype(float) - x).mean() for f in found]
    assert changes[0] > 0
    assert changes == sorted(changes)


def test_contrast_keeps_the_mean_of_each_channel():
    x = np.random.default_rng(0).random((3, 8, 8, 2))
    found = IMAGE["contrast"](x, 3, np.random.default_rng(0), reference(pl.Dataset(x)))
    np.testing.assert_allclose(found.mean((1, 2)), x.mean((1, 2)))
    np.testing.assert_allclose(found.std((1, 2)), 0.4 * x.std((1, 2)))


def test_bad_severity_and_kinds():
    with pytest.raises(InvalidInput, match="1 to 5"):
        TABLE["noise"](TABULAR, 6, np.random.default_rng(0), reference(DATA))
    assert corruptions("text") == {}
