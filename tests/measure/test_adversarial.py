import importlib.util
import json
import os
import subprocess
import sys

import numpy as np
import pytest

import pellucid as pl
from pellucid.errors import InvalidOption

G = np.random.default_rng(0)
X = G.normal(size=(600, 8)).astype("float32")
W = G.normal(size=8)
Y = ((X @ W + 0.5 * G.normal(size=600)) > 0).astype(int)
WIDE = (-100, 100)
DUAL = {"inf": 1, "2": 2}


def linear(weights=W):
    from keras import ops

    column = np.asarray(weights, "float32")[:, None]
    return pl.wrap(lambda x: ops.matmul(x, ops.convert_to_tensor(column)), output="logits")


def digits(count=1000):
    from sklearn.datasets import load_digits

    data = load_digits()
    return (data.images[:count, :, :, None] / 16).astype("float32"), data.target[:count]


@pytest.fixture(scope="module")
def cnn():
    """A small CNN that knows the digits."""
    import keras

    keras.utils.set_random_seed(0)
    x, y = digits()
    net = keras.Sequential([
        keras.Input((8, 8, 1)), keras.layers.Conv2D(8, 3, activation="relu"), keras.layers.Conv2D(8, 3, activation="relu"),
        keras.layers.Flatten(), keras.layers.Dense(10),
    ])  # fmt: skip
    net.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    net.fit(x, y, epochs=12, batch_size=32, verbose=0)
    return pl.wrap(net)


@pytest.mark.parametrize("norm", ["inf", "2"])
def test_accuracy_under_attack_of_a_linear_model_is_the_closed_form(norm):
    """A row stands while its margin is above epsilon times the dual norm of the weights, in units of each column."""
    attacked = pl.AdversarialRobustness([0.05, 0.1, 0.2], norm, steps=20, rows=None, limits=WIDE)
    (found,) = pl.measure(linear(), attacked, test=(X, Y))
    margin = np.where(Y == 1, 1, -1) * (X.astype(float) @ W)
    reach = np.linalg.norm(W * X.std(0, dtype=float), DUAL[norm])
    truth = [(margin > epsilon * reach).mean() for epsilon in (0, 0.05, 0.1, 0.2)]
    np.testing.assert_allclose(found.detail["accuracy"], truth, atol=1e-9)
    assert found.value == found.detail["accuracy"][-1]
    far = found.detail["distance"]
    fell = np.isfinite(far) & (far > 0)
    np.testing.assert_allclose(far[fell], (margin / reach)[fell], rtol=1e-3, atol=1e-4)
    assert found.verdict == "not robust"
    best = found.detail["examples"]
    np.testing.assert_allclose(best["distance"], np.sort((margin / reach)[fell])[:5], rtol=1e-3, atol=1e-4)
    assert (best["answer"] != best["label"]).all()


def test_no_distance_is_the_clean_accuracy_and_other_rows_have_their_interval():
    (found, clean) = pl.measure(
        linear(), [pl.AdversarialRobustness(0, rows=None), pl.Performance("accuracy")], test=(X, Y)
    )
    assert found.value == clean.value == found.detail["clean"]
    assert (found.interval.low, found.interval.high) == (clean.interval.low, clean.interval.high)
    assert found.verdict == "withstands these attacks"


def test_apgd_is_at_least_as_strong_as_pgd_and_more_is_never_weaker(cnn):
    x, y = digits(300)
    epsilons = [0.05, 0.1, 0.2]
    (found,) = pl.measure(cnn, pl.AdversarialRobustness(epsilons, steps=20, restarts=1, rows=None), test=(x, y))
    each = {name: part["accuracy"] for name, part in found.detail["attacks"].items()}
    best = np.minimum(each["apgd-ce"], each["apgd-dlr"])
    assert (best <= each["pgd"] + 0.01).all()
    assert (each["pgd"] <= each["fgsm"] + 1e-9).all()
    assert (each["fgsm"] < each["noise"] + 1e-9).all()
    assert (found.detail["accuracy"] <= np.min(list(each.values()), axis=0) + 1e-9).all()
    for curve in (*each.values(), found.detail["accuracy"]):
        assert (np.diff(curve) <= 0).all()
    assert not found.detail["masking"]["masked"], found.detail["masking"]


@pytest.mark.parametrize("norm", ["2", "0"])
def test_other_norms_of_a_cnn(cnn, norm):
    x, y = digits(200)
    (found,) = pl.measure(cnn, pl.AdversarialRobustness([1, 3], norm, steps=15, restarts=1), test=(x, y))
    assert found.value < found.detail["clean"]
    far, rows = found.detail["distance"], found.detail["rows"]
    assert far[np.isfinite(far)].max() <= 3 + 1e-6
    shown = found.detail["examples"]
    moved = (shown["to"] - x[shown["row"]]).reshape(len(shown["row"]), -1)
    np.testing.assert_allclose(
        shown["distance"], (moved != 0).sum(1) if norm == "0" else np.linalg.norm(moved, axis=1), rtol=1e-4
    )
    assert len(far) == len(rows) == 200


