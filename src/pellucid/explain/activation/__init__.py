"""The activation engine: a hidden layer is read, and folded into a map over the input."""
