"""One file a library: how its own users would call it, from the same arrays."""
