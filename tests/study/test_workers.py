"""Processes train what this one would: the same numbers, whatever dies."""

import os
import signal
import threading

import keras
import numpy as np
import pytest

import pellucid as pl
from pellucid.errors import InvalidInput, WorkerDied
from pellucid.study import workers


def hidden():
    """A builder with a layer for dropout to act on; it is no closure, but one of a module that workers cannot import."""
    layers = [keras.Input((3,)), keras.layers.Dense(8, activation="relu"), keras.layers.Dense(1, activation="sigmoid")]
    net = keras.Sequential(layers)
    net.compile("adam", "binary_crossentropy", jit_compile=keras.backend.backend() == "jax")
    return net


@pytest.mark.slow
def test_processes_give_the_same_numbers(quick, recipes):
    """The builder and its recipes are sent; the layers are small enough for threads to change nothing."""
    recipes = {**recipes, "noise": pl.Recipe(pl.Dropout(0.3))}
    asked = {"build": lambda: hidden(), "recipes": recipes, "measures": [pl.CalibrationError(), pl.Deletion()]}
    alone, together = quick(**asked, workers=1), quick(**asked, workers=2)
    for part in alone.scores:
        np.testing.assert_array_equal(alone.scores[part], together.scores[part])
    assert alone.rows == together.rows
    assert together.cost["seconds"].shape == (3, 2)


@pytest.mark.slow
def test_a_process_that_dies_is_named_and_loses_nothing(quick, recipes, tmp_path):
    seen = tmp_path / "seen"

    def build():
        net = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, activation="sigmoid")])
        net.compile("sgd", "binary_crossentropy", jit_compile=keras.backend.backend() == "jax")
        return net

    class Deadly(pl.L2):
        def rebuild(self, model):
            if not seen.exists():
                os.kill(os.getpid(), signal.SIGKILL)
            return model

    deadly = {"plain": pl.Recipe(), "deadly": pl.Recipe(Deadly(0.1))}
    asked = {"build": build, "recipes": deadly, "workers": 2, "seeds": [4]}
    with pytest.raises(
        WorkerDied, match=r"recipe 'deadly' with seed 4 died.*1 of 2 trainings were finished and are kept"
    ) as told:
        quick(**asked, folder=tmp_path / "runs")
    assert str(tmp_path / "runs") in str(told.value)
    with pytest.raises(WorkerDied, match=r"the same call with folder='.*pellucid-compare-"):
        quick(**asked)
    seen.write_text("now it lives")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").glob("*/record.json")}
    assert len(before) == 1
    found = quick(**{**asked, "workers": 1}, folder=tmp_path / "runs")
    assert 0 <= found.row("deadly", "accuracy").value <= 1
    assert {path: path.stat().st_mtime_ns for path in before} == before


@pytest.mark.slow
def test_an_error_in_a_process_is_told_as_here(quick):
    from pellucid.errors import PellucidError

    with pytest.raises(PellucidError, match="recipe 'odd', seed 0"):
        quick(recipes={"plain": pl.Recipe(), "odd": pl.Recipe(pl.AttentionEntropy(0.1))}, workers=2)


def test_what_cannot_be_sent_says_so(quick, build):
    held = threading.Lock()
    with pytest.raises(InvalidInput, match=r"cannot be sent to other processes.*workers=1"):
        quick(build=lambda: (held, build())[1], workers=2)


@pytest.fixture
def machine(monkeypatch):
    """A machine of 8 cores and 16 GB, on which this process has needed 1 GB."""
    import joblib

    def of(cores=8, free=16 * 2**30, needed=2**30, gpu=False):
        monkeypatch.setattr(joblib, "cpu_count", lambda: cores)
        for name, value in (("free_memory", free), ("needed_memory", needed), ("_has_gpu", gpu)):
            monkeypatch.setattr(workers, name, lambda value=value: value)

    return of


def test_as_many_processes_as_cores_memory_and_time_allow(machine):
    machine()
    assert workers.worth(100, 10.0, 1.0) == 8
    assert workers.worth(5, 100.0, 1.0) == 5, "not more than there are trainings"
    assert workers.worth(10, 0.5, 1.0) == 1, "four seconds are not worth a start"
    assert workers.worth(100, 10.0, 8.0) == 1, "the cores are busy as it is"
    machine(free=3 * 2**30)
    assert workers.worth(100, 10.0, 1.0) == 2
    machine(free=2**29)
    assert workers.worth(100, 10.0, 1.0) == 1
    machine(gpu=True)
    assert workers.worth(100, 10.0, 1.0) == 1


def test_memory_is_that_of_this_machine():
    assert 50 * 2**20 < workers.needed_memory() < 2**36
    assert 2**20 < workers.free_memory() < 2**43


def test_the_first_training_tells_whether_processes_pay(quick, monkeypatch):
    asked = []
    monkeypatch.setattr(
        workers, "worth", lambda count, seconds, busy: asked.append((count, seconds > 0, busy > 0)) or 1
    )
    quick(workers=None)
    assert asked == [(3, True, True)]
