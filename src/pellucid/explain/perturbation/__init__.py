"""The perturbation engine: masks, what fills the hole, how scores become values."""
