"""Networks as plain functions of (weights, inputs), written for stacked weights."""