def test_gradients_that_are_cut_off_are_told():
    """A staircase has no slope: what gradients find there is nothing, and the verdict says so."""
    from keras import ops

    column = W.astype("float32")[:, None]
    stairs = pl.wrap(lambda x: ops.matmul(ops.round(4 * x) / 4 + 0 * x, ops.convert_to_tensor(column)), output="logits")
    (found,) = pl.measure(stairs, pl.AdversarialRobustness(0.3, steps=10, limits=WIDE), test=(X, Y))
    assert found.verdict == "gradients are masked"
    assert found.detail["masking"]["flat"] == 1
    assert found.detail["masking"]["blind"] > 0.1
    assert "proves nothing" in found.detail["explanation"]


def test_gradients_that_point_the_wrong_way_are_told():
    """The scores of a linear model, with the slopes of its opposite."""
    from keras import ops

    column = W.astype("float32")[:, None]

    def twisted(x):
        scores = ops.matmul(x, ops.convert_to_tensor(column))
        return ops.stop_gradient(2 * scores) - scores

    (found,) = pl.measure(pl.wrap(twisted, output="logits"), pl.AdversarialRobustness(0.2, steps=10), test=(X, Y))
    assert found.verdict == "gradients are masked"
    assert found.detail["masking"]["flat"] == 0
    assert found.detail["attacks"]["pgd"]["success"] < 0.05 < found.detail["attacks"]["square"]["success"]


@pytest.mark.slow
def test_honest_gradients_are_seldom_called_masked():
    """Random networks of 200 data sets, none of which hides anything."""
    import keras

    masked = 0
    net = keras.Sequential([keras.Input((6,)), keras.layers.Dense(12, "relu"), keras.layers.Dense(3)])
    model = pl.wrap(net)
    for seed in range(200):
        g = np.random.default_rng(seed)
        for v in net.weights:
            v.assign(g.normal(size=v.shape))
        x = g.normal(size=(150, 6)).astype("float32")
        y = net.predict_on_batch(x).argmax(1)
        attacked = pl.AdversarialRobustness([0.05, 0.2], steps=10, restarts=1)
        (found,) = pl.measure(model, attacked, test=(x, y), seed=seed)
        masked += found.detail["masking"]["masked"]
    assert masked <= 4, masked


def test_the_interval_of_the_value_is_wilsons():
    (found,) = pl.measure(linear(), pl.AdversarialRobustness(0.1, steps=5, rows=200), test=(X, Y))
    z, n, p = 1.959963984540054, 200, found.value
    centre, half = (
        (p + z * z / (2 * n)) / (1 + z * z / n),
        z / (1 + z * z / n) * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n)),
    )
    assert tuple(found.interval) == pytest.approx((centre - half, centre + half))
    assert len(np.unique(found.detail["rows"])) == 200
    assert found.detail["lost"] == pytest.approx(found.detail["clean"] - found.value)
    assert found.detail["lost_interval"].low <= found.detail["lost"] <= found.detail["lost_interval"].high


def test_same_seed_same_result_and_a_record_is_kept(tmp_path):
    attacked = pl.AdversarialRobustness([0.1, 0.2], steps=5, frozen=[0])
    one, two = (pl.measure(linear(), attacked, test=(X, Y), seed=3)[0] for _ in range(2))
    assert one.detail["explanation"] == two.detail["explanation"]
    np.testing.assert_array_equal(one.detail["distance"], two.detail["distance"])
    one.save(tmp_path / "r")
    assert pl.load(tmp_path / "r") == one
    assert one.provenance.evaluations > 5000


def test_what_is_frozen_or_categorical_makes_the_model_no_weaker():
    """Without its two strongest columns a linear model has a smaller dual norm."""
    frozen = np.argsort(np.abs(W * X.std(0)))[-2:]
    left = np.setdiff1d(np.arange(8), frozen)
    attacked = pl.AdversarialRobustness(0.1, steps=10, rows=None, limits=WIDE, frozen=[int(i) for i in frozen])
    (found,) = pl.measure(linear(), attacked, test=(X, Y))
    margin = np.where(Y == 1, 1, -1) * (X.astype(float) @ W)
    assert found.value == pytest.approx((margin > 0.1 * np.abs(W * X.std(0, dtype=float))[left].sum()).mean())


