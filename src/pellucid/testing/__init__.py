"""Run this project's own contracts on your own method or measure."""
