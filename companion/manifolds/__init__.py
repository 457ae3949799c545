"""Section 5.2: solution manifolds (page `notebooks/manifolds.ipynb`)."""
