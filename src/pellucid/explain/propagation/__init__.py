"""The propagation engine: what each kind of layer does to relevance on the way back."""
