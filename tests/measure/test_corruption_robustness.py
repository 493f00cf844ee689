import numpy as np
import pytest

import pellucid as pl


def sign(x):
    return np.hstack([-x[:, :1], x[:, :1]])


X = np.random.default_rng(0).normal(size=(4000, 2))
Y = (X[:, 0] > 0).astype(int)


def test_drop_of_a_threshold_under_noise_is_the_known_angle():
    """A normal input crosses zero under noise of s deviations with probability arctan(s) / pi."""
    (found,) = pl.measure(pl.wrap(sign), pl.CorruptionRobustness("noise", rows=None), test=(X, Y))
    part = found.detail["corruptions"]["noise"]
    truth = np.arctan([0.1, 0.2, 0.3, 0.5, 1.0]) / np.pi
    np.testing.assert_allclose(part["drop"], truth, atol=4 * (0.25 / 4000) ** 0.5)
    assert ((part["low"] < truth) & (truth < part["high"])).sum() >= 4
    assert found.value == pytest.approx(part["drop"].mean())
    assert found.verdict == "fragile"


def test_regression_drop_is_the_added_variance():
    """R2 of f = x on y = x falls by the square of the noise in deviations."""
    (found,) = pl.measure(
        pl.wrap(lambda x: x[:, :1], output="value"), pl.CorruptionRobustness("noise"), test=(X, X[:, 0])
    )
    np.testing.assert_allclose(
        found.detail["corruptions"]["noise"]["drop"], np.square([0.1, 0.2, 0.3, 0.5, 1.0]), rtol=0.15
    )


def test_a_model_that_ignores_its_input_is_robust():
    model = pl.wrap(lambda x: np.tile([0.0, 1.0], (len(x), 1)), output="logits")
    (found,) = pl.measure(model, pl.CorruptionRobustness(), test=(X, Y))
    assert (found.value, found.verdict) == (0, "robust")
    assert found.interval.high > 0


def test_kinds_without_corruptions_and_own_ones():
    data = pl.Dataset(X[:, None, None, None, :], Y, kind="video")
    model = pl.wrap(lambda x: sign(x[:, 0, 0, 0]))
    assert pl.measure(model, pl.CorruptionRobustness(), test=data)[0].verdict == "not applicable"
    (found,) = pl.measure(model, pl.CorruptionRobustness({"flip": lambda x, s, g, r: -x}), test=data)
    assert found.value == 1
    with pytest.raises(pl.errors.InvalidOption, match="noise, missing"):
        pl.measure(pl.wrap(sign), pl.CorruptionRobustness("rain"), test=(X, Y))


def test_what_is_left_is_the_accuracy_itself_and_the_drop_is_paired():
    """By hand: corrupted inputs turn every third answer, of a model that is wrong on every fifth row."""
    y = np.where(np.arange(len(Y)) % 5 == 0, 1 - Y, Y)
    turned = np.where(np.arange(len(X)) % 3 == 0, -1, 1)[:, None]
    measure = pl.CorruptionRobustness({"turn": lambda x, s, g, r: x * turned}, (2,), rows=None)
    (found,) = pl.measure(pl.wrap(sign), measure, test=(X, y))
    right, after = y == Y, (y == Y) != (turned[:, 0] < 0)
    part = found.detail["corruptions"]["turn"]
    assert found.detail["clean"] == pytest.approx(right.mean())
    assert part["left"][0] == pytest.approx(after.mean())
    assert part["drop"][0] == pytest.approx(right.mean() - after.mean())
    z, n, p = 1.959963984540054, len(y), after.mean()
    centre, half = (
        (p + z * z / (2 * n)) / (1 + z * z / n),
        z / (1 + z * z / n) * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n)),
    )
    assert (part["left_low"][0], part["left_high"][0]) == pytest.approx((centre - half, centre + half))
    paired = np.std(right.astype(float) - after) / np.sqrt(n)
    assert part["high"][0] - part["low"][0] == pytest.approx(2 * z * paired, rel=0.02)


def test_rows_are_drawn_and_the_clean_answers_used_again():
    asked = []

    def counting(x):
        asked.append(len(x))
        return sign(x)

    model = pl.wrap(counting)
    model.scores(X[:1])
    asked.clear()
    found = pl.measure(model, [pl.Performance(), pl.CorruptionRobustness("noise", (1, 5), rows=500)], test=(X, Y))[1]
    assert found.provenance.evaluations == 1000  # two severities; the clean rows were run for `Performance`
    rows = found.detail["rows"]
    assert len(np.unique(rows)) == 500
    assert np.abs(rows.mean() - 2000) < 200
    assert found.detail["clean"] == 1


def test_all_of_a_kind_without_those_that_make_no_sense():
    (found,) = pl.measure(pl.wrap(sign), pl.CorruptionRobustness("all", (3,)), test=(X, Y))
    assert list(found.detail["corruptions"]) == ["noise", "missing", "unit", "swap"]
    assert "no categorical" in found.detail["skipped"]["rare"]
    swap = found.detail["corruptions"]["swap"]["drop"][0]  # a fifth of the rows get a number that knows nothing
    assert swap == pytest.approx(0.1, abs=0.03)
    (found,) = pl.measure(pl.wrap(sign), pl.CorruptionRobustness("rare"), test=(X, Y))
    assert found.verdict == "not applicable"
    assert "no categorical" in found.detail["explanation"]


