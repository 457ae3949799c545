"""Table 1: 5-way 1-shot and 5-shot classification on Mini-ImageNet (Nichol et al. 2018, section 6.1).

One training run serves both shots and both modes of evaluation, because the paper trains 1-shot and 5-shot
alike; only the evaluation batch differs. The 16 validation classes are in neither training nor test.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from companion.budgets import TABLE_1 as BUDGETS
from companion.budgets import Budget
from companion.fewshot.pieces import Pieces
from companion.fewshot.scores import BOTH, Scoring, arrays, score
from companion.fewshot.settings import reptile_configs
from companion.intervals import Interval, difference, intervals_of, listed, over_seeds, over_tasks
from companion.results import Result
from companion.running.experiment import Checkpoint, Experiment, Unit
from companion.verdicts import each
from metalib.data.classes import ClassPool
from metalib.data.miniimagenet import miniimagenet
from metalib.tasks.fewshot import FewShot
from metalib.training import Trained, TrainingConfig

WAYS = 5
TRAIN_SHOTS = 15
BATCH = 10
INNER_STEPS = 8
EVALUATION_BATCHES = {1: 5, 5: 15}
"""Images per inner step of the evaluation, by shots."""


@dataclass(frozen=True)
class RecordEachShot:
    """What is kept of a run: accuracies, of every number of shots by its own settings, history and weights.

    Attributes:
        scorings: how the initializations are scored, for some shots each.
    """

    scorings: tuple[Scoring, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return everything that decides what is recorded, as JSON can hold it."""
        return {"kind": "RecordEachShot", "scorings": [scoring.as_dict() for scoring in self.scorings]}

    @property
    def inner_steps(self) -> int:
        """Inner steps that scoring one run takes."""
        return sum(scoring.inner_steps for scoring in self.scorings)

    def __call__(
        self,
        family: FewShot,
        trained: Trained,
        checkpoint: Checkpoint | None = None,
        callback: Callable[[int], None] | None = None,
    ) -> Result:
        """Return the accuracy of every run, its history, and its weights."""
        pieces = Pieces.resumed(checkpoint, callback)
        scored = [
            score(family, trained, scoring, pieces=pieces.of(str(i)))
            for i, scoring in enumerate(self.scorings)
        ]
        accuracy = pd.concat(scored, ignore_index=True)
        return Result({"accuracy": accuracy, "history": trained.history}, arrays(trained))


def family(pool: ClassPool) -> FewShot:
    """Return the tasks that the paper trains Reptile on: 5 classes, 15 images each, minibatches of 10."""
    return FewShot(pool, WAYS, TRAIN_SHOTS, BATCH)


def configs(iterations: int, seeds: Sequence[int]) -> tuple[TrainingConfig, ...]:
    """Return the paper's Reptile runs, one per seed: as 5-way Omniglot, but with 8 inner steps.

    Args:
        iterations: outer iterations.
        seeds: one run each.
    """
    return tuple(replace(config, k=INNER_STEPS) for config in reptile_configs(WAYS, iterations, seeds))


def scorings(tasks: int, classes: tuple[str, ...] = BOTH) -> tuple[Scoring, ...]:
    """Return how initializations are scored that are trained for any number of shots: one way for each.

    Args:
        tasks: evaluation tasks per run, kind of classes and number of shots.
        classes: the kinds of classes, "train" or "test".
    """
    return tuple(
        Scoring(tasks, batch=batch, shots=(shots,), classes=classes)
        for shots, batch in EVALUATION_BATCHES.items()
    )


def units(
    pool: Callable[[], ClassPool],
    budget: Budget,
    seeds: tuple[int, ...],
    classes: tuple[str, ...] = BOTH,
) -> tuple[Unit[FewShot], ...]:
    """Return the runs of Reptile.

    Args:
        pool: makes the classes and their images.
        budget: outer iterations, and tasks to score on.
        seeds: one run each.
        classes: what kinds of classes they are scored on, "train" or "test".
    """
    tasks, record = family(pool()), RecordEachShot(scorings(budget.evaluation_tasks, classes))
    # A run takes hours, so each is a unit of its own: kept when it is finished, and side by side with others.
    return tuple(
        Unit(f"reptile-seed-{config.seed}", tasks, (config,), record)
        for config in configs(budget.iterations, seeds)
    )


TABLE_1: Experiment[Budget] = Experiment(
    "table1",
    "Table 1: Reptile, 5 ways, 1 and 5 shots, Mini-ImageNet",
    BUDGETS,
    partial(units, miniimagenet),
)


