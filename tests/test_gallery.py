"""The gallery shows every method, or its reason, and needs no data of others and no network."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pellucid.core.registry import entries

SCRIPT = Path(__file__).parents[1] / "docs" / "gallery.py"


def built(folder, *subjects):
    environment = {**os.environ, "PELLUCID_DATA": str(folder / "nothing")}
    asked = [sys.executable, SCRIPT, "--out", folder, "--only", *subjects]
    done = subprocess.run(asked, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout, (folder / "index.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_every_method_has_a_picture_or_a_reason(tmp_path):
    page = built(tmp_path, "breast-cancer")[1]
    shown = set(re.findall(r"<h4>(\w+)", page)) | set(re.findall(r"\w+", " ".join(re.findall(r"<dt>(.*?)</dt>", page))))
    assert {entry.name for entry in entries("explain")} <= shown
    assert page.count("<svg") == page.count('role="img"') > 10
    assert not re.search(r"(src|href)=\"(?!#|data:)", page)


def test_a_subject_without_data_is_left_out_and_named(tmp_path):
    told, page = built(tmp_path, "xray", "ecg")
    for name in ("pneumoniamnist/pneumoniamnist.npz", "ecg5000_train/ECG5000_TRAIN.txt.gz"):
        assert f"no {name}" in told
        assert f"no {name}" in page
    assert "<h2" not in page