@pytest.mark.parametrize(
    "options, words",
    [
        ({"epsilon": -1}, "epsilon"), ({"epsilon": []}, "epsilon"), ({"epsilon": "far"}, "epsilon"),
        ({"epsilon": np.nan}, "epsilon"), ({"epsilon": 0.5, "norm": "0"}, "whole numbers of changes"),
        ({"epsilon": 1, "norm": "1"}, "norm"), ({"epsilon": 1, "attacks": ["greedy"]}, "fgsm, pgd"),
        ({"epsilon": 1, "attacks": []}, "at least one"), ({"epsilon": 1, "steps": 0}, "steps"),
        ({"epsilon": 1, "restarts": 0}, "restarts"), ({"epsilon": 1, "rows": 0}, "rows"), ({"epsilon": 1, "level": 1}, "level"),
        ({"epsilon": 1, "tolerance": -1}, "tolerance"),
    ],
)  # fmt: skip
def test_bad_options(options, words):
    with pytest.raises(InvalidOption, match=words):
        pl.AdversarialRobustness(**options)


def test_where_it_makes_no_sense_it_says_so():
    import keras

    value = pl.wrap(lambda x: x[:, :1], output="value")
    assert pl.measure(value, pl.AdversarialRobustness(0.1), test=(X, X[:, 0]))[0].verdict == "not applicable"
    tokens = keras.Input((4,), dtype="int32")
    reader = keras.Model(tokens, keras.layers.Dense(2)(keras.layers.Flatten()(keras.layers.Embedding(5, 3)(tokens))))
    texts = pl.Dataset(G.integers(0, 5, (30, 4)), np.arange(30) % 2, kind="text")
    (found,) = pl.measure(reader, pl.AdversarialRobustness(0.1), test=texts)
    assert "token numbers" in found.detail["explanation"]
    plain = pl.wrap(lambda x: np.hstack([-(x @ W)[:, None], (x @ W)[:, None]]))
    (found,) = pl.measure(plain, pl.AdversarialRobustness(0.1), test=(X, Y))
    assert "ask for attacks without" in found.detail["explanation"]
    (found,) = pl.measure(plain, pl.AdversarialRobustness(0.1, attacks=["square", "noise"], steps=10), test=(X, Y))
    assert found.value < found.detail["clean"]
    with pytest.raises(pl.errors.InvalidInput, match="needs labels"):
        pl.measure(linear(), pl.AdversarialRobustness(0.1), test=pl.Dataset(X))


def test_a_model_that_is_always_wrong_and_one_row():
    (found,) = pl.measure(linear(-W), pl.AdversarialRobustness(0.1, steps=3), test=(X[:1], (X[:1] @ W > 0).astype(int)))
    assert (found.value, found.detail["clean"]) == (0, 0)
    assert found.verdict == "undecided"
    assert not len(found.detail["examples"]["row"])


def test_audits_leave_it_out():
    assert not any(isinstance(m, pl.AdversarialRobustness) for m in pl.default_measures())


SCRIPT = """
import json, keras, numpy as np, pellucid as pl
draw = np.random.default_rng(1)
net = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Conv2D(4, 3, activation="tanh"), keras.layers.Flatten(),
                        keras.layers.Dense(3)])
for v in net.weights:
    v.assign(draw.normal(size=v.shape) / np.sqrt(max(1, np.prod(v.shape[:-1]))))
x = draw.random((150, 8, 8, 1)).astype("float32")
y = net.predict_on_batch(x).argmax(1)
told = {}
for norm, epsilons in (("inf", [0.02, 0.05]), ("2", [0.2, 0.5]), ("0", [1, 3])):
    found, = pl.measure(net, pl.AdversarialRobustness(epsilons, norm, steps=15, restarts=1), test=(x, y))
    far = found.detail["distance"]
    told[norm] = [{n: p["accuracy"].tolist() for n, p in found.detail["attacks"].items()}, np.nan_to_num(far, posinf=9).tolist()]
print(json.dumps(told))
"""


@pytest.mark.slow
def test_backends_agree():
    """The same rows fall, but for one, at the same distances, but for rounding, whatever Keras runs on."""
    told = {}
    for backend in ("tensorflow", "jax", "torch"):
        if importlib.util.find_spec(backend) is None:
            continue
        environment = {**os.environ, "KERAS_BACKEND": backend}
        out = subprocess.run(
            [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, env=environment
        )
        told[backend] = json.loads(out.stdout.splitlines()[-1])
    first, *others = told.values()
    for other in others:
        for norm, (curves, far) in first.items():
            for name, curve in curves.items():
                np.testing.assert_allclose(other[norm][0][name], curve, atol=0.007, err_msg=f"{norm} {name}")
            near = np.isclose(other[norm][1], far, rtol=1e-3, atol=1e-6)
            assert near.mean() > 0.99, norm
