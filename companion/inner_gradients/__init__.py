"""Section 6.2: which inner gradients matter (page `notebooks/inner_gradients.ipynb`)."""
