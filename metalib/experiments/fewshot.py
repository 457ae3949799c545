"""What the few-shot experiments share: budgets, the paper's settings, and how initializations are scored."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby

import numpy as np
import pandas as pd
import torch

from metalib.classification import Accuracies, accuracies, nearest_mean_accuracies
from metalib.config import TrainingConfig
from metalib.experiments import Budget, Experiment, Unit
from metalib.inner import SGD, Adam, AdamState, Optimizer
from metalib.params import Params, select
from metalib.store import Result
from metalib.tasks import generator
from metalib.tasks.classes import ClassPool
from metalib.tasks.fewshot import FewShot, draw_episodes
from metalib.tasks.glyphs import glyphs
from metalib.tasks.omniglot import omniglot
from metalib.training import Trained

SHOTS = (1, 5)


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
EVALUATION_STEPS = 50


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


@dataclass(frozen=True)
class Scoring:
    """How trained initializations are scored.

    Attributes:
        tasks: evaluation tasks per run, kind of classes and number of shots.
        steps: inner steps.
        batch: images per inner step; 0 for all training images of the task.
        shots: training images per class.
        classes: "train", "test" or both.
    """

    tasks: int
    steps: int = EVALUATION_STEPS
    batch: int = 5
    shots: tuple[int, ...] = SHOTS
    classes: tuple[str, ...] = ("train", "test")


@dataclass(frozen=True)
class LearningCurve:
    """Accuracy on unseen test classes while runs are in training: a `Monitor`.

    Fresh tasks at every measurement, the same for all runs of a seed. Its single values are noisy; smooth
    them, as the authors' monitor asks for too.

    Attributes:
        family: says which pool the images come from, and how many classes a task has.
        scoring: how the initialization is scored; its first shots and classes are used.
    """

    family: FewShot
    scoring: Scoring

    @property
    def columns(self) -> tuple[str, ...]:
        """Accuracy in percent, in both modes."""
        return ("transductive", "inductive")

    def __call__(
        self, configs: Sequence[TrainingConfig], phi: Params, inner: AdamState | None, block: int
    ) -> np.ndarray:
        """Return the accuracies of every run, [runs, 2]."""
        classes, shots = self.scoring.classes[0], self.scoring.shots[0]
        rngs = [generator(config.seed, f"watch{classes}", block) for config in configs]
        scored = _accuracies(self.family, configs, phi, inner, self.scoring, classes, shots, rngs)
        return np.array([[100.0 * one.transductive.mean(), 100.0 * one.inductive.mean()] for one in scored])


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


def inner_optimizer(config: TrainingConfig) -> Optimizer:
    """Return the optimizer of the inner loop that a run was trained with."""
    return SGD(config.alpha) if config.inner == "sgd" else Adam(config.alpha, config.beta1)


def score(
    family: FewShot,
    trained: Trained,
    scoring: Scoring,
    optimizer: Callable[[TrainingConfig], Optimizer] | None = inner_optimizer,
) -> pd.DataFrame:
    """Score every run of a stack.

    Args:
        family: the tasks.
        trained: the runs; Adam goes on from their moments.
        scoring: how many tasks, and how they are learned.
        optimizer: what each run learns them with; by default, what it was trained with. With `None` nothing
            is adapted, and the nearest class mean decides.

    Returns:
        One row per run, kind of classes, shots and mode: the mean accuracy over tasks in percent and
        its standard error. The mode "difference" is transductive minus inductive, paired by task. A run
        whose weights are not finite has no accuracy but "not a number".
    """
    configs, rows = trained.configs, []
    for classes in scoring.classes:
        for shots in scoring.shots:
            scored = _accuracies(
                family, configs, trained.phi, trained.inner, scoring, classes, shots, optimizer=optimizer
            )
            for config, one in zip(configs, scored, strict=True):
                label = {
                    "algorithm": config.algorithm,
                    "seed": config.seed,
                    "ways": family.ways,
                    "shots": shots,
                    "classes": classes,
                }
                rows += [{**label, **row} for row in _summaries(one)]
    return pd.DataFrame(rows)


def arrays(trained: Trained) -> dict[str, np.ndarray]:
    """Return the trained initializations and the second moments, from which any shot can be scored again."""
    kept = {f"phi/{name}": value.cpu().numpy() for name, value in trained.phi.items()}
    if trained.inner is not None:
        kept |= {f"second/{name}": value.cpu().numpy() for name, value in trained.inner.second.items()}
    return kept


def _accuracies(
    family: FewShot,
    configs: Sequence[TrainingConfig],
    phi: Params,
    inner: AdamState | None,
    scoring: Scoring,
    classes: str,
    shots: int,
    rngs: Sequence[np.random.Generator] | None = None,
    optimizer: Callable[[TrainingConfig], Optimizer] | None = inner_optimizer,
) -> list[Accuracies]:
    """Score every run; neighbouring runs with the same inner optimizer are adapted side by side."""
    episodes = [
        draw_episodes(
            family.pool,
            config.seed,
            scoring.tasks,
            classes=classes,
            ways=family.ways,
            shots=shots,
            steps=scoring.steps,
            batch=scoring.batch or family.ways * shots,
            rng=rngs[r] if rngs else None,
        )
        for r, config in enumerate(configs)
    ]
    if optimizer is None:
        return nearest_mean_accuracies(family, phi, episodes)
    scored: list[Accuracies] = []
    for learner, members in groupby(map(optimizer, configs)):
        runs = slice(len(scored), len(scored) + len(list(members)))
        state = inner.select(runs) if inner is not None else None
        scored += accuracies(family, select(phi, runs), episodes[runs], learner, state)
    return [one if _is_finite(phi, r) else one.undefined() for r, one in enumerate(scored)]


def _is_finite(phi: Params, run: int) -> bool:
    return all(bool(torch.isfinite(value[run]).all()) for value in phi.values())


def _summaries(scored: Accuracies) -> list[dict[str, object]]:
    modes = {
        "transductive": scored.transductive,
        "inductive": scored.inductive,
        "difference": scored.transductive - scored.inductive,
    }
    return [
        {
            "mode": mode,
            "tasks": len(values),
            "accuracy": 100.0 * values.mean(),
            "standard_error": 100.0 * float(values.std(ddof=1)) / len(values) ** 0.5,
        }
        for mode, values in modes.items()
    ]
