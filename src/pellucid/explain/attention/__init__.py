"""Attention: read, and followed through a model."""
