"""The command line as a whole: quick help, a version, one exit code for every ending."""

import os
import subprocess
import sys

import pytest

import pellucid
from pellucid.cli import environment
from pellucid.cli.guard import guarded

CONSOLE = "from pellucid.cli import main; main()"


def ran(*arguments, **options):
    return subprocess.run([sys.executable, "-c", CONSOLE, *arguments], capture_output=True, text=True, **options)


def test_help_names_the_commands_and_loads_nothing_heavy():
    found = ran("--help")
    assert found.returncode == 0
    assert all(command in found.stdout for command in ("audit", "explain", "methods", "data"))
    listing = "import sys, atexit; atexit.register(lambda: print(*sys.modules, file=sys.stderr))\n"
    code = [sys.executable, "-c", listing + CONSOLE, "--help"]
    loaded = set(subprocess.run(code, capture_output=True, text=True).stderr.split())
    assert "pellucid.cli.app" in loaded
    assert not loaded & {"keras", "tensorflow", "jax", "torch", "scipy", "sklearn", "matplotlib", "polars", "pydantic"}


@pytest.mark.parametrize("command", ["audit", "explain", "methods", "data"])
def test_help_of_every_command_shows_examples(command, pellucid_command):
    told = pellucid_command(command, "--help")
    assert told.code == 0
    assert told.out.count(f"pellucid {command}") >= 3
    assert "-h" in told.out


def test_version(pellucid_command):
    assert pellucid_command("--version").out.strip() == f"pellucid {pellucid.__version__}"


def test_a_wrong_option_is_bad_input(pellucid_command):
    assert pellucid_command("data", "--no-such-option").code == 2
    assert pellucid_command("no-such-command").code == 2


@pytest.mark.parametrize(
    "problem, code, told",
    [
        (pellucid.errors.InvalidInput("x: wrong; try this"), 2, "x: wrong\n  try this\n"),
        (KeyboardInterrupt(), 130, "stopped\n  what was not finished was not written\n"),
        (RuntimeError("a [bold]fault[/]"), 3, "internal error: RuntimeError: a [bold]fault[/]"),
    ],
)
def test_every_ending_has_its_exit_code(problem, code, told, capsys, monkeypatch):
    monkeypatch.delenv("PELLUCID_DEBUG", raising=False)

    @guarded
    def command():
        raise problem

    import typer

    with pytest.raises(typer.Exit) as left:
        command()
    out, err = capsys.readouterr()
    assert left.value.exit_code == code
    assert out == ""
    assert told in err
    assert "Traceback" not in err


def test_debug_shows_where_an_error_comes_from_wherever_it_stands(pellucid_command):
    plain = pellucid_command("data", "missing.csv")
    assert plain.code == 2
    assert "Traceback" not in plain.err
    shown = pellucid_command("data", "missing.csv", "--debug")
    assert shown.code == 2
    assert "Traceback" in shown.err
    assert "missing.csv: no such file" in shown.err


def test_a_closed_pipe_is_no_error():
    done = subprocess.run(
        f"{sys.executable} -c '{CONSOLE}' methods --bibtex | head -1", shell=True, capture_output=True, text=True
    )
    assert done.stdout.startswith("@misc")
    assert "Traceback" not in done.stderr
    assert "Error" not in done.stderr


def test_a_framework_is_imported_without_a_word():
    done = subprocess.run(
        [sys.executable, "-c", "from pellucid.cli import environment as e; e.prepare(); e.start(); print('there')"],
        capture_output=True, text=True, env={k: v for k, v in os.environ.items() if not k.startswith("TF_")},
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("there\n", "")


def test_what_a_failed_import_says_is_shown(monkeypatch, capfd):
    def broken(name):
        os.write(2, b"no such instruction\n")
        raise ImportError(name)

    monkeypatch.setattr(environment, "import_module", broken)
    with pytest.raises(ImportError, match="keras"):
        environment.start()
    os.write(2, b"and after it")
    assert capfd.readouterr().err == "no such instruction\nand after it"
