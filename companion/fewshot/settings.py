"""What the few-shot experiments share: the paper's settings, and twins on both pools of classes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from companion.running.experiment import SEEDS, B, Experiment, Unit
from metalib.data.classes import ClassPool
from metalib.data.glyphs import glyphs
from metalib.data.omniglot import omniglot
from metalib.tasks.fewshot import FewShot
from metalib.training import TrainingConfig
from metalib.training.loop import OnDivergence


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


def reptile_configs(ways: int, iterations: int, seeds: Sequence[int]) -> tuple[TrainingConfig, ...]:
    """Return the paper's Reptile runs, one per seed: inner Adam with β1 = 0, five tasks, ε from 1 to 0.

    Args:
        ways: classes per task, 5 or 20.
        iterations: outer iterations.
        seeds: one run each.
    """
    setting = SETTINGS[ways]
    return tuple(
        TrainingConfig(
            algorithm="reptile",
            seed=seed,
            k=setting.k,
            alpha=setting.alpha,
            epsilon=1.0,
            iterations=iterations,
            tasks=META_BATCH,
            inner="adam",
        )
        for seed in seeds
    )


def reptile_family(pool: ClassPool, ways: int) -> FewShot:
    """Return the tasks that the paper trains Reptile on.

    Args:
        pool: the classes and their images.
        ways: classes per task, 5 or 20.
    """
    return FewShot(pool, ways, TRAIN_SHOTS, SETTINGS[ways].batch)


def on_both_pools(
    name: str,
    title: str,
    budgets: Mapping[str, B],
    units: Callable[[Callable[[], ClassPool], B, tuple[int, ...]], tuple[Unit[Any], ...]],
    *,
    on_divergence: OnDivergence = "raise",
    seeds: tuple[int, ...] = SEEDS,
) -> tuple[Experiment[B], Experiment[B]]:
    """Return an experiment on Omniglot, and its twin on the embedded glyphs for machines without Omniglot.

    Args:
        name: what the command line calls the first; the second is called `name`-glyphs.
        title: one line for readers, without the name of the pool.
        budgets: those of `budgets.BUDGETS`, by name.
        units: maps (what makes the pool, budget, seeds) to the runs.
        on_divergence: "raise" or "record".
        seeds: what to run if nothing else is asked for.
    """
    on_omniglot = Experiment(
        name, f"{title}, Omniglot", budgets, partial(units, omniglot), on_divergence, seeds=seeds
    )
    on_glyphs = replace(
        on_omniglot, name=f"{name}-glyphs", title=f"{title}, glyphs", units=partial(units, glyphs)
    )
    return on_omniglot, on_glyphs
