"""Table 2: N-way K-shot classification on Omniglot (Nichol et al. 2018, section 6.1).

One training run serves every shot, both kinds of classes and both modes of evaluation, because the
paper trains 1-shot and 5-shot alike. Training sets differ only in the number of classes per task.
"""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from companion.budgets import BUDGETS as OF_EXPERIMENTS
from companion.budgets import TABLE_2 as BUDGETS
from companion.budgets import Budget, FewShotBudget
from companion.fewshot.scores import RecordAccuracy, Scoring
from companion.fewshot.settings import SETTINGS, on_both_pools, reptile_configs, reptile_family
from companion.fewshot.table1 import RecordEachShot
from companion.intervals import over_seeds, over_tasks
from companion.running.experiment import Unit
from metalib.data.classes import ClassPool
from metalib.tasks.fewshot import FewShot


def _units(
    pool: Callable[[], ClassPool], budget: FewShotBudget, seeds: tuple[int, ...]
) -> tuple[Unit[FewShot], ...]:
    classes, units = pool(), []
    for ways, setting in SETTINGS.items():
        work = budget.for_ways(ways)
        scoring = Scoring(work.evaluation_tasks, batch=setting.evaluation_batch)
        runs = reptile_configs(ways, work.iterations, seeds)
        record = RecordAccuracy(scoring, weights=True)
        units.append(Unit(f"reptile-{ways}-way", reptile_family(classes, ways), runs, record))
    return tuple(units)


def _units_of_five_ways(
    pool: Callable[[], ClassPool], budget: Budget, seeds: tuple[int, ...]
) -> tuple[Unit[FewShot], ...]:
    return _run_by_run(5, pool(), budget, seeds)


def _units_of_twenty_ways(
    pool: Callable[[], ClassPool], budget: Budget, seeds: tuple[int, ...]
) -> tuple[Unit[FewShot], ...]:
    return _run_by_run(20, pool(), budget, seeds)


def _run_by_run(
    ways: int, classes: ClassPool, budget: Budget, seeds: tuple[int, ...]
) -> tuple[Unit[FewShot], ...]:
    tasks = reptile_family(classes, ways)
    scoring = Scoring(budget.evaluation_tasks, batch=SETTINGS[ways].evaluation_batch)
    # Long runs take hours, so each is a unit of its own, and its scores are kept on the way.
    return tuple(
        Unit(f"reptile-{ways}-way-seed-{config.seed}", tasks, (config,), RecordEachShot((scoring,)))
        for config in reptile_configs(ways, budget.iterations, seeds)
    )


TABLE_2, TABLE_2_GLYPHS = on_both_pools(
    "table2", "Table 2: Reptile, 5 and 20 ways, 1 and 5 shots", BUDGETS, _units
)
FIVE_WAYS, FIVE_WAYS_GLYPHS = on_both_pools(
    "table2-5-way",
    "Table 2: Reptile, 5 ways, 1 and 5 shots, run by run",
    OF_EXPERIMENTS["table2-5-way"],
    _units_of_five_ways,
)
TWENTY_WAYS, TWENTY_WAYS_GLYPHS = on_both_pools(
    "table2-20-way",
    "Table 2: Reptile, 20 ways, 1 and 5 shots, run by run",
    OF_EXPERIMENTS["table2-20-way"],
    _units_of_twenty_ways,
)

REPRODUCED = 1.0
"""Percentage points from the paper's accuracy within which a cell counts as reproduced."""
PAPER = {
    (5, 1, "inductive"): (95.39, 0.09),
    (5, 5, "inductive"): (98.90, 0.10),
    (20, 1, "inductive"): (88.14, 0.15),
    (20, 5, "inductive"): (96.65, 0.33),
    (5, 1, "transductive"): (97.68, 0.04),
    (5, 5, "transductive"): (99.48, 0.06),
    (20, 1, "transductive"): (89.43, 0.14),
    (20, 5, "transductive"): (97.12, 0.32),
}
"""Reptile in Table 2: accuracy in percent and half the 95 % interval, by ways, shots and mode."""


PAPER_MAML_AND_FOMAML = {
    (5, 1): ((98.7, 0.4), (98.3, 0.5)),
    (5, 5): ((99.9, 0.1), (99.2, 0.2)),
    (20, 1): ((95.8, 0.3), (89.4, 0.5)),
    (20, 5): ((98.9, 0.2), (97.9, 0.1)),
}
"""MAML and first-order MAML in Table 2, transductive, in the same form, by ways and shots."""


def compare(accuracy: pd.DataFrame, classes: str = "test") -> pd.DataFrame:
    """Put our accuracies beside the paper's.

    Args:
        accuracy: the table of that name of `TABLE_2`.
        classes: "test" or "train".

    Returns:
        One row per cell: `mean`, `low`, `high` over seeds (Student's t); `over_tasks`, half the 95 %
        interval of the mean that comes from the finite number of tasks alone; the `paper`'s accuracy
        and half interval.
    """
    chosen = accuracy[(accuracy.classes == classes) & (accuracy["mode"] != "difference")]
    keys = ["ways", "shots", "mode"]
    summary = over_seeds(chosen, keys, "accuracy")
    alone = over_tasks(chosen, keys)
    summary["over_tasks"] = alone.high - alone["mean"]
    cells = [PAPER[(row.ways, row.shots, row["mode"])] for _, row in summary.iterrows()]
    return summary.assign(paper=[mean for mean, _ in cells], paper_half_interval=[half for _, half in cells])


def transduction(accuracy: pd.DataFrame) -> pd.DataFrame:
    """Return what transduction adds on test classes, paired by task.

    Args:
        accuracy: the table of that name of `TABLE_2`.

    Returns:
        Per `ways` and `shots`: `mean`, `low`, `high` over the seeds, and the `paper`'s difference.
    """
    paired = accuracy[(accuracy.classes == "test") & (accuracy["mode"] == "difference")]
    summary = over_seeds(paired, ["ways", "shots"], "accuracy")
    cells = [(row.ways, row.shots) for _, row in summary.iterrows()]
    return summary.assign(
        paper=[PAPER[(*cell, "transductive")][0] - PAPER[(*cell, "inductive")][0] for cell in cells]
    )


def class_gap(accuracy: pd.DataFrame) -> pd.DataFrame:
    """Return accuracy on training classes minus accuracy on test classes, in every cell."""
    keys = ["ways", "shots", "mode"]
    chosen = accuracy[accuracy["mode"] != "difference"]
    cells = chosen.pivot_table(index=[*keys, "seed"], columns="classes", values="accuracy", sort=False)
    return over_seeds((cells.train - cells.test).rename("gap").reset_index(), keys, "gap")
