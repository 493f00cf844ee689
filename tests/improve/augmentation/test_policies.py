import numpy as np
import pytest
from keras import ops

import pellucid as pl
from pellucid.core.tensors import to_array
from pellucid.errors import InvalidOption
from pellucid.improve.augmentation.operations import done
from pellucid.improve.augmentation.policies import ALL, PLAIN
from pellucid.improve.augmentation.survival import augmented

X = np.random.default_rng(0).random((80, 8, 8, 3)).astype("float32")
DATA = pl.Dataset(X, np.arange(80) % 2)


def again(x, which, amount, names):
    return to_array(done(*map(ops.convert_to_tensor, (x, which, amount.astype("float32"))), names))


def test_rand_augment_does_the_operations_that_were_drawn(apply):
    found, (up, first, down, second) = apply(pl.RandAugment(2, 0.4), DATA)
    expected = again(again(X, first, np.where(up, 0.4, -0.4), ALL), second, np.where(down, 0.4, -0.4), ALL)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert set(first) | set(second) == set(range(13))


@pytest.mark.parametrize(("scale", "offset", "kind"), [(255, 0, "float32"), (4, -2, "float32"), (255, 0, "uint8")])
def test_the_range_of_values_makes_no_difference_and_is_kept(scale, offset, kind):
    one = pl.RandAugment(2, 0.5)
    plain = np.concatenate([X, np.zeros((1, 8, 8, 3)), np.ones((1, 8, 8, 3))]).astype("float32")
    plain = np.rint(255 * plain) / np.float32(255)  # values that bytes hold too
    other = (plain * scale + offset + (0.5 if kind == "uint8" else 0)).astype(kind)
    first, second = augmented(one, pl.Dataset(plain)).x, augmented(one, pl.Dataset(other)).x
    assert second.dtype == kind
    assert second.min() >= offset
    assert second.max() <= scale + offset
    near = np.abs((second.astype(float) - offset) / scale - first) < 2 / 255  # posterizing jumps where rounding differs
    assert near.mean() > 0.99


def test_augmix_mixes_chains_in_the_shares_that_were_drawn(apply):
    one = pl.AugMix(width=2, depth=2, strength=0.5)
    found, (uniform, length, *rest) = apply(one, DATA)
    kept = rest.pop()
    x = np.tile(X, (2, 1, 1, 1))
    for step in range(2):
        size, up, which = rest[3 * step : 3 * step + 3]
        amount = 0.5 * size * np.where(up, 1, -1)
        assert size.min() >= 0.1
        x = np.where((1 + length > step)[:, None, None, None], again(x, which, amount, PLAIN), x)
    shares = -np.log(uniform)
    shares = shares / shares.sum(0)
    mixed = (shares * x.reshape(2, 80, 8, 8, 3)).sum(0)
    np.testing.assert_allclose(found, np.clip(kept * X + (1 - kept) * mixed, 0, 1), atol=1e-4)
    assert set(length) == {0, 1}
    assert abs(shares[0].mean() - 0.5) < 4 / np.sqrt(12 * 80)  # Dirichlet of two ones: even
    assert abs(shares[0].var() - 1 / 12) < 0.03


def test_errors():
    for wrong in (
        lambda: pl.RandAugment(0), lambda: pl.RandAugment(strength=0), lambda: pl.RandAugment(strength=1.1),
        lambda: pl.AugMix(width=0), lambda: pl.AugMix(depth=0), lambda: pl.AugMix(strength=2),
    ):  # fmt: skip
        with pytest.raises(InvalidOption):
            wrong()
