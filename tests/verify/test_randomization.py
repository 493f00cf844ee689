"""Parameter randomization: what it changes, what it measures, and that it gives the model back."""

import keras
import numpy as np
import pytest
from keras import layers
from scipy.stats import spearmanr

import pellucid as pl
from pellucid.errors import InvalidOption
from pellucid.explain.base import Attribution, Method
from pellucid.verify import randomization


class InputItself(Method):
    """An "explanation" that never looks at the model."""

    def attribute(self, question):
        return Attribution((question.inputs[0],), np.ones(len(question), int), np.ones(len(question), bool))


@pytest.fixture(scope="module")
def wide():
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [keras.Input((20,)), layers.Dense(32, "relu"), layers.BatchNormalization(), layers.Dense(3)]
    )


def test_rank_correlation_is_scipys(generator):
    a, b = generator.normal(size=(2, 5, 12))
    a[0] = np.round(a[0])
    expected = [spearmanr(p, q).statistic for p, q in zip(a, b, strict=True)]
    np.testing.assert_allclose(randomization.rank_correlation(a, b), expected, rtol=1e-10)
    assert randomization.rank_correlation(np.ones((1, 3)), b[:1, :3]).tolist() == [0]


@pytest.mark.parametrize("order", ["cascade", "all"])
def test_slopes_change_and_the_input_does_not(wide, order, generator):
    x, check = generator.normal(size=(30, 20)), pl.ParameterRandomization(order=order)
    good = pl.verify(wide, pl.explain(wide, x, pl.GradientInput(), target=1), check)[0]
    assert good.verdict == "changes with the weights"
    assert abs(good.value) < 0.4
    bad = pl.verify(wide, pl.explain(wide, x, InputItself()), check)
    assert bad[0].value == pytest.approx(1)
    assert bad[0].verdict == "does not change"
    assert bad.verdict == "refuted"


def test_layers_are_replaced_from_the_last_to_the_first(wide, generator):
    e = pl.explain(wide, generator.normal(size=(5, 20)), pl.Gradient(), target=0)
    names = pl.verify(wide, e, pl.ParameterRandomization(repeats=1))[0].detail["layers"]
    assert list(names) == [layer.name for layer in reversed(wide.layers)]


@pytest.mark.parametrize("interrupted", [False, True])
def test_the_model_gets_its_weights_back(wide, interrupted, monkeypatch, generator):
    before = [np.array(w) for w in wide.get_weights()]
    e = pl.explain(wide, generator.normal(size=(5, 20)), pl.Gradient(), target=0)
    if interrupted:

        def stop(*_):
            raise KeyboardInterrupt

        monkeypatch.setattr(randomization, "rank_correlation", stop)
        with pytest.raises(KeyboardInterrupt):
            pl.verify(wide, e, pl.ParameterRandomization())
    else:
        pl.verify(wide, e, pl.ParameterRandomization())
    for old, new in zip(before, wide.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_weights_are_redrawn_with_their_own_mean_and_spread(wide):
    model, before = pl.wrap(wide), wide.get_weights()[0].copy()
    with randomization._restored(model):
        randomization._randomize(model, [wide.layers[0].kernel], np.random.default_rng(0))
        after = wide.get_weights()[0]
        assert after.mean() == pytest.approx(before.mean(), abs=4 * before.std() / np.sqrt(before.size))
        assert after.std() == pytest.approx(before.std(), rel=0.1)
        assert abs(np.corrcoef(after.ravel(), before.ravel())[0, 1]) < 0.15


def test_a_callable_has_no_weights(generator):
    f = lambda x: x.sum(1)  # noqa: E731
    e = pl.explain(f, generator.normal(size=(4, 3)), pl.Occlusion())
    m = pl.verify(f, e, pl.ParameterRandomization())[0]
    assert m.verdict == "not applicable"
    assert m.value is None


@pytest.mark.parametrize("options", [{"order": "up"}, {"repeats": 0}, {"limit": 1.0}])
def test_options_that_make_no_sense(options):
    with pytest.raises(InvalidOption, match=f"ParameterRandomization.{next(iter(options))}: expected"):
        pl.ParameterRandomization(**options)


def test_the_value_is_the_same_however_few_points_the_way_there_has(wide, generator):
    e = pl.explain(wide, generator.normal(size=(12, 20)), pl.GradientInput(), target=0)
    checks = [pl.ParameterRandomization(steps=n) for n in (1, 2, 10)]
    one, two, each = (m.detail for m in pl.verify(wide, e, checks))
    for some in (one, two):
        np.testing.assert_allclose(some["per_example"], each["per_example"], atol=1e-12)
    assert [len(d["similarities"]) for d in (one, two, each)] == [1, 2, 3]
    assert list(two["layers"]) == [each["layers"][1], each["layers"][2]]
    assert two["similarities"] == pytest.approx(each["similarities"][1:], abs=1e-12)
    assert each["similarities"][-1] == pytest.approx(each["per_example"].mean())


def test_only_the_first_random_model_is_looked_at_on_the_way(wide, generator):
    e = pl.explain(wide, generator.normal(size=(6, 20)), pl.GradientInput(), target=0)
    three, one = (m.detail for m in pl.verify(wide, e, [pl.ParameterRandomization(repeats=r) for r in (3, 1)]))
    assert three["similarities"][:-1] == pytest.approx(one["similarities"][:-1], abs=1e-12)
    assert three["evaluations"] == 6 * (3 + 2)
    assert one["evaluations"] == 6 * 3
