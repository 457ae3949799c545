"""How much work is done side by side: one rule for every place that stacks runs, tasks or trajectories."""

from __future__ import annotations

import os

import torch

from metalib.errors import require
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


def memory_of(device: torch.device | str) -> float:
    """Return the bytes of memory that a device has; infinity where the system does not say."""
    where = torch.device(device)
    if where.type == "cuda":
        return float(torch.cuda.mem_get_info(where)[1])
    try:
        return float(os.sysconf("SC_PAGE_SIZE")) * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # not on Windows
        return float("inf")


def require_room(needed: float, device: torch.device | str, what: str, remedy: str) -> None:
    """Raise `InputError` with the estimate if `needed` bytes are more than the whole memory of a device.

    Args:
        needed: a lower estimate, in bytes.
        device: "cpu", "cuda" or "cuda:i".
        what: what needs them, such as "k is 1000000000, which".
        remedy: what to choose instead.
    """
    there = memory_of(device)
    require(
        needed <= there,
        f"{what} needs at least {needed / 2**30:,.0f} GiB of memory, and {device} has {there / 2**30:,.0f}; "
        f"{remedy}",
    )
