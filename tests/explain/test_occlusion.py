"""Occlusion against plain loops."""

import keras
import numpy as np
import pytest
from keras import layers

import pellucid as pl
from pellucid.errors import InvalidOption


def by_loop(score, x, window, stride, fill):
    """Mean fall over the windows that cover each pixel, one image at a time."""
    total, times = np.zeros(x.shape), np.zeros(x.shape)
    starts = lambda n: sorted({*range(0, n - window, stride), n - window})  # noqa: E731
    for top in starts(x.shape[1]):
        for left in starts(x.shape[2]):
            part = (slice(None), slice(top, top + window), slice(left, left + window))
            hidden = x.copy()
            hidden[part] = fill
            total[part] += (score(x) - score(hidden))[:, None, None, None]
            times[part] += 1
    return total / times


@pytest.mark.parametrize(("window", "stride", "fill"), [(3, 1, 0.0), (4, 3, 0.5), (2, 2, 0.0)])
def test_sliding_windows_on_images(random_cnn, window, stride, fill, generator):
    x = generator.random((3, 8, 8, 1)).astype(np.float32)
    score = lambda a: keras.ops.convert_to_numpy(random_cnn(a))[:, 1]  # noqa: E731
    e = pl.explain(random_cnn, x, pl.Occlusion(window, stride, fill), target=1)
    np.testing.assert_allclose(e.values, by_loop(score, x, window, stride, fill), rtol=1e-3, atol=1e-5)


def test_the_default_window_is_an_eighth_with_half_its_stride(generator):
    net = keras.Sequential([keras.Input((16, 16, 1)), layers.Flatten(), layers.Dense(2)])
    e = pl.explain(net, generator.random((1, 16, 16, 1)), pl.Occlusion())
    assert e.evaluations.tolist() == [15 * 15]


def test_a_table_hides_columns_of_one_origin_together(generator):
    x = generator.normal(size=(4, 4))
    data = pl.Dataset(x, kind="tabular", columns=["a", "b", "b", "c"])
    mean = x.mean(0)
    f = lambda t: t[:, 0] + t[:, 1] * t[:, 2] + 2 * t[:, 3]  # noqa: E731
    e = pl.explain(f, data, pl.Occlusion(baseline=mean))
    together = x[:, 1] * x[:, 2] - mean[1] * mean[2]
    expected = np.column_stack([x[:, 0] - mean[0], together / 2, together / 2, 2 * (x[:, 3] - mean[3])])
    np.testing.assert_allclose(e.values, expected, rtol=1e-4, atol=1e-5)
    assert e.evaluations.tolist() == [3] * 4


def test_tokens_are_replaced_by_the_baselines_token(generator):
    inputs = keras.Input((4,), dtype="int32")
    net = keras.Model(inputs, layers.Dense(1)(layers.Flatten()(layers.Embedding(7, 3)(inputs))))
    tokens = generator.integers(1, 7, size=(2, 4))
    e = pl.explain(net, tokens, pl.Occlusion(baseline=3))
    for t in range(4):
        hidden = tokens.copy()
        hidden[:, t] = 3
        fall = (net.predict(tokens, verbose=0) - net.predict(hidden, verbose=0))[:, 0]
        np.testing.assert_allclose(e.values[:, t], fall, rtol=1e-3, atol=1e-6)


def test_a_series_hides_stretches_of_time(generator):
    x = generator.normal(size=(2, 16, 3))
    e = pl.explain(lambda t: t[:, :, 0].sum(1) if hasattr(t, "sum") else 1 / 0, x, pl.Occlusion(window=4, stride=4))
    blocks = x[:, :, 0].reshape(2, 4, 4).sum(2).repeat(4, axis=1)
    np.testing.assert_allclose(e.values, np.repeat(blocks[:, :, None], 3, axis=2), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window": 0}, "Occlusion.window: expected whole numbers"),
        ({"window": 2.5}, "Occlusion.window: expected whole numbers"),
        ({"window": (2, 2, 2)}, "one number or 2"),
        ({"window": 2, "stride": 3}, "wider than the window"),
    ],
)
def test_windows_that_make_no_sense(options, message, random_cnn):
    with pytest.raises(InvalidOption, match=message):
        pl.explain(random_cnn, np.zeros((1, 8, 8, 1)), pl.Occlusion(**options))


def test_columns_of_one_origin_share_their_fall():
    f = lambda x: 2 * x[:, 0] - x[:, 1] - x[:, 2] + x[:, 3]  # noqa: E731
    data = pl.Dataset(np.array([[1.0, 0, 0, 5]]), kind="tabular", columns=("c", "c", "c", "n"))
    e = pl.explain(f, data, pl.Occlusion())
    np.testing.assert_allclose(e.values, [[2 / 3, 2 / 3, 2 / 3, 5]], rtol=1e-6)


def test_a_probability_that_stands_alone_has_two_classes():
    model = pl.wrap(lambda x: 1 / (1 + np.exp(-x[:, :1])), output="probabilities")
    x = np.array([[1.0, 2.0], [-3.0, 0.5]])
    one, zero = (pl.explain(model, pl.Dataset(x, [1, 1]), pl.Occlusion(), target) for target in ("label", 0))
    np.testing.assert_allclose(one.values[:, 0], 1 / (1 + np.exp(-x[:, 0])) - 0.5, atol=1e-6)
    np.testing.assert_allclose(zero.values, -one.values, atol=1e-6)
