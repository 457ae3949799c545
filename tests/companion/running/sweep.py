"""A small sweep over sine waves, importable by the processes that tests start."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from companion.budgets import Budget
from companion.results import Result
from companion.running import runner
from companion.running.experiment import Experiment, Unit
from metalib.tasks.sine import Sine
from metalib.training import Trained, TrainingConfig, loop

ALPHAS = (0.01, 0.02, 0.03)
LOG = os.environ.get("SWEEP_LOG", "")
"""Where recordings are written down, if anywhere."""
if "SWEEP_CHECKPOINT_SECONDS" in os.environ:
    # Workers import this module too, because they are handed its classes by name.
    loop.CHECKPOINT_SECONDS = float(os.environ["SWEEP_CHECKPOINT_SECONDS"])


@dataclass(frozen=True)
class RecordLoss:
    """Keep the last loss and one trained number, to the last bit; write down that it was done."""

    name: str

    def as_dict(self) -> dict[str, Any]:
        return {"kind": "RecordLoss"}

    def __call__(self, family: Sine, trained: Trained) -> Result:
        if LOG:
            with Path(LOG).open("a") as file:
                file.write(f"{self.name}\n")
        last = trained.history.iloc[-1]
        number = float(next(iter(trained.phi.values())).double().flatten()[0])
        row = {"seed": last.seed, "loss": last.loss_after, "number": number}
        return Result({"rows": pd.DataFrame([row])})


def units(budget: Budget, seeds: tuple[int, ...]) -> tuple[Unit[Sine], ...]:
    """Three step sizes at each of two k, one run per unit."""
    grid = [(k, alpha, seed) for k in (2, 3) for alpha in ALPHAS for seed in seeds]
    return tuple(
        Unit(
            name := f"k{k}-alpha{alpha}-seed{seed}",
            Sine(),
            (TrainingConfig(seed=seed, k=k, alpha=alpha, iterations=budget.iterations),),
            RecordLoss(name),
        )
        for k, alpha, seed in grid
    )


SWEEP = Experiment("sweep", "a test", {"smoke": Budget(100, 1), "quick": Budget(1_500, 1)}, units)


def main() -> None:
    """Run the sweep: results, jobs, and the address of a scheduler if there is one."""
    results, jobs, scheduler = Path(sys.argv[1]), int(sys.argv[2]), "".join(sys.argv[3:])
    runner.run(SWEEP, "quick", seeds=(0,), results=results, jobs=jobs, scheduler=scheduler)


if __name__ == "__main__":
    main()
