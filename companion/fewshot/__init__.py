"""Section 6.1: few-shot classification (page `notebooks/fewshot.ipynb`)."""
