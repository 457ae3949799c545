"""What one training over many workers costs, and when local steps pay (page `notebooks/scale.ipynb`)."""
