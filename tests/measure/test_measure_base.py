import numpy as np
import pytest

import pellucid as pl
from pellucid.core.registry import entries
from pellucid.errors import InvalidInput, InvalidOption
from pellucid.measure.base import Measure

X = np.linspace(0, 1, 60)[:, None]
Y = (X[:, 0] > 0.4).astype(int)
EVERY = (pl.Performance(), pl.Gap(), pl.CalibrationError(), pl.SelectiveRisk(), pl.CorruptionRobustness(), pl.Leakage())


def two_columns(x):
    return np.hstack([1 - np.clip(x, 0, 1), np.clip(x, 0, 1)])


def wrapped():
    return pl.wrap(two_columns, output="probabilities")


def test_same_seed_same_numbers_whatever_is_measured_beside_and_random_state_untouched():
    wrapped()  # importing a framework for the first time is not what is tested here
    np.random.seed(3)
    before = np.random.get_state()[1].copy()
    together = pl.measure(wrapped(), EVERY, train=(X, Y), test=(X, Y), seed=5)
    alone = [pl.measure(wrapped(), m, train=(X, Y), test=(X, Y), seed=5)[0] for m in EVERY[::-1]][::-1]
    for one, two in zip(together, alone):
        assert (one.name, one.value, one.interval, one.verdict, one.detail["explanation"]) == (
            two.name, two.value, two.interval, two.verdict, two.detail["explanation"])  # fmt: skip
    np.testing.assert_array_equal(before, np.random.get_state()[1])


def test_the_model_runs_once_on_each_split():
    rows = []

    def counting(x):
        rows.append(len(x))
        return two_columns(x)

    model = pl.wrap(counting, output="probabilities")
    model.scores(X[:1])
    rows.clear()
    found = pl.measure(model, [pl.Performance(), pl.Gap(), pl.CalibrationError()], train=(X, Y), test=(X, Y))
    assert len(rows) == 2  # a backend may pad a ragged end
    assert [m.provenance.evaluations for m in found] == [60, 60, 0]
    assert found[0].provenance.method == pl.Performance()
    assert len(found[0].provenance.inputs) == 16


@pytest.mark.parametrize(
    "y, words",
    [
        (None, "test: Performance needs labels"),
        (np.where(np.arange(60) == 7, 2, Y), "label 2 at row 7 is no class of the model, which has 2"),
        (np.where(np.arange(60) == 9, np.nan, Y), "label at row 9 is nan"),
        (np.where(np.arange(60) == 9, 0.5, Y), "label 0.5 at row 9"),
        (np.where(Y == 1, "yes", "no"), "labels must be numbers"),
    ],
)
def test_bad_labels(y, words):
    with pytest.raises(InvalidInput, match=words):
        pl.measure(wrapped(), pl.Performance(), test=pl.Dataset(X, y))


def test_bad_inputs():
    bad = X.copy()
    bad[4] = np.nan
    with pytest.raises(InvalidInput, match="NaN or infinite"):
        pl.measure(wrapped(), pl.Performance(), test=(bad, Y))
    with pytest.raises(InvalidInput, match="empty"):
        pl.measure(wrapped(), pl.Performance(), test=(X[:0], Y[:0]))
    with pytest.raises(InvalidInput, match="gave NaN"):
        pl.measure(
            pl.wrap(lambda x: np.where(x > 0.5, np.nan, two_columns(x)), output="logits"), pl.Performance(), test=(X, Y)
        )
    with pytest.raises(InvalidInput, match="no class probabilities"):
        pl.measure(pl.wrap(lambda x: 2 * two_columns(x), output="probabilities"), pl.Performance(), test=(X, Y))
    with pytest.raises(InvalidOption, match=r"pl.Gap\(\)"):
        pl.measure(wrapped(), [pl.Gap], train=(X, Y), test=(X, Y))
    with pytest.raises(InvalidInput, match="needs a model"):
        pl.measure(None, pl.Performance(), test=(X, Y))


