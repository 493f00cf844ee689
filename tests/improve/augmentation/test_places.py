import numpy as np
from keras import ops

from pellucid.core.tensors import to_array
from pellucid.improve.augmentation.places import between, box, pairs, taken


def test_values_are_taken_from_places_by_number_and_between_them(generator):
    x = generator.normal(size=(3, 7, 2)).astype("float32")
    index = generator.integers(0, 7, (3, 5)).astype("int32")
    expected = np.stack([row[i] for row, i in zip(x, index, strict=True)])
    np.testing.assert_array_equal(to_array(taken(ops.convert_to_tensor(x), ops.convert_to_tensor(index))), expected)
    where = generator.uniform(-1, 8, (3, 5)).astype("float32")
    expected = [[np.interp(w, np.arange(7), row[:, f]) for f in range(2)] for row, w in zip(x, where, strict=True)]
    found = to_array(between(ops.convert_to_tensor(x), ops.convert_to_tensor(where)))
    np.testing.assert_allclose(found, np.transpose(expected, (0, 2, 1)), rtol=1e-4, atol=1e-5)
    single = to_array(between(ops.ones((2, 1)), ops.zeros((2, 3))))
    np.testing.assert_array_equal(single, np.ones((2, 3)))


def test_pairs_are_exchanges_of_ready_places_at_the_rate_of_hits(generator):
    order, ready = generator.random((400, 9)).astype("float32"), generator.random((400, 9)) < 0.8
    index = to_array(pairs(*map(ops.convert_to_tensor, (order, ready, generator.random((400, 9)) < 0.3))))
    rows = np.arange(400)[:, None]
    np.testing.assert_array_equal(index[rows, index], np.broadcast_to(np.arange(9), (400, 9)))  # to and fro
    moved = index != np.arange(9)
    assert not moved[~ready].any()
    paired = 2 * (ready.sum(1) // 2)
    share = moved.sum() / paired.sum()
    assert abs(share - 0.3) < 4 * np.sqrt(0.3 * 0.7 / (paired.sum() / 2))
    every = to_array(pairs(*map(ops.convert_to_tensor, (order, ready, np.ones((400, 9), bool)))))
    np.testing.assert_array_equal((every != np.arange(9)).sum(1), paired)
    partners = np.bincount(every[ready[:, 0], 0], minlength=9)[1:]  # any other place is as likely
    assert partners.min() > 0.5 * partners.mean()


def test_a_box_has_the_pixels_between_its_ends():
    ends = [ops.convert_to_tensor(np.array(e, "float32")) for e in ([1, 0], [3, 4], [0, 2], [2, 2])]
    expected = np.zeros((2, 4, 5, 1), bool)
    expected[0, 1:3, 0:2] = True
    np.testing.assert_array_equal(to_array(box(ends, (4, 5))), expected)
