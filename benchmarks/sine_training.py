"""How much faster a stack trains than plain PyTorch: 4 methods × 3 seeds on sine waves (section 4).

Three ways, alternating, on one thread:

    plain   12 runs one after another: `torch.nn` modules and `torch.optim.SGD`, written as one would at
            first; MAML differentiates through the unrolled loop with `torch.func.functional_call`
    alone   12 runs one after another in metalib
    stack   12 runs as one stack in metalib

The floor is the time of the matrix products alone (forward and backward, batched over the stack).
Times are extrapolated from ITERATIONS outer iterations to the paper's 30,000.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from companion.sine.experiments import method_configs
from metalib.tasks.sine import INTERVAL, Sine, grid
from metalib.training.config import TrainingConfig
from metalib.training.loop import train

ITERATIONS = 600
PAPER = 30_000
SEEDS = (0, 1, 2)


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


def matrix_floor(runs: int, k: int) -> None:
    """Do only the matrix products of an outer iteration: 3 per layer and inner step, 2 in the first."""
    for inputs, outputs, products in ((1, 64, 2), (64, 64, 3), (64, 1, 3)):
        a, b = torch.rand(runs, 10, inputs), torch.rand(runs, inputs, outputs)
        for _ in range(k * products):
            torch.bmm(a, b)


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    """Print the three times, the floor, and their ratios."""
    torch.set_num_threads(1)
    configs = method_configs(ITERATIONS, SEEDS)
    family = Sine()
    ways: dict[str, Callable[[], object]] = {
        "plain": lambda: [plain(config) for config in configs],
        "alone": lambda: [train(family, [config]) for config in configs],
        "stack": lambda: train(family, configs),
        "floor": lambda: [matrix_floor(len(configs), configs[0].k) for _ in range(ITERATIONS)],
    }
    rounds = {name: [] for name in ways}
    for _ in range(3):
        for name, work in ways.items():
            rounds[name].append(seconds(work))
    best = {name: min(times) for name, times in rounds.items()}
    scale = PAPER / ITERATIONS
    print(
        f"12 runs (4 methods x 3 seeds), sine waves on {INTERVAL}, {PAPER:,} outer iterations x 5 inner steps"
    )
    print(f"{'':8}{'seconds':>9}{'of plain':>10}")
    for name, value in best.items():
        print(f"{name:8}{value * scale:9.1f}{value / best['plain']:10.3f}")
    faster, above = best["plain"] / best["stack"], best["stack"] / best["floor"]
    print(f"stack is {faster:.1f} x as fast as plain, and takes {above:.1f} x its floor")


if __name__ == "__main__":
    main()
