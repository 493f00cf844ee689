"""Trainings one after another, or in several processes at once within cores and memory; the numbers are the same."""

from __future__ import annotations

import os
import pickle
import signal
import time
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pellucid.core.record import Stopwatch
from pellucid.errors import InvalidInput, WorkerDied
from pellucid.study.trial import Plan, Trial, trial

Task = tuple[str, int]

STARTUP = 15.0
"""Seconds that processes must save to be worth their start: each loads the framework and compiles anew."""

ROOM = 0.8
"""The share of free memory that workers may take."""


def trials(plan: Plan, tasks: Sequence[Task], workers: int | None) -> Iterator[Trial]:
    """Every training as it is finished; None for as many processes as pay, which the first training tells.

    Raises:
        WorkerDied: A process died; the others were finished first.
    """
    if workers is None and len(tasks) > 1:
        clock, busy = Stopwatch(), time.process_time()
        yield trial(plan, *tasks[0])
        cores = (time.process_time() - busy) / max(clock.seconds, 1e-9)
        tasks = tasks[1:]
        workers = worth(len(tasks), clock.seconds, cores)
    if workers is None or workers < 2 or len(tasks) < 2:
        for task in tasks:
            yield trial(plan, *task)
    else:
        yield from _elsewhere(plan, tasks, min(workers, len(tasks)))


# -- how many ----------------------------------------------------------------------------------------------------------


def worth(count: int, seconds: float, busy: float) -> int:
    """How many processes pay for `count` trainings of so many seconds, each of which keeps `busy` cores at work here.

    A process is taken to need what this one has needed at most, after one training: the framework, the data, a model.
    """
    import joblib

    cores = joblib.cpu_count()
    fits = int(ROOM * free_memory() // max(needed_memory(), 1))
    most = 1 if _has_gpu() else min(cores, count, fits)
    gain = min(most, cores / max(busy, 1.0))
    return most if gain > 1 and seconds * count * (1 - 1 / gain) > STARTUP else 1


def needed_memory() -> int:
    """Bytes that this process has held at most."""
    try:
        import resource
    except ImportError:  # Windows
        return 2 * 2**30
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if os.uname().sysname == "Darwin" else most * 1024


def free_memory() -> int:
    """Bytes that can be had: of the machine, and of the container that this runs in."""
    limits = [left for left in (_free_here(), _free_in_container()) if left is not None]
    return min(limits, default=4 * 2**30)


def _free_here() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return None


def _free_in_container() -> int | None:
    try:
        most, used = (Path(f"/sys/fs/cgroup/memory.{name}").read_text().strip() for name in ("max", "current"))
        return int(most) - int(used)
    except (OSError, ValueError):  # no container, or one without a limit ("max")
        return None


def _has_gpu() -> bool:
    """Whether there is an accelerator, which one process fills."""
    import keras

    try:
        return bool(keras.distribution.list_devices("gpu"))
    except Exception:  # a backend that does not tell
        return False


# -- in processes of their own -----------------------------------------------------------------------------------------


def _elsewhere(plan: Plan, tasks: Sequence[Task], workers: int) -> Iterator[Trial]:
    """Trainings in so many processes, each a pool of its own: where one dies, its training is known and the others go on."""
    from concurrent.futures import FIRST_COMPLETED, wait
    from concurrent.futures.process import BrokenProcessPool

    waiting, lost = deque(tasks), dict[Task, BaseException]()
    sent = _packed(plan)
    pools = [_pool(sent, workers) for _ in range(workers)]
    running = {
        pool.submit(_run, *task): (pool, task) for pool, task in zip(pools, _taken(waiting, workers), strict=True)
    }
    try:
        while running:
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                pool, task = running.pop(future)
                try:
                    found = future.result()
                except BrokenProcessPool as problem:
                    lost[task] = problem
                    continue
                for following in _taken(waiting, 1):
                    running[pool.submit(_run, *following)] = pool, following
                yield found
    finally:
        for pool in pools:
            pool.shutdown(wait=True, kill_workers=True)
    if lost:
        raise _died(lost, len(waiting))


def _packed(plan: Plan) -> bytes:
    """A plan as it is sent, closures and all.

    Raises:
        InvalidInput: Something in it that belongs to this process alone, such as an open file.
    """
    from joblib.externals.loky.backend.reduction import dumps

    try:
        return bytes(dumps(plan))
    except Exception as problem:  # whatever the thing that cannot be sent raises
        raise InvalidInput(
            f"build or a recipe cannot be sent to other processes: {problem}; make it inside build, or give workers=1"
        ) from problem


def _taken(waiting: deque[Task], count: int) -> list[Task]:
    return [waiting.popleft() for _ in range(min(count, len(waiting)))]


def _died(lost: dict[Task, BaseException], left: int) -> WorkerDied:
    told = ", ".join(f"recipe {name!r} with seed {seed}" for name, seed in lost)
    more = f", and {left} more could not be started" if left else ""
    return WorkerDied(
        f"the process that trained {told} died{more}, most often for want of memory; give fewer workers, a smaller batch, "
        "or workers=1 to see the error itself"
    )


def _pool(plan: bytes, workers: int) -> Any:
    """One process with this one's backend and its share of the cores, which holds the plan."""
    import joblib
    import keras
    from joblib.externals.loky.process_executor import ProcessPoolExecutor

    share = str(max(1, joblib.cpu_count() // workers))
    threads = ("OMP", "OPENBLAS", "MKL", "TF_NUM_INTRAOP", "TF_NUM_INTEROP")
    env = {name if name.startswith("TF") else f"{name}_NUM": share for name in threads}
    env = {f"{name}_THREADS": value for name, value in env.items()} | {
        "KERAS_BACKEND": keras.backend.backend(), "NPROC": share, "TF_CPP_MIN_LOG_LEVEL": "3",
        "TF_FORCE_GPU_ALLOW_GROWTH": "true", "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
    }  # fmt: skip
    ways = {"floatx": keras.config.floatx(), "image_data_format": keras.config.image_data_format()}
    ways["dtype_policy"] = keras.config.dtype_policy().name
    return ProcessPoolExecutor(1, initializer=_start, initargs=(plan, ways), env=env)


_PLANS: list[Plan] = []
"""In a worker, what it works on: sent once, and not with every training."""


def _start(plan: bytes, ways: dict[str, str]) -> None:
    """Make a worker ready: Ctrl-C is for the process that was asked, and Keras is set as it is there."""
    import keras

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for name, value in ways.items():
        getattr(keras.config, f"set_{name}")(value)
    _PLANS[:] = [pickle.loads(plan)]


def _run(name: str, seed: int) -> Trial:
    return trial(_PLANS[0], name, seed)
