"""A small sweep over sine waves, importable by the processes that tests start."""

from __future__ import annotations

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


def units(budget: Budget, seeds: tuple[int, ...]) -> tuple[Unit, ...]:
    """Six runs at most two of which differ in k, one per unit."""
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
    """Keep the last loss and one trained number, to the last bit."""
    last = trained.history.iloc[-1]
    number = float(next(iter(trained.phi.values())).double().flatten()[0])
    return Result({"rows": pd.DataFrame([{"seed": last.seed, "loss": last.loss_after, "number": number}])})


SWEEP = Experiment("sweep", "a test", {"smoke": Budget(100, 1), "quick": Budget(1_500, 1)}, units, record)


if __name__ == "__main__":
    training.CHECKPOINT_SECONDS = 0.05
    runner.run(SWEEP, "quick", seeds=(0,), results=Path(sys.argv[1]), jobs=int(sys.argv[2]))
