"""Whether Pellucid and its peers give the same numbers on random models of every kind, and who is right where they do not."""
