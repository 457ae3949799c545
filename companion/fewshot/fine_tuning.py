"""Pre-training, fine-tuned as well as a grid can find: the baseline that section 7 expects to be strong.

`table2-methods` fine-tunes with the settings of meta-learning, which may not suit pre-trained features. Here
step size, number of steps, optimizer and what is fine-tuned are chosen on validation classes, for every seed
by itself: 100 of the classes that are not trained on. The chosen setting is scored on the other ones.

Said before this was run: "a strong baseline" means that the best fine-tuning is at most `MARGIN` points less
accurate than Reptile with one shot, transductive, by the 95 % interval over seeds of the paired difference.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from companion.budgets import BUDGETS, Budget
from companion.fewshot.pretraining import HEAD
from companion.fewshot.scores import Scoring, score
from companion.fewshot.settings import on_both_pools, reptile_family
from companion.results import Result, load_result
from companion.running.experiment import Unit
from metalib.data.classes import ClassPool, Split
from metalib.errors import require
from metalib.optimizers import OPTIMIZERS, Masked, Optimizer
from metalib.params import Params
from metalib.tasks.fewshot import FewShot
from metalib.training import Trained, TrainingConfig

MARGIN = 2.0
"""Percentage points."""
WAYS = 5
VALIDATION_CLASSES = 100
VALIDATION_TASKS = 60
STORED = Path(__file__).parents[2] / "results" / "table2-methods" / "laptop"
"""The pre-trained features of three seeds, as the repository holds them."""


@dataclass(frozen=True)
class FineTuning:
    """One way to fine-tune.

    Attributes:
        optimizer: "sgd", or "adam" that starts without moments.
        alpha: step size on the summed loss.
        steps: steps of 5 images.
        tuned: "all" weights, or the new "head" alone.
    """

    optimizer: str
    alpha: float
    steps: int
    tuned: str

    def learner(self, config: TrainingConfig) -> Optimizer:
        """Return the optimizer; the run's own is not used."""
        chosen = OPTIMIZERS[self.optimizer](self.alpha, 0.0)
        return Masked(chosen, HEAD) if self.tuned == "head" else chosen


STEP_SIZES = {"sgd": (0.001, 0.003, 0.01, 0.03, 0.1), "adam": (0.0001, 0.0003, 0.001, 0.003)}
GRID = tuple(
    FineTuning(optimizer, alpha, steps, tuned)
    for optimizer, alphas in STEP_SIZES.items()
    for alpha, steps, tuned in product(alphas, (10, 50), ("all", "head"))
)


@dataclass(frozen=True)
class Pretrained(FewShot):
    """Few-shot tasks whose initial weights are pre-trained features under a new last layer.

    Attributes:
        features: hash of the file that holds the features.
    """

    features: str = ""

    def initialize(self, seed: int) -> Params:
        """Return the features that the seed pre-trained, as a stack of one."""
        return {**self.net.initialize(seed), **kept_of(load_result(STORED), "pretraining/phi/", seed)}


def kept_of(stored: Result, prefix: str, seed: int) -> Params:
    """Return the arrays of a stored result whose names begin with the prefix, those of one seed alone.

    Args:
        stored: a result whose arrays have one entry per seed.
        prefix: such as "reptile-5-way/phi/"; the names returned are without it.
        seed: one of those that were run.

    Raises:
        InputError: if that seed was not run.
    """
    seeds = stored.provenance["config"]["seeds"]
    require(seed in seeds, f"seed is {seed}; weights are stored of the seeds {', '.join(map(str, seeds))}")
    place = seeds.index(seed)
    return {
        name.removeprefix(prefix): torch.from_numpy(array[place : place + 1])
        for name, array in stored.arrays.items()
        if name.startswith(prefix)
    }


def fingerprint_of(folder: Path) -> str:
    """Return a short hash of the arrays of a stored result.

    Raises:
        InputError: if they are not there.
    """
    path = folder / "arrays.npz"
    require(path.exists(), f"no weights at {path}; this experiment needs a checkout with its results/")
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


@dataclass(frozen=True)
class RecordGrid:
    """What is kept: the accuracy of every way on validation classes, of the best ones on the others.

    Attributes:
        tasks: that the best ways are scored on.
    """

    tasks: int

    def as_dict(self) -> dict[str, Any]:
        """Return everything that decides what is recorded, as JSON can hold it."""
        grid = [asdict(way) for way in GRID]
        return {
            "kind": "RecordGrid",
            "tasks": self.tasks,
            "grid": grid,
            "validation_classes": VALIDATION_CLASSES,
            "validation_tasks": VALIDATION_TASKS,
        }

    def __call__(self, family: Pretrained, trained: Trained) -> Result:
        """Return the table `accuracy`; `classes` says on which."""
        split = family.pool.split(trained.configs[0].seed)
        count = min(VALIDATION_CLASSES, len(split.test) // 4)
        validation, test = (
            replace(family, pool=replace(family.pool, fixed=Split(split.train, chosen), rotate_train=False))
            for chosen in (split.test[:count], split.test[count:])
        )
        few = min(VALIDATION_TASKS, self.tasks)
        tried = pd.concat([_scored(validation, trained, way, few, "validation") for way in GRID])
        together = tried[tried["mode"] == "transductive"].reset_index(drop=True)
        best = [GRID[together.accuracy.where(together.tuned == tuned).argmax()] for tuned in ("all", "head")]
        final = pd.concat([_scored(test, trained, way, self.tasks, "test") for way in best])
        return Result({"accuracy": pd.concat([tried, final], ignore_index=True)})


def _scored(family: Pretrained, trained: Trained, way: FineTuning, tasks: int, classes: str) -> pd.DataFrame:
    fresh = replace(trained, inner=way.learner(trained.configs[0]).initial_state(trained.phi))
    scoring = Scoring(tasks, steps=way.steps, batch=WAYS, shots=(1,), classes=("test",))
    return score(family, fresh, scoring, way.learner).assign(**asdict(way), classes=classes)


def _units(
    pool: Callable[[], ClassPool], budget: Budget, seeds: tuple[int, ...]
) -> tuple[Unit[Pretrained], ...]:
    shared = reptile_family(pool(), WAYS)
    family = Pretrained(shared.pool, WAYS, shared.shots, shared.batch, features=fingerprint_of(STORED))
    # One outer iteration that moves nothing: the runs are those that were pre-trained.
    still = partial(TrainingConfig, "joint", k=1, epsilon=0.0, iterations=budget.iterations, tasks=1)
    return tuple(
        Unit(f"pretrained-seed-{seed}", family, (still(seed=seed),), RecordGrid(budget.evaluation_tasks))
        for seed in seeds
    )


def chosen(accuracy: pd.DataFrame) -> pd.DataFrame:
    """Return what the way that is best on validation classes reaches on the others, transductive, per seed.

    Args:
        accuracy: the table of that name of `FINE_TUNING`.
    """
    together = accuracy[accuracy["mode"] == "transductive"]
    way = ["seed", *(field.name for field in fields(FineTuning))]
    tried = together[together.classes == "validation"].set_index(way).accuracy.rename("before")
    both = together[together.classes == "test"].join(tried, on=way, how="inner").reset_index(drop=True)
    # Ways that diverged come last; where all did, what is left is no number.
    return both.loc[both.assign(before=both.before.fillna(-np.inf)).groupby("seed").before.idxmax()]


FINE_TUNING, FINE_TUNING_GLYPHS = on_both_pools(
    "fine-tuning",
    "pre-training on Omniglot, fine-tuned with the best of a grid, 5-way 1-shot",
    BUDGETS["fine-tuning"],
    _units,
)
