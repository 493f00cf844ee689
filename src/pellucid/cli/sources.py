"""From what was typed to data and a model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pellucid.core.model import Model, wrap
from pellucid.data.split import Splits
from pellucid.errors import InvalidOption


@dataclass(frozen=True)
class Asked:
    """The data options of a command, as typed."""

    source: str
    target: str | None = None
    delimiter: str | None = None
    header: bool | None = None
    test: Path | None = None
    groups: str | None = None
    types: tuple[str, ...] = ()
    seed: int = 0

    def load(self) -> Splits:
        """The data; see `pellucid.data.load`."""
        from pellucid.data.sources import load

        return load(
            self.source, target=column(self.target), delimiter=self.delimiter, header=self.header, groups=self.groups,
            types=dict(map(pair, self.types)), test=self.test or 0.25, seed=self.seed,
        )  # fmt: skip


def column(typed: str | None) -> str | int | None:
    """A column as typed: a position where it is a whole number, else a name."""
    return int(typed) if typed is not None and typed.lstrip("-").isdigit() else typed


def pair(typed: str) -> tuple[str, str]:
    """Column and type from `ZIP=categorical`."""
    name, mark, kind = typed.rpartition("=")
    if not mark:
        raise InvalidOption(f"--type: expected COLUMN=TYPE, such as ZIP=categorical, got {typed!r}")
    return name, kind


def model_for(splits: Splits, file: Path | None, *, seed: int, trust: bool) -> tuple[Model, str]:
    """The model of a file, or a small one trained on the spot; and a sentence that says which."""
    if file is not None:
        from pellucid.core.model_files import load_model

        return wrap(load_model(file, trust=trust)), f"The model is {file.name}."
    return trained(splits, seed)


def trained(splits: Splits, seed: int) -> tuple[Model, str]:
    """A sound small model, trained on the data to learn from."""
    from pellucid.training import train_default

    model = train_default(splits.train, seed=seed)
    return wrap(model), "No model was given: a small one was trained on the training rows."
