"""Which framework Keras runs on, settled before Keras is imported."""

from __future__ import annotations

import logging
import os
import tempfile
from importlib import import_module
from importlib.util import find_spec

from pellucid.errors import BackendMismatch

FRAMEWORKS = ("tensorflow", "jax", "torch")


def prepare() -> str:
    """Settle the framework: the one that KERAS_BACKEND names, else the first installed; and keep it quiet.

    Raises:
        BackendMismatch: None is installed, or not the one that was asked for.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("MPLBACKEND", "Agg")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # counts a graph a model as a fault
    installed = [name for name in FRAMEWORKS if find_spec(name) is not None]
    if not installed:
        raise BackendMismatch(
            "Keras needs a framework and none is installed; pip install 'pellucid[tensorflow]' (or [jax], [torch])"
        )
    asked = os.environ.setdefault("KERAS_BACKEND", installed[0])
    if asked not in installed:
        raise BackendMismatch(
            f"KERAS_BACKEND asks for {asked!r}, which is not installed; there is {', '.join(installed)}: unset the "
            f"variable, or pip install 'pellucid[{asked if asked in FRAMEWORKS else installed[0]}]'"
        )
    return asked


def start() -> None:
    """Import Keras and its framework, quietly.

    TensorFlow writes lines to the standard error of the process while it is imported, whatever TF_CPP_MIN_LOG_LEVEL says.
    They are shown only where the import fails, when they may say why.
    """
    shown = os.dup(2)
    with tempfile.TemporaryFile() as told:
        os.dup2(told.fileno(), 2)
        try:
            import_module("keras")
        except BaseException:
            told.seek(0)
            os.write(shown, told.read())
            raise
        finally:
            os.dup2(shown, 2)
            os.close(shown)
