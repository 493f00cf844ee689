"""Why this answer: attributions of a model's output to its input."""
