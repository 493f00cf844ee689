"""Every exception Pellucid raises, one line of meaning each.

All of them derive from `PellucidError`, so one `except` catches whatever the library has to say about its input.
"""


class PellucidError(Exception):
    """Base of everything Pellucid raises on purpose."""


class InvalidInput(PellucidError, ValueError):
    """Data, a target or a baseline that does not fit the model or holds values no number can be made of."""


class NoAttention(InvalidInput):
    """There is no attention in the model."""


class InvalidOption(PellucidError, ValueError):
    """An option of a method outside what the method accepts."""


class UnknownName(PellucidError, KeyError):
    """A layer, column, method or data set that does not exist; the nearest names are offered."""

    def __str__(self) -> str:
        return Exception.__str__(self)  # KeyError would show the repr, with its quotes and escapes


class UnsupportedLayer(PellucidError):
    """A layer for which a method has no sound rule."""


class NotDifferentiable(PellucidError):
    """A gradient was asked of a model that has none at its input."""


class NotApplicable(PellucidError):
    """A method that makes no sense for this model or data; the reason is the message."""


class UnsafeModel(PellucidError):
    """A model file that would run code of its author while loading."""


class TrainingDiverged(PellucidError, ArithmeticError):
    """Training reached a loss that is no number; `model` is the Keras model with the last good weights."""

    model: object = None


class UnreadableFile(PellucidError, ValueError):
    """A data or model file that cannot be read; names the row and column where it can."""


class UnwritableOutput(PellucidError, OSError):
    """A place where results cannot be written."""


class BackendMismatch(PellucidError):
    """A model of one framework given while Keras runs on another."""


class InvalidRecord(PellucidError, ValueError):
    """A saved result that is damaged or was not written by Pellucid."""


class WorkerDied(PellucidError, RuntimeError):
    """A process that worked for this one ended without an answer; says what it was working on."""
