"""What the few-shot experiments share: budgets, the paper's settings, and twins on both pools of classes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from metalib.config import TrainingConfig
from metalib.experiments import Budget, Experiment, Unit
from metalib.store import Result
from metalib.tasks.classes import ClassPool
from metalib.tasks.fewshot import FewShot
from metalib.tasks.glyphs import glyphs
from metalib.tasks.omniglot import omniglot
from metalib.training import Trained


@dataclass(frozen=True)
class FewShotBudget(Budget):
    """How much work a few-shot experiment may do: the fields of `Budget` are for 5-way tasks.

    Attributes:
        iterations_20_way: outer iterations of 20-way runs.
        evaluation_tasks_20_way: tasks on which 20-way initializations are scored.
    """

    iterations_20_way: int = 0
    evaluation_tasks_20_way: int = 0

    def __str__(self) -> str:
        """Say it to people."""
        if not self.iterations_20_way:
            return super().__str__()
        return f"5-way {super().__str__()}; 20-way {self.for_ways(20)}"

    def for_ways(self, ways: int) -> Budget:
        """Return the budget of runs with that many classes per task."""
        if ways == 20:
            return Budget(self.iterations_20_way, self.evaluation_tasks_20_way)
        return Budget(self.iterations, self.evaluation_tasks)


@dataclass(frozen=True)
class Setting:
    """The hyper-parameters that depend on the number of classes (Nichol et al. 2018, appendix A)."""

    alpha: float
    batch: int
    k: int
    evaluation_batch: int


SETTINGS = {
    5: Setting(alpha=0.001, batch=10, k=5, evaluation_batch=5),
    20: Setting(alpha=0.0005, batch=20, k=10, evaluation_batch=10),
}
TRAIN_SHOTS = 10
META_BATCH = 5


def reptile_configs(ways: int, budget: FewShotBudget, seeds: Sequence[int]) -> tuple[TrainingConfig, ...]:
    """Return the paper's Reptile runs, one per seed: inner Adam with β1 = 0, five tasks, ε from 1 to 0."""
    setting = SETTINGS[ways]
    return tuple(
        TrainingConfig(
            algorithm="reptile",
            seed=seed,
            k=setting.k,
            alpha=setting.alpha,
            epsilon=1.0,
            iterations=budget.for_ways(ways).iterations,
            tasks=META_BATCH,
            inner="adam",
        )
        for seed in seeds
    )


def reptile_unit(pool: ClassPool, ways: int, budget: FewShotBudget, seeds: Sequence[int]) -> Unit:
    """Return the paper's Reptile runs with the family they train on."""
    family = FewShot(pool, ways, TRAIN_SHOTS, SETTINGS[ways].batch)
    return Unit(f"reptile-{ways}-way", family, reptile_configs(ways, budget, seeds))


def on_both_pools(
    name: str,
    title: str,
    budgets: Mapping[str, Budget],
    units: Callable[[Callable[[], ClassPool], Budget, tuple[int, ...]], tuple[Unit, ...]],
    record: Callable[[Unit, Trained, Budget], Result],
    *,
    keep_diverged: bool = False,
) -> tuple[Experiment, Experiment]:
    """Return an experiment on Omniglot, and its twin on the embedded glyphs for machines without Omniglot."""
    on_omniglot = Experiment(
        name, f"{title}, Omniglot", budgets, partial(units, omniglot), record, keep_diverged
    )
    on_glyphs = replace(
        on_omniglot, name=f"{name}-glyphs", title=f"{title}, glyphs", units=partial(units, glyphs)
    )
    return on_omniglot, on_glyphs
