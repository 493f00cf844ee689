"""`pellucid data`: what there is and how a file will be read."""

import json

import numpy as np


def test_the_built_in_sets(pellucid_command):
    found = json.loads(pellucid_command("data", "--json").out)
    assert [item["name"] for item in found] == ["breast-cancer", "digits"]
    assert "breast-cancer" in pellucid_command("data").out


def test_columns_of_a_file(pellucid_command, table):
    found = {c["column"]: c for c in json.loads(pellucid_command("data", table, "--json").out)}
    assert [found[name]["type"] for name in ("dose", "noise", "ward")] == ["numeric", "numeric", "categorical"]
    assert found["ward"]["missing"] == 1
    assert found["dose"]["rows"] == 120
    shown = pellucid_command("data", table)
    assert shown.code == 0
    assert "120 rows" in shown.out


def test_a_file_as_a_model_gets_it(pellucid_command, table):
    found = json.loads(pellucid_command("data", table, "--target", "outcome", "--json").out)
    assert (found["training_rows"], found["test_rows"], found["task"]) == (90, 30, "classification")
    assert set(found["classes"]) == {"no", "yes"}
    assert sum(sum(counts) for counts in found["classes"].values()) == 120


def test_arrays(pellucid_command, tmp_path):
    np.savez(tmp_path / "images.npz", x=np.zeros((20, 8, 8, 1), "uint8"), y=np.arange(20) % 2)
    told = pellucid_command("data", "images.npz")
    assert "image, classification" in told.out


def test_bad_files_are_bad_input(pellucid_command, tmp_path):
    (tmp_path / "ragged.csv").write_text("a,b\n1,2\n3\n")
    told = pellucid_command("data", "ragged.csv")
    assert told.code == 2
    assert "row 3" in told.err
    assert pellucid_command("data", "breast-cancr").err.count("breast-cancer") == 1
