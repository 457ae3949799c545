"""Throughput of a sweep on the cores of this machine: Figure 3's runs with k = 4 minibatches of 25.

    metalib  `train` on one run per process, one process per core, sampling included
    plain    a plain PyTorch loop with all images in memory, one run per process likewise
    floor    only the matrix products of the network, forward and backward, one process per core

Times are per run and outer iteration of the whole machine: what one core needs, divided by the cores.
"""

from __future__ import annotations

import os
import random
import resource
import time
from collections.abc import Callable
from functools import cache, partial

import joblib
import numpy as np
import torch
from omniglot_training import WAYS, Memory, floor, minibatches, plain_network
from torch import nn

from companion.inner_gradients.settings import BATCH, SHOTS, config, disjoint_family
from companion.running.workers import cores
from metalib.data.classes import ClassPool
from metalib.data.glyphs import glyphs
from metalib.data.omniglot import VARIABLE, omniglot
from metalib.meta_gradients import reptile_weights
from metalib.training.config import TrainingConfig
from metalib.training.loop import train

K = 4
ITERATIONS = 100
ROUNDS = 5


@cache
def pool() -> ClassPool:
    """Return Omniglot if it is at hand, else the glyphs: the work is the same."""
    return omniglot() if os.environ.get(VARIABLE) else glyphs()


@cache
def in_memory() -> Memory:
    """Return the plain loop's images, made once per process, as metalib's are."""
    return Memory(pool())


def metalib_run(run: TrainingConfig) -> None:
    """Train one run of the sweep."""
    train(disjoint_family(pool(), K), (run,))


def plain_run(run: TrainingConfig) -> None:
    """Train the same run as a plain loop does."""
    random.seed(run.seed)
    torch.manual_seed(run.seed)
    loader = in_memory()
    model = plain_network()
    optimizer = torch.optim.SGD(model.parameters(), lr=run.alpha)
    for iteration in range(run.iterations):
        before = [weight.detach().clone() for weight in model.parameters()]
        samples = loader.task(WAYS, SHOTS * K)
        for batch in minibatches(samples, BATCH, K):
            images = torch.from_numpy(np.stack([image for image, _ in batch]))[:, None]
            labels = torch.tensor([label for _, label in batch])
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images), labels, reduction="sum").backward()
            optimizer.step()
        with torch.no_grad():
            for weight, start in zip(model.parameters(), before, strict=True):
                weight.copy_(torch.lerp(start, weight, run.epsilon_at(iteration)))


def floor_run(run: TrainingConfig) -> None:
    """Do the matrix products of one run."""
    floor(BATCH, run.iterations * K)


def timed(work: Callable[[TrainingConfig], None], run: TrainingConfig) -> tuple[float, int]:
    """Return the seconds that one run takes in a process of one thread, its start apart, and peak memory."""
    torch.set_num_threads(1)
    pool()
    start = time.perf_counter()
    work(run)
    seconds = time.perf_counter() - start
    return seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main() -> None:
    """Print milliseconds per run and outer iteration for each way."""
    count = cores()
    runs = [config(reptile_weights(K), ITERATIONS, seed) for seed in range(count)]
    ways = {"metalib": metalib_run, "plain": plain_run, "floor": floor_run}
    best = dict.fromkeys(ways, float("inf"))
    peak = 0
    with joblib.Parallel(n_jobs=count, inner_max_num_threads=1) as parallel:
        for _ in range(ROUNDS):
            for name, work in ways.items():
                seconds, memory = zip(*parallel(map(joblib.delayed(partial(timed, work)), runs)), strict=True)
                best[name] = min(best[name], max(seconds) / count / ITERATIONS)
                peak = peak or max(memory)  # before the plain loop has taken its share
    print(f"{pool().name}, k = {K}, minibatches of {BATCH}, {count} cores, one run per core")
    for name, value in best.items():
        print(f"{name:8}{1e3 * value:8.1f} ms{value / best['floor']:8.2f} x the floor")
    print(f"peak memory of a process: {peak / 2**20:.2f} GiB")


if __name__ == "__main__":
    main()
