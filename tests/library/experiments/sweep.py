"""A small sweep over sine waves, importable by the processes that tests start."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pandas as pd

from metalib import training
from metalib.config import TrainingConfig
from metalib.experiments import Budget, Experiment, Unit, runner
from metalib.store import Result
from metalib.tasks.sine import Sine
from metalib.training import Trained

ALPHAS = (0.01, 0.02, 0.03)
LOG = os.environ.get("SWEEP_LOG", "")
"""Where recordings are written down, if anywhere."""
if "SWEEP_CHECKPOINT_SECONDS" in os.environ:
    # Workers import this module too, because they are handed its functions by name.
    training.CHECKPOINT_SECONDS = float(os.environ["SWEEP_CHECKPOINT_SECONDS"])


def units(budget: Budget, seeds: tuple[int, ...]) -> tuple[Unit, ...]:
    """Three step sizes at each of two k, one run per unit."""
    return tuple(
        Unit(
            f"k{k}-alpha{alpha}-seed{seed}",
            Sine(),
            (TrainingConfig(seed=seed, k=k, alpha=alpha, iterations=budget.iterations),),
        )
        for k in (2, 3)
        for alpha in ALPHAS
        for seed in seeds
    )


def record(unit: Unit, trained: Trained, budget: Budget) -> Result:
    """Keep the last loss and one trained number, to the last bit; write down that it was done."""
    if LOG:
        with Path(LOG).open("a") as file:
            file.write(f"{unit.name}\n")
    last = trained.history.iloc[-1]
    number = float(next(iter(trained.phi.values())).double().flatten()[0])
    return Result({"rows": pd.DataFrame([{"seed": last.seed, "loss": last.loss_after, "number": number}])})


SWEEP = Experiment("sweep", "a test", {"smoke": Budget(100, 1), "quick": Budget(1_500, 1)}, units, record)


def main() -> None:
    """Run the sweep: results, jobs, and the address of a scheduler if there is one."""
    results, jobs, scheduler = Path(sys.argv[1]), int(sys.argv[2]), "".join(sys.argv[3:])
    runner.run(SWEEP, "quick", seeds=(0,), results=results, jobs=jobs, scheduler=scheduler)
