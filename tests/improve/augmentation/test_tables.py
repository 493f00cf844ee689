import numpy as np
import pytest

import pellucid as pl
from pellucid.errors import InvalidOption, NotApplicable

DRAW = np.random.default_rng(0)
X = np.column_stack(
    [
        DRAW.normal(3, 2, 3000),
        DRAW.normal(0, 0.1, 3000),
        DRAW.integers(20, 80, 3000),
        np.eye(3)[DRAW.integers(0, 3, 3000)],
    ]
).astype("float32")
NAMES = ["height", "dose", "age", "ward=a", "ward=b", "ward=c"]
DATA = pl.Dataset(X, DRAW.integers(0, 2, 3000), feature_names=NAMES, columns=["height", "dose", "age", *["ward"] * 3])


def test_noise_has_the_spread_of_the_column_and_leaves_whole_numbers_alone(apply):
    found, _ = apply(pl.TableNoise(0.2), DATA)
    change = found - X
    assert not change[:, 2:].any()
    for f in (0, 1):
        z = change[:, f] / (0.2 * X[:, f].std())
        assert abs(z.mean()) < 4 / np.sqrt(3000)
        assert abs(z.std() - 1) < 4 / np.sqrt(2 * 3000)
    assert abs(np.corrcoef(change[:, 0], change[:, 1])[0, 1]) < 0.08
    assert (
        pl.TableNoise().assumed(DATA)
        == "TableNoise left alone what holds whole numbers only: age, ward=a, ward=b, ward=c"
    )


def test_missing_values_stay_missing_and_do_not_count(apply):
    x = X[:, :2].copy()
    x[::3, 0] = np.nan
    found, _ = apply(pl.TableNoise(0.1), pl.Dataset(x, DATA.y))
    np.testing.assert_array_equal(np.isnan(found), np.isnan(x))
    assert abs(np.nanstd(found[:, 0] - x[:, 0]) / (0.1 * np.nanstd(x[:, 0])) - 1) < 0.08


def test_swapped_columns_keep_what_they_hold_and_move_with_their_origin(apply):
    found, _ = apply(pl.ColumnSwap(0.3), DATA)
    np.testing.assert_array_equal(np.sort(found, axis=0), np.sort(X, axis=0))
    np.testing.assert_array_equal(found[:, 3:].sum(1), 1)  # still one ward each
    moved = found[:, :2] != X[:, :2]
    assert np.all(np.abs(moved.mean(0) - 0.3) < 4 * np.sqrt(0.21 / 1500))
    assert abs(np.mean(moved[:, 0] & moved[:, 1]) - 0.09) < 4 * np.sqrt(0.09 / 1500)  # columns by themselves
    wards = np.any(found[:, 3:] != X[:, 3:], axis=1).mean()
    assert abs(wards - 0.3 * 2 / 3) < 0.04


def test_errors():
    for wrong in (lambda: pl.TableNoise(0), lambda: pl.ColumnSwap(0), lambda: pl.ColumnSwap(1.0)):
        with pytest.raises(InvalidOption):
            wrong()
    with pytest.raises(NotApplicable, match="TableNoise is for tabular data"):
        pl.TableNoise().attach(None, pl.Dataset(np.ones((4, 5, 2))), 0)
    with pytest.raises(NotApplicable, match="2 axes"):
        pl.ColumnSwap().attach(None, pl.Dataset(np.ones((4, 5, 2)), kind="tabular"), 0)
