"""Many models side by side: what a change of training does to every quality at once, and at what price."""
