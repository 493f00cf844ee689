"""`pellucid audit`: a report, a gate, exit codes, and nothing half-written."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import pytest


@pytest.fixture
def model_file(tmp_path):
    """A small model of the patients' table as it is encoded: dose, noise, and three columns of wards."""
    keras.utils.set_random_seed(3)
    model = keras.Sequential(
        [keras.Input((5,)), keras.layers.Dense(4, activation="tanh"), keras.layers.Dense(1, "sigmoid")]
    )
    path = tmp_path / "model.keras"
    model.save(path)
    return path


def test_an_audit_ends_with_the_path_of_its_report(pellucid_command, table, model_file):
    ran = pellucid_command("audit", table, "--target", "outcome", "--model", model_file)
    assert ran.code == 0, ran.err
    page = Path(ran.out.strip().splitlines()[-1])
    assert page == Path("reports/patients/index.html")
    assert "patients" in page.read_text()
    assert "nothing" not in os.listdir()


def test_json_alone_on_the_standard_output_and_the_gate_in_it(pellucid_command, table, model_file, tmp_path):
    (tmp_path / "gate.yaml").write_text("performance.accuracy: {min: 1.01}\ngap.accuracy: {max: 1}\n")
    options = ("--target", "outcome", "--model", model_file, "--gate", "gate.yaml", "--json", "--out", "out")
    ran = pellucid_command("audit", table, *options)
    assert ran.code == 1
    told = json.loads(ran.out)
    assert [(limit["name"], limit["passed"]) for limit in told["gate"]] == [
        ("performance.accuracy", False),
        ("gap.accuracy", True),
    ]
    assert Path(told["report"]).exists()
    shown = pellucid_command("audit", table, *[o for o in options if o != "--json"], "--quiet")
    assert shown.code == 1
    assert "too low" in shown.out
    assert shown.out.strip().endswith("out/index.html")


@pytest.mark.parametrize(
    "more, told",
    [
        (("--target", "outcom"), "did you mean 'outcome'"),
        ((), "say which column to predict"),
        (("--target", "outcome", "--gate", "none.yaml"), "cannot be read"),
        (("--target", "outcome", "--out", "/dev/null/report"), "cannot write"),
        (("--target", "outcome", "--out", "patients.csv"), "it is a file"),
        (("--target", "outcome", "--model", "patients.csv"), "neither a .keras nor an HDF5 file"),
        (("--target", "outcome", "--test", "none.csv"), "no such file"),
    ],
)
def test_bad_input_is_told_and_nothing_is_written(pellucid_command, table, tmp_path, more, told):
    before = sorted(os.listdir(tmp_path))
    ran = pellucid_command("audit", table, *more)
    assert ran.code == 2
    assert told in ran.err
    assert ran.out == ""
    assert sorted(os.listdir(tmp_path)) == before


def test_a_limit_on_a_number_that_is_not_there(pellucid_command, table, model_file, tmp_path):
    (tmp_path / "gate.yaml").write_text("performance.acuracy: {min: 0.5}")
    ran = pellucid_command("audit", table, "--target", "outcome", "--model", model_file, "--gate", "gate.yaml")
    assert ran.code == 2
    assert "did you mean 'performance.accuracy'" in ran.err


@pytest.mark.slow
def test_without_a_model_one_is_trained_and_that_is_said(pellucid_command):
    ran = pellucid_command("audit", "breast-cancer")
    assert ran.code == 0, ran.err
    told = json.loads(Path("reports/breast-cancer/audit.json").read_text())
    assert any("a small one was trained" in note for note in told["notes"])


@pytest.mark.slow
def test_an_interrupted_audit_leaves_nothing_half_written(tmp_path):
    code = "from pellucid.cli import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "audit", "digits"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    time.sleep(12)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert out == ""
    assert "Traceback" not in err
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]


def test_groups_are_held_against_each_other_and_a_budget_is_kept(pellucid_command, table, model_file):
    asked = ["audit", table, "--target", "outcome", "--model", model_file, "--json", "--by", "ward", "--budget", "0"]
    ran = pellucid_command(*asked)
    assert ran.code == 0, ran.err
    told = json.loads(ran.out)
    made = {m["name"].split(".")[0]: m["verdict"] for m in told["measurements"]}
    assert "subgroups" in made
    assert made["curvature"] == "left out"
    left = {s["question"]: s["reason"] for s in told["skipped"]}
    assert "give a larger one" in left["Measuring Curvature"]
    assert pellucid_command("audit", table, "--target", "outcome", "--by", "clinic").code == 2
