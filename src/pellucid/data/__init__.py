"""Data: built-in sets, files of the user's, planted problems with a known cause, and graded corruptions."""

from pellucid.data.encoding import Column, Encoder
from pellucid.data.planted import Planted, moving_shapes, tones
from pellucid.data.sources import load, names
from pellucid.data.split import Splits

__all__ = ["Column", "Encoder", "Planted", "Splits", "load", "moving_shapes", "names", "tones"]
