"""A use for the reader: a small network that learns the hand of its user (page `notebooks/scale.ipynb`)."""
