"""How much work is done side by side: one rule for every place that stacks runs, tasks or trajectories."""

from __future__ import annotations

import torch

from metalib.params import Params

WORKING_SET = {"cpu": 24 * 2**20, "cuda": 2 * 2**30}
"""Bytes that a step may touch at once. A processor slows down when a step outgrows its caches; a GPU is
idle until it has far more to do."""


def side_by_side(footprint: int, device: torch.device | str) -> int:
    """Return how many networks of `footprint` bytes each to step at once on a device; at least one.

    >>> side_by_side(2**20, "cpu"), side_by_side(2**40, "cpu")
    (24, 1)
    """
    return max(1, WORKING_SET[torch.device(device).type] // footprint)


def bytes_of(params: Params) -> int:
    """Return the size of all weights in bytes."""
    return sum(value.numel() * value.element_size() for value in params.values())
