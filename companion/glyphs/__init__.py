"""The embedded letters (page `notebooks/glyphs.ipynb`)."""
