"""The tolerances of all tests, named once."""

EXACT = 1e-12
"""Relative, float64: two routes to the same number that differ only in the order of a few operations."""

ROUNDOFF = 1e-10
"""Relative, float64: a chain of derivatives against automatic differentiation through it."""

FLOAT32 = 1e-5
"""Relative, float32: the same computation in another order, over up to 100 outer iterations."""

SLOPE = 0.05
"""Absolute: the fitted order of a remainder against the order that the theory gives."""

SIGMAS = 4.0
"""Standard errors that a sampled mean may lie from its expectation."""
