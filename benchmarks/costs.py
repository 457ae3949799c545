"""What a meta-gradient costs as k grows from 1 to 64: processor time, peak memory, operations; and its noise.

Two tables, each in one process on one thread:

    python benchmarks/costs.py --costs benchmarks/costs.csv      time, memory and operations on two networks
    python benchmarks/costs.py --noise benchmarks/variance.csv   noise at fixed weights on sine waves

Times are medians of REPEATS, in an order that changes from repeat to repeat, in single precision. Memory is
the peak of the tensors that a call allocates. Operations are those of matrix products and convolutions. The
rows `training` are processor time per outer step of `metalib.training.train`, one run at k = 5; on characters
at k = 3, glyphs for Omniglot's, which have the same size.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from typing import Any

import pandas as pd
import torch

from companion.costs import omniglot
from companion.costs.experiment import COMMON_K, runs
from companion.costs.variance import noise_against_k
from companion.costs.ways import (
    FOMAML,
    IMPLICIT,
    PRODUCTS,
    REPTILE,
    operations,
    peak_bytes,
    processor_seconds,
    ways,
)
from companion.expansion.problems import Problem, omniglot_problem, sine_problem
from companion.inner_gradients.settings import disjoint_family
from metalib.data.glyphs import glyphs
from metalib.derivatives import MinibatchLoss
from metalib.params import Params
from metalib.tasks.family import BLOCK
from metalib.tasks.sine import Sine
from metalib.training import TrainingConfig, train

KS = (1, 2, 4, 8, 16, 32, 64)
NOISE_KS = (1, 4, 16, 64)
ALPHA = 1e-4
STRENGTH = {"sine": 12.5, "Omniglot": 2_000.0}
REPEATS = {"sine": 9, "Omniglot": 3}
PROBLEMS: dict[str, Callable[[], Problem]] = {
    "sine": lambda: sine_problem(minibatches=5),
    "Omniglot": omniglot_problem,
}
SEEDS = (0, 1, 2)
TASKS = 100
TRAINED = 300
NAMES = {"maml": PRODUCTS, "fomaml": FOMAML, "reptile": REPTILE, "imaml": IMPLICIT}


def single(problem: Problem) -> tuple[list[MinibatchLoss], Params]:
    """Return the minibatches and the weights of a problem in single precision."""
    losses = []
    for loss in problem.losses(problem.pool.minibatches):
        assert isinstance(loss, MinibatchLoss)
        targets = loss.targets.float() if loss.targets.is_floating_point() else loss.targets
        losses.append(replace(loss, inputs=loss.inputs.float(), targets=targets))
    return losses, {name: value.float() for name, value in problem.phi.items()}


def interleaved(calls: dict[str, Callable[[], Any]], repeats: int, times: int) -> dict[str, list[float]]:
    """Return the processor seconds of every call, one per repeat, each repeat beginning with another."""
    found: dict[str, list[float]] = {name: [] for name in calls}
    names = list(calls)
    for name in names:
        calls[name]()
    for repeat in range(repeats):
        turn = repeat % len(names)
        for name in names[turn:] + names[:turn]:
            found[name].append(processor_seconds(calls[name], times))
    return found


def costs() -> pd.DataFrame:
    """Return one row per network, k and method."""
    rows = []
    for network, make in PROBLEMS.items():
        pool, phi = single(make())
        size = sum(value.nbytes for value in phi.values())
        for k in KS:
            calls = ways(list(islice(cycle(pool), k)), phi, ALPHA, STRENGTH[network])
            times = max(1, 32 // k) if network == "sine" else 1
            taken = interleaved(calls, REPEATS[network], times)
            for method, call in calls.items():
                rows.append(
                    {
                        "network": network,
                        "k": k,
                        "method": method,
                        "seconds": float(f"{median(taken[method]):.4g}"),
                        "megabytes": round(peak_bytes(call) / 1e6, 4),
                        "megaflop": round(operations(call) / 1e6, 4),
                        "weights": round(size / 1e6, 4),
                    }
                )
    return pd.DataFrame([*rows, *training()])


def training() -> list[dict[str, Any]]:
    """Return the processor seconds per outer step of a training on sine waves, per method."""

    def call(config: TrainingConfig) -> Callable[[], Any]:
        return lambda: train(Sine(), [config])

    each = {NAMES[c.algorithm]: call(c) for c in runs(tuple(NAMES), COMMON_K, BLOCK, (0,))}
    taken = interleaved(each, 5, 1)
    rows = [
        {"network": "training", "k": COMMON_K, "method": m, "seconds": float(f"{median(v) / BLOCK:.4g}")}
        for m, v in taken.items()
    ]
    family = disjoint_family(glyphs(), omniglot.K)

    def difference(name: str) -> float:
        """Return the seconds of four outer steps: what six take longer than two."""
        few, many = (processor_seconds(lambda n=n: train(family, [omniglot.run(name, n, 0)])) for n in (2, 6))
        return many - few

    found: dict[str, list[float]] = {name: [] for name in NAMES}
    for _ in range(3):
        for name in NAMES:
            found[name].append(difference(name) / 4)
    return rows + [
        {
            "network": "training, characters",
            "k": omniglot.K,
            "method": NAMES[name],
            "seconds": float(f"{median(values):.4g}"),
        }
        for name, values in found.items()
    ]


def noise() -> pd.DataFrame:
    """Return the noise at random weights, and after a short training by Reptile, for three seeds."""
    tables = []
    for seed in SEEDS:
        config = runs(("reptile",), COMMON_K, TRAINED, (seed,))[0]
        places = {"random": Sine().initialize(seed), "trained": train(Sine(), [config]).phi}
        for place, phi in places.items():
            table = noise_against_k(phi, NOISE_KS, TASKS, 1_000 + seed)
            table.insert(0, "phi", place)
            table.insert(1, "seed", seed)
            tables.append(table)
    return pd.concat(tables).round(6)


def main() -> None:
    """Measure, and print or write the tables asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--costs", type=Path, help="write time, memory and operations here")
    parser.add_argument("--noise", type=Path, help="write the noise here")
    given = parser.parse_args()
    torch.set_num_threads(1)
    for path, measure in ((given.costs, costs), (given.noise, noise)):
        if path:
            measure().to_csv(path, index=False, lineterminator="\n")
            print(f"wrote {path}")
    if not (given.costs or given.noise):
        print(costs().to_string(index=False))


if __name__ == "__main__":
    main()
