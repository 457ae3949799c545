"""What became of Reptile: its relatives, by identity or difference (page `notebooks/descendants.ipynb`)."""
