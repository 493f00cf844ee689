"""What is fitted to a trained model and kept beside it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pellucid.core.model import Model, wrap
from pellucid.core.model_files import load_model
from pellucid.core.record import Record

_FILE = "model.keras"


@dataclass(frozen=True, eq=False)
class WithModel(Record):
    """A record with the model it is about, which is saved beside it as `model.keras`."""

    model: Model

    def save(self, folder: str | Path) -> Path:
        """Write the record and, beside it, the model as `model.keras`."""
        folder = super().save(folder)
        self.model.keras.save(folder / _FILE)
        return folder

    def bring_back(self, folder: Path) -> None:
        """The model, read in safe mode."""
        self.about(wrap(load_model(folder / _FILE)))

    def about(self, model: Model) -> None:
        """Take the model that the record is about, after both were read from files."""
        object.__setattr__(self, "model", model)
