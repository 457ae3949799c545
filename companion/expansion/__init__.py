"""Section 5.1: the expansion of an outer update (page `notebooks/expansion.ipynb`)."""
