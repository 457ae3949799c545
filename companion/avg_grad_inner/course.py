"""Four methods through training on sine waves: what the update is made of, and the gradient inner product.

Two claims rest on these runs, and what decides them was written down before they were made, on seeds that
had not been looked at (2 to 6; a look at 0 and 1 had shown that seeds differ):

- the updates of MAML, FOMAML and Reptile raise E[ḡ_1·ḡ_2]: for each of the three, the value after training
  minus that before it, and minus that after joint training, has an interval above 0;
- first joint training, then AvgGradInner: cosine of Reptile's expected update with AvgGrad minus that with
  −AvgGradInner has an interval above 0 before the first step, and below 0 at every later look.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from companion.avg_grad_inner.training import FAMILY, Probe, composition, followed
from companion.budgets import BUDGETS, Budget
from companion.results import Result
from companion.running.experiment import Experiment, Unit
from metalib.optimizers import State
from metalib.params import Params, select
from metalib.tasks.sine import Sine
from metalib.training import Trained, TrainingConfig

MEASURES = ("cos avg_grad", "cos inner", "inner product", "agreement")
ALGORITHMS = ("reptile", "fomaml", "maml", "joint")
SEEDS = (2, 3, 4, 5, 6)
"""Of the runs, unless others are asked for; none had been looked at before."""


@cache
def _probe() -> Probe:
    return Probe.sample()


def _measured(config: TrainingConfig, phi: Params) -> list[float]:
    there = {name: value.cpu() for name, value in phi.items()}  # where the probe is
    found = composition(there, _probe(), config.alpha, config.algorithm)
    return [found[name] for name in MEASURES]


@dataclass(frozen=True)
class WatchComposition:
    """What every method's expected update is made of while it trains: a `Monitor`."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Those of `training.composition` that the claims rest on."""
        return MEASURES

    def as_dict(self) -> dict[str, Any]:
        """Return everything that decides what is measured, as JSON can hold it."""
        return {"kind": "WatchComposition", "measures": list(MEASURES), "tasks": len(_probe().weights)}

    def __call__(
        self, family: Sine, configs: Sequence[TrainingConfig], phi: Params, inner: State, block: int
    ) -> np.ndarray:
        """Return the measures of every run, [runs, measures]."""
        return np.array([_measured(config, select(phi, slice(r, r + 1))) for r, config in enumerate(configs)])


@dataclass(frozen=True)
class RecordCourse:
    """What is kept of the runs: the history, and the same measures before the first step."""

    def as_dict(self) -> dict[str, Any]:
        """Return everything that decides what is recorded, as JSON can hold it."""
        return {"kind": "RecordCourse"}

    def __call__(self, family: Sine, trained: Trained) -> Result:
        """Return the table `course`, with a row per method and iteration that was looked at."""
        start = family.initialize(trained.configs[0].seed)
        before = [
            {"algorithm": config.algorithm, "seed": config.seed, "iteration": 0}
            | dict(zip(MEASURES, _measured(config, start), strict=True))
            for config in trained.configs
        ]
        course = pd.concat([pd.DataFrame(before), trained.history.drop(columns="run")], ignore_index=True)
        return Result({"course": course})


def _units(budget: Budget, seeds: tuple[int, ...]) -> tuple[Unit[Sine], ...]:
    runs = followed(ALGORITHMS, budget.iterations)
    return tuple(
        Unit(
            f"seed-{seed}",
            FAMILY,
            tuple(replace(run, seed=seed) for run in runs),
            RecordCourse(),
            WatchComposition(),
        )
        for seed in seeds
    )


COURSE: Experiment[Budget] = Experiment(
    "inner-product",
    "what updates are made of, and the inner product of gradients, through training on sine waves",
    BUDGETS["inner-product"],
    _units,
    seeds=SEEDS,
)
