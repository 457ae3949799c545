"""Adapt an initialization to unseen tasks and score it."""
