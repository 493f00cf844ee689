"""The column is the check itself: the same number as explaining and verifying by hand."""

import keras
import numpy as np
import pytest

import pellucid as pl
from pellucid.core.randomness import some, stream
from pellucid.errors import InvalidOption


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    return pl.wrap(keras.Sequential([keras.Input((4,)), keras.layers.Dense(8, "relu"), keras.layers.Dense(2)]))


X = np.random.default_rng(0).normal(size=(80, 4)).astype("float32") + 1


def test_it_is_the_check_by_hand(model):
    asked = pl.Faithfulness(pl.Insertion(steps=4, rankings=5), pl.GradientInput(), examples=20)
    (found,) = pl.measure(model, asked, train=X, test=X, seed=3)
    rows = X[some(80, 20, stream(3, "Faithfulness", "rows"))]
    seed = int(stream(3, "Faithfulness", "seed").integers(2**31))
    first = model.scores(rows).argmax(1)
    e = pl.explain(model, rows, pl.GradientInput(), pl.Margin(first, 1 - first), seed=seed)
    (by_hand,) = pl.verify(model, e, asked.check, seed=seed)
    assert (found.name, found.better) == ("faithfulness.insertion", "higher")
    assert found.value == pytest.approx(by_hand.value, rel=1e-5)
    assert found.interval.low == pytest.approx(by_hand.interval.low, rel=1e-4, abs=1e-6)


def test_logits_and_logarithms_of_probabilities_are_judged_alike():
    """An ensemble gives the logarithm of a mean: its scores move otherwise than logits do, its answers need not."""
    keras.utils.set_random_seed(1)
    inner = [keras.Input((4,)), keras.layers.Dense(8, "relu"), keras.layers.Dense(3)]
    logits = keras.Sequential(inner)
    logarithms = keras.Sequential([*inner, keras.layers.Activation("log_softmax")])
    asked = pl.Faithfulness(pl.Deletion(steps=4, rankings=5), examples=20)
    one, two = (pl.measure(pl.wrap(net, output="logits"), asked, train=X, test=X)[0] for net in (logits, logarithms))
    assert one.value == pytest.approx(two.value, rel=1e-4)


def test_the_usual_method_starts_from_the_mean_row(model):
    (found,) = pl.measure(model, pl.Faithfulness(examples=10), train=X, test=X)
    assert "IntegratedGradients" in found.detail["method"]
    assert str(float(X.mean(0)[0]))[:5] in found.detail["method"]


def test_a_model_of_one_part_has_none():
    keras.utils.set_random_seed(0)
    net = keras.Sequential([keras.Input((1,)), keras.layers.Dense(2)])
    (found,) = pl.measure(net, pl.Faithfulness(), test=X[:, :1])
    assert (found.value, found.verdict) == (None, "not applicable")


def test_options_are_checked():
    with pytest.raises(InvalidOption, match="a check such as"):
        pl.Faithfulness(pl.Gap())
    with pytest.raises(InvalidOption, match="a method such as"):
        pl.Faithfulness(method="gradients")
    with pytest.raises(InvalidOption, match="examples"):
        pl.Faithfulness(examples=0)
