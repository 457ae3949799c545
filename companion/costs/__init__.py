"""What each method costs: time, memory, noise, and what they buy (page `notebooks/costs.ipynb`)."""
