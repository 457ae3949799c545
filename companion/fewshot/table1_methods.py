"""The other rows of Table 1, 5-way Mini-ImageNet: MAML and first-order MAML; and pre-training.

MAML and FOMAML are trained apart for one shot and for five, as Finn et al. (2017) did for Mini-ImageNet: 5
inner steps of α = 0.01 on all support images, 15 query images of each class, outer Adam of 0.001; 4 tasks per
outer iteration with one shot and 2 with five, as their appendix says (the usage line of their code says 4
for both). They evaluate with 10 steps. Their code clips every entry of the outer gradient to ±10; this one
does not. Network, images and evaluation tasks are those of Reptile, so that only the method differs.

Work is matched to Reptile's by *image gradients*: one image, forward and backward once. An outer iteration
of Reptile takes 5 tasks · 8 steps · 10 images = 400. One of FOMAML takes 4 · (5 · 5 + 75) = 400 with one shot
and 2 · (5 · 25 + 75) = 400 with five, so it gets as many iterations. MAML has a Hessian-vector product on
every support image of every inner step besides, which counts `PRODUCT`; it gets fewer. Pre-training
classifies minibatches of 250 images. None of MAML and FOMAML gets more than Finn's own 60,000 iterations.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from companion.budgets import TABLE_1 as BUDGETS
from companion.budgets import Budget
from companion.fewshot import table1
from companion.fewshot.methods import (
    MAML_EVALUATION_STEPS,
    MOST_ITERATIONS,
    RecordFineTuning,
    Released,
    named,
    released_unit,
)
from companion.fewshot.pieces import Pieces
from companion.fewshot.pretraining import Pretraining
from companion.fewshot.scores import BOTH, RecordAccuracy, Scoring
from companion.results import Result
from companion.running.experiment import Checkpoint, Experiment, Unit
from companion.style import readers_name
from metalib.data.classes import ClassPool
from metalib.data.miniimagenet import miniimagenet
from metalib.tasks.fewshot import FewShot
from metalib.training import Trained

SETTINGS = {
    1: Released(alpha=0.01, tasks=4, steps=5, shots=1, queries=15),
    5: Released(alpha=0.01, tasks=2, steps=5, shots=5, queries=15),
}
"""By shots."""
ROWS = ("reptile", "fomaml", "maml", "pretraining", "pretraining-head", "pretraining-nearest")
"""The methods of the table, as `methods.named` calls them."""
MODES = ("transductive", "inductive")
NUMBERS = ("ours", "low", "high", "seeds", "diverged", "over_tasks")
"""What a row has that has run."""


def work_of_reptile() -> int:
    """Return the image gradients of one outer iteration of Reptile in Table 1.

    >>> SETTINGS[1].work("fomaml"), SETTINGS[5].work("fomaml"), work_of_reptile()
    (400, 400, 400)
    """
    (config,) = table1.configs(1, (0,))
    return config.tasks * config.k * table1.BATCH


def matched(iterations: int, cost: int) -> int:
    """Return how many iterations that cost so many image gradients match those of Reptile; at least one."""
    return max(1, iterations * work_of_reptile() // cost)


@dataclass(frozen=True)
class RecordEachFineTuning:
    """What is kept of pre-training: as `RecordFineTuning`, every number of shots by its own settings.

    Attributes:
        tasks: the few-shot tasks it is scored on.
        scorings: how, for some shots each.
    """

    tasks: FewShot
    scorings: tuple[Scoring, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return everything that decides what is recorded, as JSON can hold it."""
        return {
            "kind": "RecordEachFineTuning",
            "tasks": self.tasks.as_dict(),
            "scorings": [scoring.as_dict() for scoring in self.scorings],
        }

    @property
    def inner_steps(self) -> int:
        """Inner steps that scoring one run takes, in its three ways."""
        return 3 * sum(scoring.inner_steps for scoring in self.scorings)

    def __call__(
        self,
        family: Pretraining,
        trained: Trained,
        checkpoint: Checkpoint | None = None,
        callback: Callable[[int], None] | None = None,
    ) -> Result:
        """Return the accuracy of every run, shots and way, its history, and its features."""
        pieces = Pieces.resumed(checkpoint, callback)
        parts = [
            RecordFineTuning(self.tasks, scoring)(family, trained, pieces.of(str(i)))
            for i, scoring in enumerate(self.scorings)
        ]
        accuracy = pd.concat([part.tables["accuracy"] for part in parts], ignore_index=True)
        return Result({**parts[0].tables, "accuracy": accuracy}, parts[0].arrays)


def units(
    pool: Callable[[], ClassPool],
    budget: Budget,
    seeds: tuple[int, ...],
    classes: tuple[str, ...] = BOTH,
) -> tuple[Unit[Any], ...]:
    """Return the runs of the other methods.

    Args:
        pool: makes the classes and their images.
        budget: outer iterations of Reptile, and tasks to score on.
        seeds: of the runs.
        classes: what kinds of classes they are scored on, "train" or "test".
    """
    made = pool()
    # As in Table 1 a run takes hours, so each is a unit of its own.
    return (
        *(
            _maml(algorithm, shots, made, budget, seed, classes)
            for algorithm in ("fomaml", "maml")
            for shots in SETTINGS
            for seed in seeds
        ),
        *(_pretraining(made, budget, seed, classes) for seed in seeds),
    )


