"""Section 4: one-dimensional sine waves (page `notebooks/sine.ipynb`)."""
