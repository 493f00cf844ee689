"""Runs the command line as a user would, within this process."""

from collections.abc import Callable
from typing import NamedTuple

import pytest

from pellucid.cli import main


class Ran(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def pellucid_command(capsys, monkeypatch, tmp_path) -> Callable[..., Ran]:
    """`pellucid_command("data", "digits")` gives exit code, output and error output; runs in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("PELLUCID_DEBUG", "")  # restored afterwards, whatever --debug sets

    def run(*arguments: str) -> Ran:
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main(list(map(str, arguments)))
        out, err = capsys.readouterr()
        return Ran(left.value.code or 0, out, err)

    return run


@pytest.fixture
def table(tmp_path) -> str:
    """A CSV file of 120 rows: two numbers, a text column with a gap, and an outcome that the first number decides."""
    import numpy as np

    generator = np.random.default_rng(0)
    dose, noise = generator.normal(size=(2, 120))
    lines = ["dose,noise,ward,outcome"]
    for i in range(120):
        ward = "" if i == 7 else "north" if noise[i] > 0 else "south"
        lines.append(f"{dose[i]:.4f},{noise[i]:.4f},{ward},{'yes' if dose[i] > 0 else 'no'}")
    path = tmp_path / "patients.csv"
    path.write_text("\n".join(lines) + "\n")
    return str(path)