PAPER = {
    ("reptile", 1, "inductive"): (47.07, 0.26),
    ("reptile", 5, "inductive"): (62.74, 0.37),
    ("reptile", 1, "transductive"): (49.97, 0.32),
    ("reptile", 5, "transductive"): (65.99, 0.58),
    ("maml", 1, "transductive"): (48.70, 1.84),
    ("maml", 5, "transductive"): (63.11, 0.92),
    ("fomaml", 1, "transductive"): (48.07, 1.75),
    ("fomaml", 5, "transductive"): (63.15, 0.91),
}
"""Table 1: accuracy in percent and half the 95 % interval, by algorithm, shots and mode."""
NEAR = 6.0
"""Percentage points below the paper that a run a tenth as long was expected not to reach. Written down before
any run on Mini-ImageNet was scored."""


def compare(accuracy: pd.DataFrame, classes: str = "test") -> pd.DataFrame:
    """Put our accuracies beside the paper's.

    Args:
        accuracy: the table of that name of `TABLE_1`.
        classes: "test" or "train".

    Returns:
        One row per `algorithm`, `shots` and `mode`: `ours`, the mean over the `seeds`; `low` and `high`, the
        95 % interval over them (Student's t), which one seed does not give; `over_tasks`, half the 95 %
        interval that comes from the finite number of tasks alone, of which even one seed has one; the
        `paper`'s accuracy and half interval, "not a number" where the paper has no such cell.
    """
    chosen = accuracy[(accuracy.classes == classes) & (accuracy["mode"] != "difference")]
    keys = ["algorithm", "shots", "mode"]
    summary = over_seeds(chosen, keys, "accuracy")
    alone = over_tasks(chosen, keys)
    cells = [PAPER.get(key, (np.nan, np.nan)) for key in summary[keys].itertuples(index=False, name=None)]
    return summary.drop(columns="mean").assign(
        ours=alone["mean"],
        over_tasks=alone.high - alone["mean"],
        paper=[mean for mean, _ in cells],
        paper_half_interval=[half for _, half in cells],
    )


def test_accuracy(accuracy: pd.DataFrame) -> pd.DataFrame:
    """Return what these networks reach on unseen test tasks, of which even one network has an interval.

    Args:
        accuracy: the table of that name of `TABLE_1`.

    Returns:
        One row per `shots` and `mode`, "difference" among them (transductive minus inductive, paired by
        task): the `mean` over all tasks of all seeds in percent, `low` and `high` of its 95 % interval over
        the tasks, the `paper`'s accuracy, and `ways`. The interval says nothing about other seeds.
    """
    found = over_tasks(accuracy[accuracy.classes == "test"], ["shots", "mode"])
    cells = found[["shots", "mode"]].itertuples(index=False, name=None)
    published = [PAPER.get(("reptile", *cell), (np.nan, np.nan))[0] for cell in cells]
    return found.assign(ways=WAYS, paper=published)


def beyond_paper(accuracy: pd.DataFrame) -> list[Interval]:
    """Return by how many points each cell of `compare` is above the paper's: over tasks, not over seeds."""
    return [
        difference((row.ours, row.over_tasks), (row.paper, row.paper_half_interval))
        for _, row in compare(accuracy).iterrows()
    ]


def expected(accuracy: pd.DataFrame) -> pd.DataFrame:
    """Return what was said of the run before it was scored, what was measured, and the verdicts.

    The verdicts are about the networks that were trained: their intervals are over tasks, not over seeds.

    Args:
        accuracy: the table of that name of `TABLE_1`.
    """
    measured, cells = test_accuracy(accuracy), compare(accuracy)
    helps = measured[measured["mode"] == "difference"]
    gains = {
        f"{row.shots}-shot": gain for row, gain in zip(helps.itertuples(), intervals_of(helps), strict=True)
    }
    names = [f"{row.shots}-shot {row.mode}" for row in cells.itertuples()]
    gaps = dict(zip(names, beyond_paper(accuracy), strict=True))
    farthest = min(gaps, key=lambda name: gaps[name].mean)
    rows = [
        ("transduction helps, with one shot and with five", listed(gains), each(gains.values(), above=0.0)),
        ("it ends below the paper in all four cells", listed(gaps), each(gaps.values(), below=0.0)),
        (
            f"it ends less than {NEAR:g} points below in all four cells",
            f"farthest: {listed({farthest: gaps[farthest]})}",
            each(gaps.values(), above=-NEAR),
        ),
    ]
    return pd.DataFrame(rows, columns=["statement", "measured (points)", "verdict"])