def test_a_text_loses_what_its_telling_words_carry():
    """A model that counts one word is right until that word is lost: deletion of a share s costs s of the rows that have it."""
    import keras

    words = ["", "[UNK]", "fine", "film", "plot"]
    tokens = np.random.default_rng(0).integers(3, 5, (2000, 8))
    tokens[::2, 3] = 2
    y = (np.arange(2000) % 2 == 0).astype(int)
    inputs = keras.Input((8,), dtype="int32")
    embed = keras.layers.Embedding(5, 1)
    mean = keras.layers.GlobalAveragePooling1D()(embed(inputs))
    bias = keras.initializers.Constant(-0.05)
    net = keras.Model(inputs, keras.layers.Dense(1, kernel_initializer="ones", bias_initializer=bias)(mean))
    embed.set_weights([np.array([[0.0], [0], [1], [0], [0]])])
    data = pl.Dataset(tokens, y, vocabulary=words)
    model = pl.wrap(net, output="logits")
    (found,) = pl.measure(model, pl.CorruptionRobustness("all"), test=data)
    assert found.detail["clean"] == 1
    lost = found.detail["corruptions"]["deletion"]["drop"]
    np.testing.assert_allclose(lost, np.array([0.05, 0.1, 0.2, 0.3, 0.5]) / 2, atol=0.03)
    np.testing.assert_array_equal(found.detail["corruptions"]["swap"]["drop"], 0)
    assert "no capitals" in found.detail["skipped"]["case"]
    (found,) = pl.measure(model, pl.CorruptionRobustness(), test=pl.Dataset(tokens, y, kind="tabular"))
    assert "token numbers" in found.detail["explanation"]


@pytest.mark.parametrize("kind, shape", [("sequence", (30, 2)), ("audio", (30, 1)), ("image", (6, 6, 1))])
def test_every_kind_can_be_asked_for_all(kind, shape):
    x = np.random.default_rng(0).normal(size=(120, *shape))
    y = (x.reshape(120, -1).mean(1) > 0).astype(int)
    model = pl.wrap(lambda x: sign(np.asarray(x).reshape(len(x), -1).mean(1, keepdims=True)))
    (found,) = pl.measure(model, pl.CorruptionRobustness("all", (1, 5)), test=pl.Dataset(x, y, kind=kind))
    assert not found.detail["skipped"]
    assert all(np.isfinite(v).all() for part in found.detail["corruptions"].values() for v in part.values())
    assert found.detail["clean"] == 1


@pytest.mark.slow
def test_the_drop_and_what_is_left_are_covered():
    """Over 300 test sets the intervals of severity 5 hold the true drop, arctan(1) / pi, and accuracy, at their level."""
    held, model = np.zeros(2), pl.wrap(sign)
    for i in range(300):
        x = np.random.default_rng(1000 + i).normal(size=(200, 1))
        measure = pl.CorruptionRobustness("noise", (5,))
        train = (np.random.default_rng(1).normal(size=(20000, 1)), np.zeros(20000, int))
        (found,) = pl.measure(model, measure, train=train, test=(x, (x[:, 0] > 0).astype(int)), seed=i)
        part = found.detail["corruptions"]["noise"]
        held += [part["low"][0] <= 0.25 <= part["high"][0], part["left_low"][0] <= 0.75 <= part["left_high"][0]]
    assert (held / 300 > 0.915).all()
    assert (held / 300 < 0.985).all()


def test_what_is_left_is_the_quality_on_corrupted_rows():
    """Clean quality less the drop, with the interval of the corrupted rows themselves; the verdict stays that of the drop."""
    for model, y, name in (
        (pl.wrap(sign), Y, "accuracy"),
        (pl.wrap(lambda x: x[:, :1], output="value"), X[:, 0], "r2"),
    ):
        options = {"corruptions": "noise", "severities": (3,), "rows": None}
        drop, left = pl.measure(
            model, [pl.CorruptionRobustness(**options, of=of) for of in ("drop", "left")], test=(X, y)
        )
        part = left.detail["corruptions"]["noise"]
        assert left.name == f"corruption_robustness.{name}"
        assert left.value == pytest.approx(left.detail["clean"] - drop.value)
        assert left.value == pytest.approx(part["left"][0])
        assert [*left.interval] == pytest.approx([part["left_low"][0], part["left_high"][0]], abs=0.004)
        assert (drop.better, left.better, left.verdict) == ("lower", "higher", drop.verdict)
        assert left.share == (name == "accuracy")


def test_the_clean_quality_has_digits_of_its_own():
    """A wrong unit costs an R2 thousands, whose interval says nothing of the digits of the R2 itself."""
    model = pl.wrap(lambda x: 3 * x[:, :1], output="value")
    (found,) = pl.measure(model, pl.CorruptionRobustness("unit"), test=(X[:100], 3 * X[:100, 0] + 0.3 * X[:100, 1]))
    assert found.value > 100
    assert f"Of its R2 of {found.detail['clean']:.3f}"[:-1] in found.detail["explanation"]


@pytest.mark.parametrize("size", [1e30, 1e36])
def test_large_numbers_are_no_fault_of_the_inputs(size):
    model = pl.wrap(lambda x: x[:, :1] / size, output="value")
    large = (X[:100] * size).astype(np.float32)
    (found,) = pl.measure(model, pl.CorruptionRobustness("all"), train=(large, X[:100, 0]), test=(large, X[:100, 0]))
    assert "noise" in found.detail["corruptions"]
    assert ("larger than float32 holds" in found.detail["skipped"].get("unit", "")) == (size > 1e35)


def test_a_regression_that_ignores_its_input_leaves_room_too():
    model = pl.wrap(lambda x: np.zeros((len(x), 1)), output="value")
    (found,) = pl.measure(model, pl.CorruptionRobustness("noise"), test=(X[:1000], X[:1000, 0]))
    assert found.verdict in ("robust", "undecided")
    assert found.interval.high > 0 > found.interval.low
