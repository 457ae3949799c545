"""Section 6.3: minibatches that overlap (page `notebooks/overlap.ipynb`)."""
