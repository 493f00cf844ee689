"""Is what a model attends to a faithful account of what it answers by?"""
