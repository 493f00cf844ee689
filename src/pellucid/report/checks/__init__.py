"""Checks, each of which turns numbers into findings."""
