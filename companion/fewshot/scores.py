"""How initializations are scored on few-shot tasks, when trained and while in training; the settings are
those of Nichol et al. 2018, appendix A."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any

import numpy as np
import pandas as pd
import torch

from companion.fewshot.nearest_mean import nearest_mean_accuracies
from companion.fewshot.pieces import Pieces
from companion.results import Result
from metalib.evaluation.classification import Accuracies, accuracies
from metalib.optimizers import Optimizer, State
from metalib.params import Params, select
from metalib.rng import generator
from metalib.tasks.episodes import Episodes, sample_episodes
from metalib.tasks.fewshot import FewShot
from metalib.training.config import TrainingConfig
from metalib.training.loop import Trained

SHOTS = (1, 5)
EVALUATION_STEPS = 50
BOTH = ("train", "test")
"""The kinds of classes."""


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
    classes: tuple[str, ...] = BOTH

    @property
    def inner_steps(self) -> int:
        """Inner steps that scoring one run takes."""
        return len(self.classes) * len(self.shots) * self.tasks * self.steps

    def as_dict(self) -> dict[str, Any]:
        """Return the settings as JSON can hold them."""
        return {**asdict(self), "shots": list(self.shots), "classes": list(self.classes)}


@dataclass(frozen=True)
class RecordAccuracy:
    """What is kept of few-shot runs: accuracy on unseen tasks, history, and the weights if asked for.

    Attributes:
        scoring: how the initializations are scored.
        weights: whether trained weights and second moments are kept.
    """

    scoring: Scoring
    weights: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Return everything that decides what is recorded, as JSON can hold it."""
        return {"kind": "RecordAccuracy", "scoring": self.scoring.as_dict(), "weights": self.weights}

    def __call__(self, family: FewShot, trained: Trained) -> Result:
        """Return the accuracy of every run, and its history."""
        tables = {"accuracy": score(family, trained, self.scoring), "history": trained.history}
        return Result(tables, arrays(trained) if self.weights else {})


@dataclass(frozen=True)
class LearningCurve:
    """Accuracy on unseen test classes while runs are in training: a `Monitor`.

    Fresh tasks at every measurement, the same for all runs of a seed. Its single values are noisy; smooth
    them, as the authors' monitor asks for too.

    Attributes:
        scoring: how the initialization is scored; its first shots and classes are used.
    """

    scoring: Scoring

    @property
    def columns(self) -> tuple[str, ...]:
        """Accuracy in percent, in both modes."""
        return ("transductive", "inductive")

    def as_dict(self) -> dict[str, Any]:
        """Return everything that decides what is measured, as JSON can hold it."""
        return {"kind": "LearningCurve", "scoring": self.scoring.as_dict()}

    def __call__(
        self, family: FewShot, configs: Sequence[TrainingConfig], phi: Params, inner: State, block: int
    ) -> np.ndarray:
        """Return the accuracies of every run, [runs, 2]."""
        classes, shots = self.scoring.classes[0], self.scoring.shots[0]
        rngs = [generator(config.seed, f"watch{classes}", block) for config in configs]
        scored = by_task(family, configs, phi, inner, self.scoring, classes, shots, rngs)
        return np.array([[100.0 * one.transductive.mean(), 100.0 * one.inductive.mean()] for one in scored])


def inner_optimizer(config: TrainingConfig) -> Optimizer:
    """Return the optimizer of the inner loop that a run was trained with."""
    return config.optimizer()


def score(
    family: FewShot,
    trained: Trained,
    scoring: Scoring,
    optimizer: Callable[[TrainingConfig], Optimizer] | None = inner_optimizer,
    pieces: Pieces | None = None,
) -> pd.DataFrame:
    """Score every run of a stack.

    Args:
        family: the tasks.
        trained: the runs; Adam goes on from their moments.
        scoring: how many tasks, and how they are learned.
        optimizer: what each run learns them with; by default, what it was trained with. With `None` nothing
            is adapted, and the nearest class mean decides.
        pieces: where scores are kept on the way; all tasks are scored at once if `None`.

    Returns:
        One row per run, kind of classes, shots and mode: the mean accuracy over tasks in percent and
        its standard error. The mode "difference" is transductive minus inductive, paired by task. A run
        whose weights are not finite has no accuracy but "not a number".
    """
    configs, rows = trained.configs, []
    for classes in scoring.classes:
        for shots in scoring.shots:
            part = pieces.of(f"{classes}-{shots}") if pieces else None
            scored = by_task(
                family, configs, trained.phi, trained.inner, scoring, classes, shots,
                optimizer=optimizer, pieces=part,
            )  # fmt: skip
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
    """Return the trained weights and the second moments, from which any shot can be scored again.

    Args:
        trained: the runs.
    """
    moments = {name: v for name, v in trained.inner.arrays().items() if name.startswith("second/")}
    weights = {f"phi/{name}": v for name, v in trained.phi.items()}
    return {name: v.cpu().numpy() for name, v in (weights | moments).items()}


def by_task(
    family: FewShot,
    configs: Sequence[TrainingConfig],
    phi: Params,
    inner: State,
    scoring: Scoring,
    classes: str,
    shots: int,
    rngs: Sequence[np.random.Generator] | None = None,
    optimizer: Callable[[TrainingConfig], Optimizer] | None = inner_optimizer,
    pieces: Pieces | None = None,
) -> list[Accuracies]:
    """Score every run, task by task; neighboring runs with one inner optimizer are adapted side by side.

    Args:
        family: the tasks.
        configs: the runs.
        phi: their weights.
        inner: the state from which the inner optimizer starts on every task.
        scoring: how many tasks, and how they are learned; its shots and classes are not used.
        classes: "train" or "test".
        shots: training images per class.
        rngs: what samples the tasks of each run; by default seed, side and shots decide them.
        optimizer: as in `score`.
        pieces: as in `score`.
    """
    episodes = [
        sample_episodes(
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

    def judge(some: Sequence[Episodes]) -> list[Accuracies]:
        if optimizer is None:
            return nearest_mean_accuracies(family, phi, some)
        scored: list[Accuracies] = []
        for learner, members in groupby(map(optimizer, configs)):
            runs = slice(len(scored), len(scored) + len(list(members)))
            scored += accuracies(family, select(phi, runs), some[runs], learner, inner.select(runs))
        return scored

    scored = pieces.score(judge, episodes, scoring.steps) if pieces else judge(episodes)
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
