"""Sine runs that tell cost from other reasons: all methods at one k, and MAML at more and more steps.

At k = 5 the four methods share tasks, minibatches, α and the outer optimizer, so that they can be compared by
what a second or an operation buys. At k = 10 and 20 the 50 points of a task are used up, and minibatches
return to old points, the last one too; or else every minibatch is drawn anew, and nothing returns.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from companion.budgets import BUDGETS, Budget
from companion.implicit.training import ImplicitConfig, SolverMonitor
from companion.running.experiment import Experiment, Unit
from companion.sine.experiments import ADAM_STEP
from companion.sine.scores import EVALUATION_SEED, RecordAdaptation
from metalib.evaluation.regression import adaptation_errors
from metalib.optimizers import State
from metalib.params import Params
from metalib.rng import generator
from metalib.tasks.family import BLOCK
from metalib.tasks.sine import INTERVAL, Sine, sample_support, sample_tasks
from metalib.training import TrainingConfig

KS = (5, 10, 20)
ALPHA = 0.02
COMMON_K = 5
STRENGTH = 1 / ((COMMON_K - 1) * ALPHA)
"""λ with which the exact solution has MAML's weight of AvgGradInner."""
STRONGER = (25.0, 50.0)
"""λ of further runs, set after those with `STRENGTH` had diverged."""


@dataclass(frozen=True)
class FreshSine(Sine):
    """Sine waves whose minibatches are points uniform on [−5, 5], drawn anew for every inner step."""

    def as_dict(self) -> dict[str, Any]:
        """Return everything that decides the tasks and the model, as JSON can hold it."""
        return {**super().as_dict(), "kind": "FreshSine"}

    def sample(self, seed: int, block: int, tasks: int, steps: int) -> dict[str, np.ndarray]:
        """Draw the minibatches of one block: `x` and `y` of shape [BLOCK, tasks, steps, batch, 1]."""
        rng = generator(seed, "fresh", block)
        waves = sample_tasks(rng, BLOCK * tasks)
        x = rng.uniform(*INTERVAL, size=(BLOCK * tasks, steps * self.batch))
        shape = (BLOCK, tasks, steps, self.batch, 1)
        return {"x": x.reshape(shape).astype(self.dtype), "y": waves(x).reshape(shape).astype(self.dtype)}


@dataclass(frozen=True)
class Watch:
    """What is measured on the way: the error on unseen tasks, and how the solver of implicit MAML does.

    Attributes:
        tasks: unseen sine waves, the same after every block.
        steps: gradient steps after which the error is taken.
    """

    tasks: int = 100
    steps: int = 10

    @property
    def columns(self) -> tuple[str, ...]:
        """The error, and the numbers of `SolverMonitor`."""
        return "mse", *SolverMonitor().columns

    def as_dict(self) -> dict[str, Any]:
        """Return everything that decides the numbers."""
        return {"kind": "Watch", **asdict(self), "evaluation_seed": EVALUATION_SEED}

    def __call__(
        self, family: Sine, configs: Sequence[TrainingConfig], phi: Params, inner: State, block: int
    ) -> np.ndarray:
        """Return the numbers of every run."""
        support = sample_support(EVALUATION_SEED, self.tasks)
        errors = adaptation_errors(family.model, phi, support, configs[0].alpha, self.steps)
        solver = SolverMonitor()(family, configs, phi, inner, block)
        return np.concatenate([errors[:, :, -1].mean(1)[:, None], solver], 1)


def watched(tasks: int) -> int:
    """Return on how many unseen tasks a run is scored while in training: a third of those at its end."""
    return math.ceil(tasks / 3)


def runs(
    algorithms: Sequence[str], k: int, iterations: int, seeds: Sequence[int], strength: float = STRENGTH
) -> list[TrainingConfig]:
    """Return the runs of several methods, with what they share; λ is implicit MAML's."""
    shared: dict[str, Any] = {
        "k": k,
        "alpha": ALPHA,
        "iterations": iterations,
        "outer": "adam",
        "epsilon": ADAM_STEP,
    }
    return [
        ImplicitConfig(seed=seed, strength=strength, **shared)
        if name == "imaml"
        else TrainingConfig(algorithm=name, seed=seed, **shared)
        for name in algorithms
        for seed in seeds
    ]


def _units(budget: Budget, seeds: tuple[int, ...]) -> tuple[Unit[Sine], ...]:
    record, watch = RecordAdaptation(budget.evaluation_tasks), Watch(watched(budget.evaluation_tasks))
    families: dict[str, Sine] = {"returning": Sine(), "fresh": FreshSine()}
    many = [
        Unit(
            f"{name}-k-{k}",
            family,
            tuple(runs(("maml", "reptile"), k, budget.iterations, seeds)),
            record,
            watch,
            {"minibatches": name, "k": k, "compared": "many steps"},
        )
        for name, family in families.items()
        for k in KS
    ]
    others = [
        Unit(
            f"common-{name}",
            Sine(),
            tuple(runs((name,), COMMON_K, budget.iterations, seeds)),
            record,
            watch,
            {"minibatches": "returning", "k": COMMON_K, "compared": f"common {name}"},
        )
        for name in ("fomaml", "imaml")
    ]
    return (*many, *others)


COSTS = Experiment(
    "sine-costs",
    "All methods at one k, and MAML at many steps, with minibatches that return and with fresh ones",
    BUDGETS["sine-costs"],
    _units,
)


def _implicit_units(budget: Budget, seeds: tuple[int, ...]) -> tuple[Unit[Sine], ...]:
    record, watch = RecordAdaptation(budget.evaluation_tasks), Watch(watched(budget.evaluation_tasks))
    return tuple(
        Unit(
            f"pull-{strength:g}",
            Sine(),
            tuple(runs(("imaml",), COMMON_K, budget.iterations, seeds, strength)),
            record,
            watch,
            {"pull": strength},
        )
        for strength in STRONGER
    )


IMPLICIT = Experiment(
    "sine-implicit",
    "Implicit MAML with stronger pulls, else as in sine-costs",
    BUDGETS["sine-implicit"],
    _implicit_units,
    on_divergence="record",
)
