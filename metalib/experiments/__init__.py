"""Experiments: one module per figure or table, each a grid of runs and what is recorded of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from metalib.config import TrainingConfig
from metalib.store import Result
from metalib.tasks import TaskFamily
from metalib.training import Monitor, Trained

SEEDS = (0, 1, 2)
"""Three random seeds, as in the paper's appendix A."""


@dataclass(frozen=True)
class Budget:
    """How much work an experiment may do.

    Attributes:
        iterations: outer iterations of every run.
        evaluation_tasks: unseen tasks on which every trained initialization is scored.
    """

    iterations: int
    evaluation_tasks: int

    def __str__(self) -> str:
        """Say it to people."""
        return f"{self.iterations:,} outer iterations, {self.evaluation_tasks:,} evaluation tasks"


@dataclass(frozen=True)
class Unit:
    """Runs that are trained, recorded and stored together: often one run, at most one stack.

    Attributes:
        name: unique within the experiment; also the name of its files.
        family: the tasks, and the model that learns them.
        configs: the runs.
        monitor: what is measured while they are in training.
    """

    name: str
    family: TaskFamily
    configs: tuple[TrainingConfig, ...]
    monitor: Monitor | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the unit as JSON can hold it."""
        watched = {"monitor": repr(self.monitor)} if self.monitor else {}
        return {
            "name": self.name,
            "family": repr(self.family),
            "runs": [config.as_dict() for config in self.configs],
            **watched,
        }


@dataclass(frozen=True)
class Experiment:
    """A figure or table: its grid of runs, what is recorded, and its budgets.

    Attributes:
        name: what the command line calls it.
        title: one line for people.
        budgets: "smoke" (seconds), "quick" (about a minute), "paper" (the paper's settings), and "laptop"
            (hours on a few cores) where the paper's settings take days.
        units: maps (budget, seeds) to the runs, in units.
        record: maps a trained unit and its budget to its tables and arrays.
        keep_diverged: whether a run that diverges is a finding, recorded as numbers that are not finite.
    """

    name: str
    title: str
    budgets: Mapping[str, Budget]
    units: Callable[[Budget, tuple[int, ...]], tuple[Unit, ...]]
    record: Callable[[Unit, Trained, Budget], Result]
    keep_diverged: bool = False