def test_one_row_and_one_class():
    found = pl.measure(wrapped(), EVERY, train=(X, Y), test=(X[:1], Y[:1]))
    assert [m.verdict for m in found].count("not applicable") >= 2
    assert found[0].value == 1.0
    (found,) = pl.measure(wrapped(), pl.Performance(), test=(X[-9:], Y[-9:]))
    assert found.detail["auroc"]["value"] is None
    assert "all 9 labels are of class 1" in found.detail["auroc"]["explanation"]


def test_records_survive_saving(tmp_path):
    for i, found in enumerate(pl.measure(wrapped(), EVERY, train=(X, Y), test=(X, Y))):
        found.save(tmp_path / str(i))
        assert pl.load(tmp_path / str(i)) == found
        assert found.detail["explanation"].endswith(".")


def test_a_keras_model_is_measured():
    import keras

    keras.utils.set_random_seed(0)
    net = keras.Sequential([keras.Input((1,)), keras.layers.Dense(3, activation="softmax")])
    x = np.linspace(-1, 1, 90)[:, None].astype("float32")
    y = net.predict(x, verbose=0).argmax(1)
    found = pl.measure(net, EVERY, train=pl.Dataset(x, y), test=pl.Dataset(x + 0.001, y))
    assert found[0].value > 0.9
    assert all(m.detail["explanation"] for m in found)


class Slow(Measure):
    """Claims to take a million rows."""

    quantity = "slow"

    def passes(self, train, test):
        return 10**9

    def compute(self, context):
        return pl.Measurement(self.quantity, 1.0)


def test_a_budget_goes_to_the_cheap_measures_first_and_tells_what_it_left_out():
    x = np.linspace(0, 1, 200)[:, None]
    model = pl.wrap(lambda x: np.hstack([1 - x, x]), output="probabilities")
    given = (x, (x[:, 0] > 0.4).astype(int))
    slow, fast = pl.measure(model, [Slow(), pl.Performance()], test=given, budget=1.0)
    assert (slow.name, slow.value, slow.verdict) == ("slow", None, "left out")
    assert "give a larger one" in slow.detail["explanation"]
    assert fast.value == 0.9
    assert pl.measure(model, [Slow(), pl.Performance()], test=given)[0].value == 1.0


@pytest.mark.parametrize("entry", [*entries("measure"), *entries("verify")], ids=lambda e: e.name)
def test_which_way_is_better_is_one_of_three_words(entry):
    assert entry.load().better in ("higher", "lower", "")


def test_better_models_are_better_by_every_measure_that_says_so():
    """Labels and the model's confidence agree more or less: what is called better moves the way that is called better."""
    draw = np.random.default_rng(0)
    x = draw.random(4000)[:, None]
    y = (draw.random(4000) < x[:, 0]).astype(int)
    good = pl.wrap(lambda x: np.hstack([1 - x, x]), output="probabilities")
    bad = pl.wrap(lambda x: np.where(x > 0.8, [0.01, 0.99], [0.55, 0.45]), output="probabilities")
    asked = [
        pl.Performance(), pl.Performance("log_loss"), pl.CalibrationError(), pl.Brier(), pl.LogLoss(), pl.SelectiveRisk(),
        pl.TestSetBound(), pl.Subgroups({"half": np.arange(4000) % 2}), pl.Subgroups({"half": np.arange(4000) % 2}, "log_loss"),
    ]  # fmt: skip
    for one, other in zip(*(pl.measure(m, asked, train=(x[:9], y[:9]), test=(x, y)) for m in (good, bad)), strict=True):
        assert one.better == other.better != "", one.name
        assert (one.value > other.value) == (one.better == "higher"), one.name
    shares = {m.name: m.share for m in pl.measure(good, asked, train=(x[:9], y[:9]), test=(x, y))}
    assert shares["performance.accuracy"]
    assert shares["calibration_error"]
    assert not shares["performance.log_loss"]
