"""Blocks of outer iterations: what a stack of runs meets in one, sampled at once and cut into minibatches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from metalib.derivatives import MinibatchLoss
from metalib.memory import bytes_of, require_room, side_by_side
from metalib.params import Params
from metalib.tasks.family import BLOCK, TaskFamily
from metalib.training.config import StackConfig, TrainingConfig
from metalib.training.shares import ALONE, Share

Drawn = TypeVar("Drawn")


def require_room_for(configs: Sequence[TrainingConfig], phi: Params) -> None:
    """Raise `InputError` if the trajectories or the minibatches of a block cannot fit in memory.

    An inner loop keeps φ_1 … φ_{k+1} and g_1 … g_k; a block keeps BLOCK · tasks · k minibatches, which are
    taken to hold two float32 of every run.

    Args:
        configs: the runs of the stack.
        phi: their initial weights.
    """
    stack, device = StackConfig.of(configs), next(iter(phi.values())).device
    require_room(
        (2 * stack.k + 1) * bytes_of(phi), device, f"k is {stack.k}, which", "choose fewer inner steps"
    )
    needed = BLOCK * stack.tasks * stack.k * len(configs) * 8
    require_room(needed, device, f"tasks is {stack.tasks}, which with k = {stack.k}", "choose fewer tasks")


def tasks_at_once(
    family: TaskFamily, configs: Sequence[TrainingConfig], device: torch.device, share: Share = ALONE
) -> int:
    """Return how many tasks of one run are stacked side by side; it divides the number of tasks in a share.

    Every task has weights of its own after its first step, so that a stack of tasks needs as much memory
    as one of runs. Where the inner optimizer carries its state from task to task, they follow one another.

    Args:
        family: the tasks.
        configs: the runs of the stack.
        device: where they live.
        share: the part of their tasks that this process trains.
    """
    stack = StackConfig.of(configs)
    if configs[0].optimizer().carried:
        return 1
    fitting = max(1, side_by_side(family.footprint, device) // len(configs))
    tasks = stack.tasks // share.size
    return max(width for width in range(1, tasks + 1) if tasks % width == 0 and width <= fitting)


def sample_block(
    family: TaskFamily, configs: Sequence[TrainingConfig], block: int, width: int, share: Share = ALONE
) -> dict[str, Tensor]:
    """Sample a block for all runs, as arrays of shape [BLOCK, tasks / width, k, runs · width, …] on the host.

    All tasks are sampled and those of the share kept, so that a run sees the same ones however many share it.

    Args:
        family: the tasks.
        configs: the runs of the stack; those of the same seed see the same tasks.
        block: number of the block, counted from 0.
        width: tasks of one run that are stacked side by side.
        share: the part of the tasks that this process trains.
    """
    stack = StackConfig.of(configs)
    by_seed = {
        seed: family.sample(seed, block, stack.tasks, stack.k) for seed in {config.seed for config in configs}
    }
    sampled, kept = {}, share.tasks(stack.tasks)
    for name in by_seed[configs[0].seed]:
        # [runs, BLOCK, tasks, k, …]
        array = torch.from_numpy(np.stack([by_seed[config.seed][name][:, kept] for config in configs]))
        sampled[name] = array.unflatten(2, (-1, width)).movedim(0, 2).movedim(4, 2).flatten(3, 4).contiguous()
    return sampled


def blocks(
    sample: Callable[[int], dict[str, Tensor]], numbers: range, device: torch.device
) -> Iterator[dict[str, Tensor]]:
    """Yield block after block on a device. For a GPU, the next is sampled while one is trained.

    On a processor they follow one another: sampling a block of sine waves takes 1 ms, training on it 100 ms.

    Args:
        sample: samples the block of a number on the host.
        numbers: of the blocks.
        device: where the arrays go.
    """
    if device.type == "cpu":
        yield from map(sample, numbers)
        return
    for sampled in ahead(sample, numbers):
        yield {name: array.pin_memory().to(device, non_blocking=True) for name, array in sampled.items()}


def ahead(sample: Callable[[int], Drawn], numbers: range) -> Iterator[Drawn]:
    """Yield what is sampled for each number; a thread samples the next while one is at work on the last."""
    with ThreadPoolExecutor(1) as thread:
        coming: Future[Drawn] | None = None
        for number in numbers:
            sampled = coming.result() if coming else sample(number)
            coming = thread.submit(sample, number + 1) if number + 1 in numbers else None
            yield sampled


def losses_of(
    family: TaskFamily, sampled: dict[str, Tensor], iterations: int
) -> Iterator[list[list[MinibatchLoss]]]:
    """Yield the losses of every outer iteration: per group of tasks side by side, one per inner step.

    Args:
        family: makes a loss of a minibatch.
        sampled: what `sample_block` returned.
        iterations: how many outer iterations of the block to yield.
    """
    groups, k = next(iter(sampled.values())).shape[1:3]
    # Cutting a block into its minibatches at once is cheaper than indexing it at every step.
    pieces = {name: iter(array[:iterations].flatten(0, 2).unbind()) for name, array in sampled.items()}
    last = [torch.tensor(step == k - 1) for step in range(k)]  # on the host: it is read without a wait
    for _ in range(iterations):
        yield [
            [family.loss({"last": end} | {name: next(p) for name, p in pieces.items()}) for end in last]
            for _ in range(groups)
        ]
