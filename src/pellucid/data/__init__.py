"""Built-in data, readers of files, and graded corruptions."""