def _maml(
    algorithm: str, shots: int, pool: ClassPool, budget: Budget, seed: int, classes: tuple[str, ...]
) -> Unit[FewShot]:
    settings = SETTINGS[shots]
    iterations = min(MOST_ITERATIONS, matched(budget.iterations, settings.work(algorithm)))
    scoring = Scoring(budget.evaluation_tasks, MAML_EVALUATION_STEPS, 0, (shots,), classes)
    record = RecordAccuracy(scoring, weights=True)
    name = f"{algorithm}-{shots}-shot-seed-{seed}"
    return released_unit(algorithm, pool, settings, iterations, (seed,), record, name)


def _pretraining(pool: ClassPool, budget: Budget, seed: int, classes: tuple[str, ...]) -> Unit[Pretraining]:
    family = Pretraining(pool)
    iterations = matched(budget.iterations, family.batch)
    (run,) = (
        replace(config, algorithm="joint", k=1, tasks=1) for config in table1.configs(iterations, (seed,))
    )
    record = RecordEachFineTuning(table1.family(pool), table1.scorings(budget.evaluation_tasks, classes))
    return Unit(f"pretraining-seed-{seed}", family, (run,), record, facts={"method": "pretraining"})


TABLE_1_METHODS: Experiment[Budget] = Experiment(
    "table1-methods",
    "Table 1: MAML, FOMAML and pre-training, 5 ways, 1 and 5 shots, Mini-ImageNet",
    BUDGETS,
    partial(units, miniimagenet),
)


def compare(reptile: pd.DataFrame | None, others: pd.DataFrame | None, classes: str = "test") -> pd.DataFrame:
    """Put our accuracies beside the paper's, for every method, also where one of both is missing.

    Args:
        reptile: the table `accuracy` of `table1.TABLE_1`; `None` if it has not run.
        others: that of `TABLE_1_METHODS`; likewise.
        classes: "test" or "train".

    Returns:
        One row per method of `ROWS`, shots and mode, with the columns of `table1.compare`; "not a number"
        where nothing has run, with 0 `seeds`, and where the paper has no such cell.
    """
    keys = ["algorithm", "shots", "mode"]
    every = pd.MultiIndex.from_product([ROWS, SETTINGS, MODES], names=keys)
    known = together(reptile, others)
    ran = table1.compare(known, classes) if len(known) else pd.DataFrame(columns=[*keys, *NUMBERS])
    table = ran.set_index(keys).reindex(every).reset_index()
    paper = [
        table1.PAPER.get(key, (np.nan, np.nan)) for key in table[keys].itertuples(index=False, name=None)
    ]
    return table.assign(
        seeds=[int(count) if count == count else 0 for count in table.seeds],
        paper=[mean for mean, _ in paper],
        paper_half_interval=[half for _, half in paper],
    )


def together(reptile: pd.DataFrame | None, others: pd.DataFrame | None) -> pd.DataFrame:
    """Return the accuracies of all that has run in one table, as `methods.named`.

    Args:
        reptile: the table `accuracy` of `table1.TABLE_1`; `None` if it has not run.
        others: that of `TABLE_1_METHODS`; likewise.
    """
    if others is None:
        return pd.DataFrame() if reptile is None else reptile
    return named(others.iloc[:0] if reptile is None else reptile, others)


def as_text(compared: pd.DataFrame) -> pd.DataFrame:
    """Return what `compare` found as readers see it: one row per method and mode.

    Args:
        compared: as `compare` returns it.

    Returns:
        The columns `method`, `mode`, and for 1 and 5 shots our accuracy and the paper's, in percent. Ours is
        "not run" where nothing has run, and comes without an interval over seeds from one seed.
    """
    rows = []
    for (name, mode), cells in compared.groupby(["algorithm", "mode"], sort=False):
        row = {"method": readers_name(str(name)), "mode": mode}
        for _, cell in cells.iterrows():
            row[f"{cell.shots}-shot, ours (%)"] = _ours(cell)
            row[f"{cell.shots}-shot, paper (%)"] = _papers(cell)
        rows.append(row)
    return pd.DataFrame(rows)


def _ours(cell: pd.Series) -> str:
    if not cell.seeds:
        return "diverged" if cell.diverged > 0 else "not run"  # no number where nothing ran
    if cell.seeds == 1 and not cell.diverged > 0:
        return f"{cell.ours:.1f} (one seed; tasks ± {cell.over_tasks:.1f})"
    return f"{cell.ours:.1f} ± {(cell.high - cell.low) / 2:.1f}"


def _papers(cell: pd.Series) -> str:
    return f"{cell.paper:.2f} ± {cell.paper_half_interval:.2f}" if np.isfinite(cell.paper) else "none"
