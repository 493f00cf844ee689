"""Is the explanation true: checks of one explanation against the model it claims to describe."""
