"""Speed and memory of Pellucid, beside the bare model and beside other libraries on the same weights."""
