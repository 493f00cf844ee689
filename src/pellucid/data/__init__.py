"""Data: built-in sets, files of the user's, and graded corruptions."""

from pellucid.data.encoding import Column, Encoder
from pellucid.data.sources import load, names
from pellucid.data.split import Splits

__all__ = ["Column", "Encoder", "Splits", "load", "names"]
