"""What every test shares: a quiet framework, small seeded models, and the way to real data."""

import os
import re
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("MPLBACKEND", "Agg")
# What JAX has compiled is kept from test to test and from run to run: half of the time of its tests.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parents[1] / ".pytest_cache" / "jax"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
if os.environ["KERAS_BACKEND"] == "jax":  # as JAX's own tests: a program runs once or twice, and compiles for longer
    cheap = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true --xla_cpu_use_fusion_emitters=false"
    os.environ.setdefault("XLA_FLAGS", cheap)
if "PYTEST_XDIST_WORKER" in os.environ:  # processes beside each other have a core each
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest


def pytest_report_header() -> str:
    return f"keras backend: {os.environ['KERAS_BACKEND']}"


FRAMEWORK = re.compile("keras|torch|random_mlp|random_cnn|backend|audit")
"""What the source of a test names in which a framework computes; all others compute the same on each of them."""


@cache
def _computes(module: Path) -> bool:
    return FRAMEWORK.search(module.read_text(encoding="utf-8")) is not None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where tests run on one backend after another, leave out what has been run: FIRST_BACKEND and CHECKED say so.

    On later backends these are tests in which no framework computes, and those of `make check`; on the first, where that went
    before, the latter.
    """
    first, checked = os.environ.get("FIRST_BACKEND"), {"test_architecture.py", "test_docs.py"}
    if not first:
        return
    if first == os.environ["KERAS_BACKEND"]:
        run = checked if os.environ.get("CHECKED") else set()
        left = [item for item in items if item.path.name in run and not item.get_closest_marker("slow")]
    else:
        left = [item for item in items if not _computes(item.path) or item.path.name in checked]
    if left:
        gone = set(left)
        items[:] = [item for item in items if item not in gone]
        config.hook.pytest_deselected(items=left)


def pytest_collection_finish() -> None:
    """Let TensorFlow tune no input pipeline: one that is thrown away can wait for the thread that tunes it, up to a minute."""
    if "tensorflow" not in sys.modules:
        return
    from tensorflow import data

    begin, untuned = data.Dataset.__iter__, data.Options()
    untuned.autotune.enabled = False
    data.Dataset.__iter__ = lambda pipeline: begin(pipeline.with_options(untuned))


@pytest.fixture(scope="session")
def real_data() -> Callable[[str], Path]:
    """Gives the path of a real data set, or skips the test where it is not there."""
    root = Path(os.environ.get("PELLUCID_DATA") or Path(__file__).parents[1] / "../shared/data")

    def find(name: str) -> Path:
        if not (root / name).exists():
            pytest.skip(f"no {name} in {root}; set PELLUCID_DATA to the folder that holds it")
        return (root / name).resolve()

    return find


@pytest.fixture
def generator() -> np.random.Generator:
    """A fresh generator, the same in every run."""
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def random_mlp():
    """A Keras classifier of 6 columns into 3 classes with random weights and a final softmax."""
    import keras

    keras.utils.set_random_seed(1)
    return keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(16, activation="relu", bias_initializer="random_normal"),
            keras.layers.Dense(3, activation="softmax", bias_initializer="random_normal"),
        ]
    )


@pytest.fixture(scope="session")
def random_cnn():
    """A Keras classifier of 8x8 one-channel images into 3 classes with random weights."""
    import keras

    keras.utils.set_random_seed(2)
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(4, 3, activation="relu", bias_initializer="random_normal"),
            keras.layers.Flatten(),
            keras.layers.Dense(3),
        ]
    )
