"""From what was typed to data and a model."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pellucid.cli.sources import Asked, column, pair
from pellucid.errors import InvalidOption


def test_columns_by_name_and_by_position():
    assert [column(typed) for typed in (None, "outcome", "-1", "3", "3rd")] == [None, "outcome", -1, 3, "3rd"]


def test_types_of_columns():
    assert pair("ZIP=categorical") == ("ZIP", "categorical")
    assert pair("a=b=numeric") == ("a=b", "numeric")
    with pytest.raises(InvalidOption, match="COLUMN=TYPE"):
        pair("ZIP")


def test_rows_of_two_files_are_never_taken_for_the_same(table, tmp_path):
    later = tmp_path / "later.csv"
    later.write_text(Path(table).read_text())
    train, test = Asked(table, "outcome", test=later).load()
    assert not set(train.ids) & set(test.ids)
    np.savez(
        tmp_path / "parts.npz",
        x_train=np.ones((4, 2)),
        y_train=[0, 1, 0, 1],
        x_test=np.ones((4, 2)),
        y_test=[0, 1, 0, 1],
    )
    train, test = Asked(str(tmp_path / "parts.npz")).load()
    assert not set(train.ids) & set(test.ids)


def test_a_saved_answer_is_read_back_by_a_process_that_knows_nothing_yet(pellucid_command, table, tmp_path):
    assert pellucid_command("audit", table, "--target", "outcome", "--out", "report", "--quiet").code == 0
    code = "import pellucid as pl; found = pl.load('report'); print(type(found).__name__, found.findings[0].code[:3])"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.strip() == "Audit PL-", done.stderr
