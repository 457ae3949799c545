"""The four methods on Omniglot from one common inner loop, at a small budget: what a price buys there.

Three minibatches of 25 images that do not overlap, α = 0.003 on the summed loss as in section 6.2, Adam
outside. λ = 1 / ((k − 1) α), and two steps of conjugate gradients, which reach the leading order. Where the
loss curves downward a solve ends early; how many do, `bent` says. Implicit MAML is scored with its own,
proximal, inner steps. Nothing was predicted of these runs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from companion.budgets import BUDGETS, Budget
from companion.fewshot.scores import LearningCurve
from companion.fewshot.settings import on_both_pools
from companion.implicit.training import ImplicitConfig, SolverMonitor
from companion.inner_gradients.settings import (
    ALPHA,
    WATCHED_TASKS,
    RecordCurve,
    disjoint_family,
    scoring,
)
from companion.running.experiment import Unit
from companion.sine.experiments import ADAM_STEP
from metalib.data.classes import ClassPool
from metalib.optimizers import State
from metalib.params import Params
from metalib.tasks.fewshot import FewShot
from metalib.training import TrainingConfig

K = 3
SOLVER_STEPS = 2
METHODS = ("maml", "fomaml", "reptile", "imaml")


@dataclass(frozen=True)
class WatchCharacters:
    """Accuracy on a few unseen tasks, and how the solver of implicit MAML does."""

    tasks: int = 8

    @property
    def columns(self) -> tuple[str, ...]:
        """Those of `LearningCurve` and of `SolverMonitor`."""
        return *self._curve.columns, *self._solver.columns

    @property
    def _curve(self) -> LearningCurve:
        return LearningCurve(scoring(WATCHED_TASKS))

    @property
    def _solver(self) -> SolverMonitor:
        return SolverMonitor(self.tasks)

    def as_dict(self) -> dict[str, Any]:
        """Return everything that decides the numbers."""
        return {"kind": "WatchCharacters", "tasks": self.tasks, "scoring": scoring(WATCHED_TASKS).as_dict()}

    def __call__(
        self, family: FewShot, configs: Sequence[TrainingConfig], phi: Params, inner: State, block: int
    ) -> np.ndarray:
        """Return the numbers of every run."""
        parts = (watch(family, configs, phi, inner, block) for watch in (self._curve, self._solver))
        return np.concatenate(list(parts), 1)


def run(algorithm: str, iterations: int, seed: int) -> TrainingConfig:
    """Return one run."""
    shared: dict[str, Any] = {
        "seed": seed,
        "k": K,
        "alpha": ALPHA,
        "epsilon": ADAM_STEP,
        "outer": "adam",
        "iterations": iterations,
    }
    if algorithm == "imaml":
        return ImplicitConfig(strength=1 / ((K - 1) * ALPHA), solver_steps=SOLVER_STEPS, **shared)
    return TrainingConfig(algorithm=algorithm, **shared)


def _units(
    pool: Callable[[], ClassPool], budget: Budget, seeds: tuple[int, ...]
) -> tuple[Unit[FewShot], ...]:
    family = disjoint_family(pool(), K)
    record = RecordCurve(scoring(budget.evaluation_tasks))
    return tuple(
        Unit(
            f"{name}-seed-{seed}",
            family,
            (run(name, budget.iterations, seed),),
            record,
            WatchCharacters(),
            {"method": name},
        )
        for name in METHODS
        for seed in seeds
    )


OMNIGLOT_COSTS, OMNIGLOT_COSTS_GLYPHS = on_both_pools(
    "omniglot-costs", "The four methods from one inner loop", BUDGETS["omniglot-costs"], _units
)
