"""Records come back from plain files as they were, and damage nothing."""

import json
import os
from dataclasses import dataclass, replace

import numpy as np
import pytest

import pellucid as pl
from pellucid.core.measurement import Measurement
from pellucid.core.record import Record, writing
from pellucid.core.resampling import Interval
from pellucid.errors import InvalidRecord, UnwritableOutput


@dataclass(frozen=True, eq=False)
class Everything(Record):
    number: float
    words: tuple
    arrays: dict
    method: object
    nothing: object = None


def everything():
    arrays = {"floats": np.arange(6.0).reshape(2, 3), "text": np.array(["ä", "b"]), "whole": np.array([1, 2], np.int16)}
    return Everything(float("nan"), ("a", (1, 2.5), [True, None]), arrays, pl.IntegratedGradients(baseline=np.ones(3)))


def test_round_trip_of_every_kind_of_content(tmp_path):
    record = everything()
    again = pl.load(record.save(tmp_path / "r"))
    assert again == record
    assert np.isnan(again.number)
    assert again.arrays["whole"].dtype == np.int16
    assert again.method == pl.IntegratedGradients(baseline=np.ones(3))
    assert again.method != pl.IntegratedGradients(baseline=np.zeros(3))
    assert Everything.load(tmp_path / "r") == record


def test_a_measurement_with_its_interval(tmp_path):
    m = Measurement("gap.accuracy", 0.03, Interval(0.01, 0.05, kind="newcombe"), "overfits", {"curve": np.ones(3)})
    assert pl.load(m.save(tmp_path / "m")) == m
    assert str(m) == "gap.accuracy = 0.03 [0.01, 0.05] (overfits)"


def test_arrays_are_read_only_and_fields_frozen():
    record = everything()
    with pytest.raises(ValueError, match="read-only"):
        record.arrays["floats"][0, 0] = 9
    with pytest.raises(AttributeError):
        record.number = 1


def test_files_are_plain(tmp_path):
    everything().save(tmp_path / "r")
    assert sorted(os.listdir(tmp_path / "r")) == ["arrays.npz", "record.json"]
    assert json.loads((tmp_path / "r" / "record.json").read_text())["$type"] == "Everything"
    assert all(a.dtype != object for a in np.load(tmp_path / "r" / "arrays.npz", allow_pickle=False).values())


@pytest.mark.parametrize("damage", ["missing", "truncated", "other type", "lost array", "unknown"])
def test_a_damaged_record_is_refused(tmp_path, damage):
    folder = everything().save(tmp_path / "r")
    file = folder / "record.json"
    if damage == "missing":
        file.unlink()
    elif damage == "truncated":
        file.write_text(file.read_text()[:50])
    elif damage == "lost array":
        (folder / "arrays.npz").unlink()
    elif damage == "unknown":
        file.write_text(file.read_text().replace("Everything", "Nothing"))
    with pytest.raises(InvalidRecord):
        (Measurement.load if damage == "other type" else pl.load)(folder)


def test_an_interrupted_write_leaves_what_was_there(tmp_path):
    folder = everything().save(tmp_path / "r")
    before = (folder / "record.json").read_text()
    with pytest.raises(KeyboardInterrupt), writing(folder) as draft:
        (draft / "record.json").write_text("half")
        raise KeyboardInterrupt
    assert (folder / "record.json").read_text() == before
    assert os.listdir(tmp_path) == ["r"]


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UnwritableOutput, match="cannot write"):
        everything().save(tmp_path / "file" / "r")


def test_methods_are_equal_by_content():
    assert pl.SmoothGrad() == pl.SmoothGrad(pl.Gradient())
    assert pl.SmoothGrad() != pl.SmoothGrad(pl.GradientInput())
    assert len({pl.Occlusion(window=2), pl.Occlusion(window=2), pl.Occlusion(window=3)}) == 2
    assert replace(pl.Occlusion(), window=2) == pl.Occlusion(window=2)


def test_records_with_gaps_equal_themselves():
    one, two = (Measurement("m", None, detail={"curve": np.array([1.0, np.nan, 3.0])}) for _ in range(2))
    assert one == two
    assert one != Measurement("m", None, detail={"curve": np.array([1.0, np.nan, 4.0])})
    assert one != Measurement("m", None, detail={"curve": np.array([1.0, 2.0, 3.0])})
