"""How fast metalib is beside other libraries (page `notebooks/speed.ipynb`)."""
