"""What a meta-gradient costs as the number k of inner steps grows: time, and memory that must be kept.

Four ways on one thread, in double precision, interleaved; the median of REPEATS:

    Reptile        k gradients; nothing is kept but where the loop stands
    FOMAML         the same
    MAML           k gradients and k − 1 Hessian-vector products; φ_1 … φ_k are kept (Eq. 21)
    MAML unrolled  automatic differentiation through the whole loop; every step's intermediate results stay

With `--csv FILE` the table is written there. The page of questions draws `benchmarks/inner_steps.csv`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from typing import Any

import pandas as pd
import torch
from derivatives import most_bytes_kept, seconds

from companion.expansion.problems import omniglot_problem, sine_problem
from companion.expansion.remainders import maml_by_autograd
from metalib.derivatives import Loss
from metalib.inner import adapt, inner_loop
from metalib.meta_gradients import maml
from metalib.optimizers import SGD
from metalib.params import Params

REPEATS = 3
STEPS = {"sine network, 6 points": (1, 2, 5, 10, 20, 50), "Omniglot network, 25 images": (1, 2, 5, 10, 20)}
PROBLEMS = {"sine network, 6 points": sine_problem, "Omniglot network, 25 images": omniglot_problem}
ALPHA = 1e-4


def ways(losses: Sequence[Loss], phi: Params) -> dict[str, Callable[[], Any]]:
    """Return what computes each meta-gradient."""
    return {
        "Reptile": lambda: adapt(losses, phi, SGD(ALPHA)),
        "FOMAML": lambda: adapt(losses, phi, SGD(ALPHA)),
        "MAML": lambda: maml(inner_loop(losses, phi, SGD(ALPHA))),
        "MAML unrolled": lambda: maml_by_autograd(losses, phi, ALPHA),
    }


def measure() -> pd.DataFrame:
    """Return one row per network, k and way: seconds, and megabytes kept."""
    rows = []
    for name, make in PROBLEMS.items():
        problem = make()
        phi, weights = problem.phi, sum(value.nbytes for value in problem.phi.values())
        for k in STEPS[name]:
            losses = list(islice(cycle(problem.losses(problem.pool.minibatches)), k))
            calls = ways(losses, phi)
            times: dict[str, list[float]] = {way: [] for way in calls}
            for _ in range(REPEATS):
                for way, call in calls.items():
                    times[way].append(seconds(call, 1))
            for way, call in calls.items():
                kept = most_bytes_kept(call) + weights * (k if way == "MAML" else 1)
                rows.append((name, k, way, round(median(times[way]), 5), round(kept / 1e6, 3)))
    return pd.DataFrame(rows, columns=["network", "k", "method", "seconds", "megabytes"])


def main() -> None:
    """Measure, and print or write the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--csv", type=Path, help="write the table here")
    given = parser.parse_args()
    torch.set_num_threads(1)
    table = measure()
    print(table.to_string(index=False))
    if given.csv:
        table.to_csv(given.csv, index=False, lineterminator="\n")


if __name__ == "__main__":
    main()
