"""A comparison that was killed goes on where it stopped, and one that differs is refused."""

import functools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest

import pellucid as pl
from pellucid.core.contents import contents
from pellucid.errors import InvalidOption
from pellucid.study.shelf import of_build, of_value

CODE = """
import sys, time, keras, numpy as np, pellucid as pl
from pellucid.study import trial as place

def build():
    net = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, activation="sigmoid")])
    net.compile(keras.optimizers.SGD(0.05), "binary_crossentropy", jit_compile=keras.backend.backend() == "jax")
    return net

draw = np.random.default_rng(0)
x = draw.normal(size=(120, 3)).astype("float32")
y = (x[:, 0] > 0).astype(int)
recipes = {"plain": pl.Recipe(), "small / 0.5": pl.Recipe(pl.L2(0.5))}

def run(folder):
    return pl.compare(build, recipes, train=(x[:60], y[:60]), test=(x[60:], y[60:]), seeds=3, fit={"epochs": 2},
                      measures=(), workers=1, folder=folder, progress=False)
"""


@pytest.fixture(scope="module")
def program():
    """The functions of the program that is killed, here."""
    names = {"__name__": "program"}
    exec(CODE, names)  # the text is above
    return names


@pytest.mark.slow
def test_a_killed_comparison_goes_on(program, tmp_path):
    folder = tmp_path / "runs"
    slow = (
        CODE
        + f"\nreal = place.improve\nplace.improve = lambda *a, **k: (time.sleep(1), real(*a, **k))[1]\nrun({str(folder)!r})\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", slow], env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    )
    deadline = time.monotonic() + 240
    while len(list(folder.glob("*/record.json"))) < 2 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    before = {path: path.stat().st_mtime_ns for path in folder.glob("*/record.json")}
    assert 2 <= len(before) < 6, "it was killed in the middle"
    resumed, whole = program["run"](folder), program["run"](tmp_path / "other")
    assert {path: path.stat().st_mtime_ns for path in before} == before, "what was there was not trained again"
    assert len(list(folder.glob("*/record.json"))) == 6
    for part in ("train", "test"):
        np.testing.assert_array_equal(resumed.scores[part], whole.scores[part])
    assert [(r.recipe, r.metric, r.p, r.verdict) for r in resumed.rows] == [
        (r.recipe, r.metric, r.p, r.verdict) for r in whole.rows
    ]
    again = program["run"](folder)
    assert again.rows == resumed.rows
    np.testing.assert_array_equal(
        again.cost["seconds"], resumed.cost["seconds"], "times are those of the training kept"
    )


@pytest.fixture(scope="module")
def kept(quick, tmp_path_factory):
    folder = tmp_path_factory.mktemp("kept")
    quick(folder=folder, seeds=1)
    return folder


def test_another_question_under_the_same_names_is_refused(quick, kept, recipes, data):
    x, y = data["train"]
    flipped = (x, np.where(np.arange(60) == 3, 1 - y, y))
    for other, told in (
        ({"recipes": {**recipes, "small": pl.Recipe(pl.L2(0.4))}}, "'small', seed 0, that was made with another recipe"),
        ({"train": flipped}, "other train data"), ({"fit": {"epochs": 3}}, "another fit"),
        ({"measures": [pl.CalibrationError()]}, "other measures"), ({"test": None}, "other test data"),
    ):  # fmt: skip
        with pytest.raises(InvalidOption, match=told):
            quick(folder=kept, seeds=1, **other)


def test_defaults_that_are_spelt_out_are_the_same_fit(quick, kept):
    before = {path: path.stat().st_mtime_ns for path in Path(kept).glob("*/record.json")}
    quick(folder=kept, seeds=1, fit={"batch_size": 32, "epochs": 2, "shuffle": True})
    assert {path: path.stat().st_mtime_ns for path in before} == before
    with pytest.raises(InvalidOption, match="another fit"):
        quick(folder=kept, seeds=1, fit={"epochs": 2, "batch_size": 16})


def test_another_builder_is_refused(quick, kept):
    def build():
        net = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, activation="sigmoid")])
        net.compile(keras.optimizers.SGD(0.06), "binary_crossentropy")  # another rate alone
        return net

    with pytest.raises(InvalidOption, match="another build, and the two are not mixed; give another folder"):
        quick(folder=kept, seeds=1, build=build)


def test_more_seeds_and_recipes_go_on_from_what_is_there(quick, kept, recipes):
    before = {path: path.stat().st_mtime_ns for path in Path(kept).glob("*/record.json")}
    found = quick(folder=kept, recipes={**recipes, "smaller": pl.Recipe(pl.L2(0.1))}, seeds=[0])
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert list(found.recipes) == ["small", "plain", "smaller"]


def test_a_damaged_record_is_made_again(quick, kept):
    place = next(Path(kept).glob("plain-*-seed-0")) / "record.json"
    text = place.read_text()
    place.write_text(text[:40])
    quick(folder=kept, seeds=1)
    assert len(place.read_text()) > 200


def test_fingerprints_change_with_what_matters(build, data):
    train = pl.Dataset(*data["train"])
    assert of_build(build, train) == of_build(build, train)
    marks = np.zeros((3, 2))
    assert of_value(marks) == of_value(marks.copy())
    others = [marks + 1, marks.T, marks.astype("float32"), [0.0] * 6]
    assert len({of_value(v) for v in [marks, *others]}) == 5
    assert of_value(pl.Recipe(pl.L2(0.1))) != of_value(pl.Recipe(pl.L2(0.2)))
    assert of_value(pl.Recipe(pl.L2(1))) == of_value(pl.Recipe(pl.L2(1.0)))


