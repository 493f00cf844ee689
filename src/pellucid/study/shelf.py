"""Where finished trainings are kept, so that a comparison that was killed goes on, and two that differ never mix."""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pellucid import training
from pellucid.core.contents import contents, of_config, structure
from pellucid.core.dataset import Dataset
from pellucid.core.model import wrap
from pellucid.core.record import versions, written
from pellucid.errors import InvalidOption, InvalidRecord, UnwritableOutput
from pellucid.study.trial import Plan, Trial
from pellucid.training import Build

_WHAT = {
    "build": "another build", "recipe": "another recipe", "train": "other train data", "validation": "other validation data",
    "test": "other test data", "fit": "another fit", "measures": "other measures",
    "software": "other versions or another backend",
}  # fmt: skip
"""What is told of each part that differs."""


class Shelf:
    """Finished trainings in a folder, one small record each, written whole or not at all.

    Args:
        folder: Made where it is missing.
        plan: What is compared; its fingerprints are kept with each training.

    Raises:
        UnwritableOutput: The folder cannot be made or written.
    """

    def __init__(self, folder: str | Path, plan: Plan) -> None:
        self.folder = Path(folder)
        _require_writable(self.folder)
        self._shared, self._plan = _shared(plan), plan

    def kept(self) -> list[Trial]:
        """The trainings of the plan that are here.

        Raises:
            InvalidOption: One of the same recipe name and seed that was made of something else.
        """
        found = [self._read(name, seed) for name, seed in self._plan.tasks]
        there = [trial for trial in found if trial is not None]
        for trial in there:
            self._require_same(trial)
        return there

    def keep(self, trial: Trial) -> None:
        """Write one training."""
        replace(trial, made_of=self._settings(trial.recipe)).save(self._place(trial.recipe, trial.seed))

    def _place(self, name: str, seed: int) -> Path:
        words = re.sub("[^a-z0-9]+", "-", name.lower()).strip("-")[:40]
        return self.folder / f"{words}-{hashlib.sha256(name.encode()).hexdigest()[:6]}-seed-{seed}"

    def _read(self, name: str, seed: int) -> Trial | None:
        """A training, or nothing where it was never finished: the folder is made before the record is put in it."""
        place = self._place(name, seed)
        try:
            return Trial.load(place) if place.exists() else None
        except InvalidRecord:
            return None

    def _settings(self, name: str) -> dict[str, str]:
        return {**self._shared, "recipe": of_value(self._plan.recipes[name])}

    def _require_same(self, trial: Trial) -> None:
        asked = self._settings(trial.recipe)
        other = [what for key, what in _WHAT.items() if trial.made_of.get(key) != asked.get(key)]
        if other:
            raise InvalidOption(
                f"folder: {self.folder} holds a training of {trial.recipe!r}, seed {trial.seed}, that was made with "
                f"{' and '.join(other)}, and the two are not mixed; give another folder, or the recipe another name"
            )


def _shared(plan: Plan) -> dict[str, str]:
    """Fingerprints of what all trainings of a plan have in common."""
    data = {part: of_value(data) for part, data in plan.parts.items()}
    built, software = of_build(plan.build, plan.parts["train"]), of_value(versions())
    return {
        "build": built, **data, "fit": of_value(_fit(plan)), "measures": of_value(tuple(plan.measures)),
        "software": software,
    }  # fmt: skip


def _fit(plan: Plan) -> dict[str, Any]:
    """How it is trained, with what holds where nothing is said: to say so is no other training."""
    usual = {"epochs": training.EPOCHS, "batch_size": training.BATCH, "shuffle": True}
    return {**usual, **(plan.fit or {})}


def of_value(value: Any) -> str:
    """Sixteen hexadecimal digits that change with anything in a value: settings, arrays, their order."""
    return hashlib.sha256(written(value).encode()).hexdigest()[:16]


def of_build(build: Build, train: Dataset) -> str:
    """Sixteen hexadecimal digits of what a builder builds: layers, first weights, loss, optimizer and metrics.

    A loss or metric of the author's own is known by its code and what it closes over: of its name there may be several.
    """
    model = training.fresh(build, 0)
    if not model.built:
        model(train.take(slice(0, 1)).x, training=False)
    compiled = contents(model._compile_config.config) if model.compiled else None
    return of_value([wrap(model).fingerprint(), of_config(model.get_config), structure(model), compiled])


def _require_writable(folder: Path) -> None:
    """Refuse a folder that cannot be written before anything is trained."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as problem:
        raise UnwritableOutput(f"folder: cannot write to {folder}: {problem.strerror or problem}") from problem


def rescued(trials: Sequence[Trial], plan: Plan) -> Path | None:
    """Keep finished trainings in a new folder where none was given; nothing where there are none, or no room."""
    if not trials:
        return None
    try:
        shelf = Shelf(tempfile.mkdtemp(prefix="pellucid-compare-"), plan)
        for trial in trials:
            shelf.keep(trial)
    except OSError:
        return None
    return shelf.folder
