"""Questions that readers ask of the paper (page `notebooks/questions.ipynb`)."""
