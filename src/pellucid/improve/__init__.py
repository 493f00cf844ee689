"""Make it better: recipes, and what each of them costs."""