def compiled(**settings):
    def build():
        net = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, activation="sigmoid")])
        net.compile(**{"optimizer": "sgd", "loss": "mse", **settings})
        return net

    return build


def scaled(factor):
    def loss(y, p):
        return keras.ops.mean(factor * (y - p) ** 2)

    return loss


class Scaled(keras.losses.Loss):
    """A loss that says nothing of its factor."""

    def __init__(self, factor):
        super().__init__(name="scaled")
        self.factor = factor

    def call(self, y, p):
        return self.factor * keras.ops.mean((y - p) ** 2, axis=-1)


class Falling(keras.optimizers.schedules.LearningRateSchedule):
    def __init__(self, rate):
        self._rate = rate

    def __call__(self, step):
        return self._rate


def settings(factor):
    weights = np.full(3000, 1.0)
    weights[1500] = factor  # in the middle, which no text of the array shows
    return [
        {"loss": scaled(factor)}, {"loss": scaled(weights)}, {"loss": Scaled(factor)}, {"metrics": [scaled(factor)]},
        {"loss": functools.partial(lambda y, p, by: keras.ops.mean(by * (y - p) ** 2), by=factor)},
        {"loss": keras.losses.MeanSquaredError(), "metrics": [keras.metrics.MeanMetricWrapper(scaled(factor), "m")]},
        {"optimizer": keras.optimizers.SGD(Falling(factor))}, {"optimizer": keras.optimizers.Adam(factor)},
    ]  # fmt: skip


@pytest.mark.parametrize("which", range(8))
def test_what_is_compiled_is_known_by_what_it_does(data, which):
    train = pl.Dataset(*data["train"])
    one, again, other = (of_build(compiled(**settings(factor)[which]), train) for factor in (1.0, 1.0, 50.0))
    assert one == again
    assert one != other


def test_another_process_knows_the_same():
    code = """
import keras, pellucid as pl
from pellucid.study.shelf import of_build, of_value

def loss(y, p, kinds=frozenset({"a", "b", "c"})):
    return keras.ops.mean((y - p) ** 2) if "a" in {"a", "b", "c", "d"} else 0

def build():
    net = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, activation="sigmoid")])
    net.compile(keras.optimizers.Adam(0.1), loss, metrics=[keras.metrics.MeanMetricWrapper(loss)])
    return net

print(of_build(build, None), of_value(pl.Distill(build, 2)), of_value({"b", "a", "c"}))
"""
    told = {
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", code], check=True, text=True, stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": str(seed)},
        ).stdout
        for seed in (1, 2)
    }  # fmt: skip
    assert len(told) == 1, told


@pytest.mark.parametrize("layer", [keras.layers.Lambda, lambda f: keras.layers.Dense(1, activation=f)])
def test_layers_are_known_by_their_functions(data, layer):
    def build(factor):
        weights = np.full(3000, 1.0, "float32")
        weights[1500] = factor

        def made():
            net = keras.Sequential(
                [keras.Input((3,)), layer(lambda x: x * float(weights[1500])), keras.layers.Dense(1)]
            )
            net.compile("sgd", "mse")
            return net

        return made

    train = pl.Dataset(*data["train"])
    one, again, other = (of_build(build(factor), train) for factor in (1.0, 1.0, 2.0))
    assert one == again
    assert one != other


def test_a_function_is_known_by_what_it_reads():
    def made(text):
        names = {"__name__": "made"}
        exec(f"K = {text}\ndef half(a): return a / 2\ndef loss(y, p): return K * half(y - p)", names)
        return names["loss"]

    assert contents(made("1")) == contents(made("1"))
    assert contents(made("1")) != contents(made("2"))
    assert contents(lambda y: y in {"a", "b"}) == contents(lambda y: y in {"b", "a"})


def test_a_comparison_with_another_loss_of_the_same_name_is_refused(quick, tmp_path):
    quick(folder=tmp_path, seeds=1, build=compiled(loss=scaled(1.0)))
    with pytest.raises(InvalidOption, match="another build"):
        quick(folder=tmp_path, seeds=1, build=compiled(loss=scaled(50.0)))


def test_teachers_are_known_by_their_contents():
    def teacher(seed, activation="softmax"):
        kernel = keras.initializers.GlorotUniform(seed)
        return keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, activation, kernel_initializer=kernel)])

    one, other = teacher(0), teacher(0)
    other.layers[0].kernel.assign(other.layers[0].kernel + 1)
    for change in (lambda m: m, lambda m: pl.wrap(m, "probabilities")):
        of = [pl.Distill(change(m)) for m in (one, teacher(0), other, teacher(0, "sigmoid"))]
        assert of[0] == of[1], "layers are numbered anew"
        assert hash(of[0]) == hash(of[1])
        assert not {of[2], of[3]} & {of[0]}
        assert len({of_value(pl.Recipe(distill)) for distill in of}) == 3
    before = hash(pl.Distill(one))
    one.predict(np.zeros((2, 3)), verbose=0)
    assert hash(pl.Distill(one)) == before, "to be asked is no change"
    bare, close = ({"teacher": pl.wrap(scaled(k), "probabilities")} for k in (1.0, 2.0))
    assert pl.Distill(**bare) == pl.Distill(**bare) != pl.Distill(**close)
