"""The gradients engine: points, and how they are weighted."""
