"""The nouns that every verb shares: models, data, targets, records and chance."""
