"""Mistakes, written out so that they can be seen failing (page `notebooks/pitfalls.ipynb`)."""
