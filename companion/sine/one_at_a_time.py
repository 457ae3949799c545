"""Appendix A: does a hyper-parameter matter? Each of Reptile's settings on sine waves is halved and doubled.

All runs take the same number of inner steps; what is not changed is as in the authors' demo. Every seed is
scored on test tasks of its own, the same for all changes, so that the interval over seeds of a paired
difference holds the drawing of the tasks as well.

Said before this was run, for the budgets "laptop" and "paper" and five seeds. A setting matters little if
each of its changes multiplies the error after 10 gradient steps by 0.8 to 1.25, by the 95 % interval over
seeds; it does not if the interval of one change lies outside. "Most" are more than half of the five settings.
The claim of appendix A is decided at the demo's own 30,000 iterations.

1. At 3,000 iterations α, ε and the tasks per outer iteration matter; so most do not matter little.
2. The size of the minibatch matters little, at both budgets.
3. At 30,000 iterations halving and doubling ε count for less than at 3,000.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import pandas as pd

from companion.budgets import BUDGETS, Budget
from companion.results import Result
from companion.running.experiment import Experiment, Unit
from companion.sine.search import GRADIENT_STEPS, TEST, error, unseen_tasks
from companion.sine.settings import DEMO, Settings, family, run, work_of
from metalib.params import select
from metalib.tasks.sine import Sine
from metalib.training import Trained

UNCHANGED = "unchanged"
CHANGES: dict[str, tuple[float, ...]] = {
    "alpha": (0.01, 0.04),
    "epsilon": (0.05, 0.2),
    "k": (3, 10),  # 2.5 is no number of steps
    "tasks": (2,),  # nor is half a task
    "batch": (5, 20),
}
"""What each setting is changed to: half, and double."""


@dataclass(frozen=True)
class RecordError:
    """What is kept of runs: their error on test tasks that their seed decides.

    Attributes:
        tasks: how many.
    """

    tasks: int

    def as_dict(self) -> dict[str, Any]:
        """Return everything that decides what is recorded, as JSON can hold it."""
        return {"kind": "RecordError", **asdict(self), "gradient_steps": GRADIENT_STEPS, "seeds": TEST}

    def __call__(self, family: Sine, trained: Trained) -> Result:
        """Return the table `error`, with a row per run."""
        rows = [
            {
                "seed": config.seed,
                "mse": error(
                    family,
                    select(trained.phi, slice(r, r + 1)),
                    config.alpha,
                    unseen_tasks(config.seed, self.tasks),
                ),
            }
            for r, config in enumerate(trained.configs)
        ]
        return Result({"error": pd.DataFrame(rows)})


def changed(name: str, value: float) -> Settings:
    """Return the demo's settings with another value for one of them."""
    return replace(DEMO, **{name: value})  # type: ignore[arg-type]


def _units(budget: Budget, seeds: tuple[int, ...]) -> tuple[Unit[Sine], ...]:
    work, record = work_of(budget.iterations), RecordError(budget.evaluation_tasks)
    changes = [(UNCHANGED, 1.0, DEMO)]
    changes += [(name, value, changed(name, value)) for name, values in CHANGES.items() for value in values]
    return tuple(
        Unit(
            name if name == UNCHANGED else f"{name}-{value:g}",
            family(settings),
            tuple(run(settings, work, seed) for seed in seeds),
            record,
            facts={"changed": name, "value": value},
        )
        for name, value, settings in changes
    )


ONE_AT_A_TIME: Experiment[Budget] = Experiment(
    "sine-one-at-a-time",
    "Appendix A: each of Reptile's settings on sine waves, halved and doubled",
    BUDGETS["sine-one-at-a-time"],
    _units,
    on_divergence="record",
)
