"""Blocks of outer iterations: what a stack of runs meets in one, drawn at once and cut into minibatches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from metalib.config import TrainingConfig
from metalib.derivatives import MinibatchLoss
from metalib.params import Params
from metalib.tasks import TaskFamily

CACHE_BYTES = 8 * 2**20
"""Weights of a stack that a processor handles well. Every task has weights of its own after its first step,
and when they no longer fit into the caches, every step waits for memory."""


def tasks_at_once(configs: Sequence[TrainingConfig], phi: Params, place: torch.device) -> int:
    """Return how many tasks of one run are stacked side by side; it divides the number of tasks."""
    first = configs[0]
    if first.inner == "adam":
        return 1  # Adam's moments run on from task to task, so its tasks must follow one another
    if place.type != "cpu":
        return first.tasks
    weights = sum(value.numel() * value.element_size() for value in phi.values())
    fitting = max(1, CACHE_BYTES // weights)
    return max(width for width in range(1, first.tasks + 1) if first.tasks % width == 0 and width <= fitting)


def draw(
    family: TaskFamily, configs: Sequence[TrainingConfig], block: int, width: int, place: torch.device
) -> dict[str, Tensor]:
    """Draw a block for all runs, as arrays of shape [BLOCK, tasks / width, k, runs · width, …]."""
    first = configs[0]
    by_seed = {seed: family.draw(seed, block, first.tasks, first.k) for seed in {c.seed for c in configs}}
    drawn = {}
    for name in by_seed[first.seed]:
        # [runs, BLOCK, tasks, k, …]: runs of the same seed see the same tasks.
        array = torch.from_numpy(np.stack([by_seed[config.seed][name] for config in configs]))
        array = array.unflatten(2, (-1, width)).movedim(0, 2).movedim(4, 2).flatten(3, 4)
        drawn[name] = array.contiguous().to(place)
    return drawn


def losses_of(
    family: TaskFamily, drawn: dict[str, Tensor], iterations: int
) -> Iterator[list[list[MinibatchLoss]]]:
    """Yield the losses of every outer iteration: per group of tasks side by side, one per inner step."""
    groups, k = next(iter(drawn.values())).shape[1:3]
    # Cutting a block into its minibatches at once is cheaper than indexing it at every step.
    pieces = {name: iter(array[:iterations].flatten(0, 2).unbind()) for name, array in drawn.items()}
    for _ in range(iterations):
        yield [
            [family.loss({name: next(minibatches) for name, minibatches in pieces.items()}) for _ in range(k)]
            for _ in range(groups)
        ]
