"""How much faster a stack trains than plain PyTorch: 4 methods × 3 seeds on sine waves (section 4).

    python benchmarks/sine_training.py           600 outer iterations, the best of three
    python benchmarks/sine_training.py --store   30,000 as in the paper, once, three of the ways, stored

What is told is processor time, on one thread. Every way has a process of its own, and they take turns:

    plain      12 runs one after another: `torch.nn` modules and `torch.optim.SGD`, written as one would at
               first; MAML differentiates through the unrolled loop with `torch.func.functional_call`
    alone      12 runs one after another in metalib
    stack      12 runs as one stack in metalib
    compiled   the same with its outer step compiled; compiling is part of the time, and no cache helps
    floor      the matrix products of the stack alone, forward and backward
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from companion.running.compiled import compiled
from companion.sine.experiments import method_configs
from metalib.tasks.sine import INTERVAL, Sine, grid
from metalib.training.config import TrainingConfig
from metalib.training.loop import train

HERE = Path(__file__).resolve().parent
ITERATIONS = 600
PAPER = 30_000
SEEDS = (0, 1, 2)
STORED = ("compiled", "stack", "plain")


def plain(config: TrainingConfig) -> None:
    """Train one run as a plain loop does: one task, one minibatch, one module at a time."""
    torch.manual_seed(config.seed)
    rng = np.random.default_rng(config.seed)
    model = nn.Sequential(nn.Linear(1, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 1))
    x_all = torch.tensor(grid(), dtype=torch.float32).unsqueeze(1)
    for iteration in range(config.iterations):
        amplitude, phase = rng.uniform(0.1, 5.0), rng.uniform(0, 2 * np.pi)
        y_all = amplitude * torch.sin(x_all + phase)
        batches = [torch.from_numpy(part) for part in np.split(rng.permutation(len(x_all)), config.k)]
        epsilon = config.epsilon_at(iteration)
        before = {name: value.clone() for name, value in model.state_dict().items()}
        if config.algorithm == "maml":
            weights = dict(model.named_parameters())
            current = dict(weights)
            for batch in batches[:-1]:
                prediction = torch.func.functional_call(model, current, (x_all[batch],))
                loss = nn.functional.mse_loss(prediction, y_all[batch])
                g = torch.autograd.grad(loss, list(current.values()), create_graph=True)
                current = {
                    name: value - config.alpha * gi
                    for (name, value), gi in zip(current.items(), g, strict=True)
                }
            prediction = torch.func.functional_call(model, current, (x_all[batches[-1]],))
            loss = nn.functional.mse_loss(prediction, y_all[batches[-1]])
            g = torch.autograd.grad(loss, list(weights.values()))
            with torch.no_grad():
                for weight, gi in zip(weights.values(), g, strict=True):
                    weight -= epsilon * config.alpha * gi
            continue
        optimizer = torch.optim.SGD(model.parameters(), lr=config.alpha)
        last = before
        for step, batch in enumerate(batches):
            if config.algorithm == "joint" and step == 1:
                break
            if step == len(batches) - 1:
                last = {name: value.clone() for name, value in model.state_dict().items()}
            optimizer.zero_grad()
            nn.functional.mse_loss(model(x_all[batch]), y_all[batch]).backward()
            optimizer.step()
        after = model.state_dict()
        start = last if config.algorithm == "fomaml" else before
        model.load_state_dict({name: before[name] + epsilon * (after[name] - start[name]) for name in before})


def matrix_floor(configs: tuple[TrainingConfig, ...]) -> None:
    """Do only the matrix products of an outer iteration, as many as the runs take on average.

    A gradient takes three per layer, a Hessian-vector product six more; in the first layer, two and two.
    Joint training takes one gradient, the others k, and MAML k − 1 Hessian-vector products besides.
    """
    runs, k = len(configs), configs[0].k
    gradients = sum(1 if config.algorithm == "joint" else k for config in configs) / runs
    products = sum(k - 1 for config in configs if config.algorithm == "maml") / runs
    first, others = round(2 * (gradients + products)), round(3 * (gradients + 2 * products))
    for inputs, outputs, count in ((1, 64, first), (64, 64, others), (64, 1, others)):
        a, b = operands(runs, inputs, outputs)
        for _ in range(count):
            torch.bmm(a, b)


@cache
def operands(runs: int, inputs: int, outputs: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return two stacks of matrices to multiply; made once, since making them is no product."""
    return torch.rand(runs, 10, inputs), torch.rand(runs, inputs, outputs)


WAYS: dict[str, Callable[[tuple[TrainingConfig, ...]], object]] = {
    "plain": lambda configs: [plain(config) for config in configs],
    "alone": lambda configs: [train(Sine(), [config]) for config in configs],
    "stack": lambda configs: train(Sine(), configs),
    "compiled": lambda configs: train(Sine(), configs, prepare=partial(compiled, mode="yes")),
    "floor": lambda configs: [matrix_floor(configs) for _ in range(configs[0].iterations)],
}


def processor_seconds() -> float:
    """Return the processor time of this process and of those that it waited for, such as compilers."""
    return sum(
        used.ru_utime + used.ru_stime
        for used in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


def in_process(way: str, iterations: int) -> float:
    """Return the processor seconds of all runs, trained in one way by a new process."""
    with tempfile.TemporaryDirectory() as folder:
        alone = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TORCHINDUCTOR_COMPILE_THREADS": "1"}
        done = subprocess.run(
            [sys.executable, str(HERE / "sine_training.py"), "--way", way, "--iterations", str(iterations)],
            env={**os.environ, **alone, "TORCHINDUCTOR_CACHE_DIR": folder},
            check=True, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        return float(done.stdout)


def main() -> None:
    """Time one way if told to, else all ways in processes of their own; print or store what they took."""
    parser = argparse.ArgumentParser(description="time sine training against plain PyTorch")
    parser.add_argument("--store", action="store_true", help=f"{PAPER:,} outer iterations, once, stored")
    parser.add_argument("--iterations", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    iterations = given.iterations or (PAPER if given.store else ITERATIONS)
    if given.way:
        torch.set_num_threads(1)
        before = processor_seconds()
        WAYS[given.way](method_configs(iterations, SEEDS))
        print(processor_seconds() - before)
        return
    repeats, ways = (1, STORED) if given.store else (3, tuple(WAYS))
    taken = {way: min(in_process(way, iterations) for _ in range(repeats)) for way in ways}
    runs = len(method_configs(iterations, SEEDS))
    print(f"{runs} runs, sine waves on {INTERVAL}, {iterations:,} outer iterations x 5 inner steps")
    print(f"{'':10}{'seconds':>9}{'of plain':>10}")
    for way, value in taken.items():
        print(f"{way:10}{value:9.1f}{value / taken['plain']:10.3f}")
    if given.store:
        rows = [(way, runs, iterations, round(value, 2)) for way, value in taken.items()]
        table = pd.DataFrame(rows, columns=["way", "runs", "iterations", "processor_seconds"])
        table.to_csv(HERE / "sine_training.csv", index=False)


if __name__ == "__main__":
    main()
