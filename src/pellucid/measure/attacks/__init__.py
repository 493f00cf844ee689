"""Attacks on a classifier: how far inputs may move, and ways to look for the worst place there."""
