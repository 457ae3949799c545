"""Section 5.1: AvgGrad and AvgGradInner (page `notebooks/avg_grad_inner.ipynb`)."""
