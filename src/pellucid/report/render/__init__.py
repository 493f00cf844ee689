"""One renderer a medium."""
