"""How initializations are scored on few-shot tasks, when trained and while in training; the settings are
those of Nichol et al. 2018, appendix A."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import pandas as pd
import torch

from metalib.classification import Accuracies, accuracies, nearest_mean_accuracies
from metalib.config import TrainingConfig
from metalib.inner import SGD, Adam, AdamState, Optimizer
from metalib.params import Params, select
from metalib.tasks import generator
from metalib.tasks.fewshot import FewShot, draw_episodes
from metalib.training import Trained

SHOTS = (1, 5)
EVALUATION_STEPS = 50


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
    scored: list[Accuracies] = []
    if optimizer is None:
        scored = nearest_mean_accuracies(family, phi, episodes)
    else:
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
