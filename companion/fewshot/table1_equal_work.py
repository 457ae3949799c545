"""Table 1 after little, but equal work: Reptile, FOMAML, MAML and pre-training, 5-way Mini-ImageNet.

The runs of `table1` and `table1_methods` at the length of "laptop" take some forty hours of a processor core
for one seed. These are the same runs at a tenth of that length, and scored on test classes alone.

What was said before they ran stands in `expected`. Known then: one run of Reptile, ten times as long, ends
4 to 7 points below the paper; on Omniglot after little, but equal work MAML and FOMAML lead Reptile with
twenty ways, and FOMAML leads MAML; with five ways the three are close.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pandas as pd

from companion.budgets import BUDGETS, Budget
from companion.fewshot import table1, table1_methods
from companion.intervals import Interval, difference, interval, listed
from companion.running.experiment import Experiment, Unit
from companion.style import readers_name
from companion.verdicts import each
from metalib.data.classes import ClassPool
from metalib.data.miniimagenet import miniimagenet

META_LEARNERS = ("reptile", "fomaml", "maml")
BASELINE = "pretraining-nearest"


def units(pool: Callable[[], ClassPool], budget: Budget, seeds: tuple[int, ...]) -> tuple[Unit[Any], ...]:
    """Return the runs of both parts of the table, scored on test classes; those of one seed come together.

    Args:
        pool: makes the classes and their images.
        budget: outer iterations of Reptile, and tasks to score on.
        seeds: of the runs.
    """
    made = pool()
    return tuple(
        unit
        for seed in seeds
        for part in (table1.units, table1_methods.units)
        for unit in part(lambda: made, budget, (seed,), ("test",))
    )


EQUAL_WORK: Experiment[Budget] = Experiment(
    "table1-equal-work",
    "Table 1: all methods after little, but equal work, Mini-ImageNet",
    BUDGETS["table1-equal-work"],
    partial(units, miniimagenet),
)


def compare(accuracy: pd.DataFrame) -> pd.DataFrame:
    """Put the accuracies of all methods beside the paper's, as `table1_methods.compare`.

    Args:
        accuracy: the table of that name of `EQUAL_WORK`.
    """
    return table1_methods.compare(*_parts(accuracy))


def test_accuracy(accuracy: pd.DataFrame) -> pd.DataFrame:
    """Return what the networks of every method reach on test tasks, with intervals over the tasks alone.

    Args:
        accuracy: the table of that name of `EQUAL_WORK`.

    Returns:
        One row per `shots`, `algorithm` (of `table1_methods.ROWS`) and `mode` that has run: `mean`, `low` and
        `high` in percent. The interval says nothing about other seeds.
    """
    ran = compare(accuracy).query("seeds > 0")
    ends = {"mean": ran.ours, "low": ran.ours - ran.over_tasks, "high": ran.ours + ran.over_tasks}
    return ran[["shots", "algorithm", "mode"]].assign(**ends)


def ahead(accuracy: pd.DataFrame, first: str, second: str) -> dict[str, Interval]:
    """Return by how much one method is ahead of another, transductive, paired by seed, for each shots.

    Args:
        accuracy: the table of that name of `EQUAL_WORK`.
        first: one of `table1_methods.ROWS`.
        second: likewise.
    """
    rows = table1_methods.together(*_parts(accuracy)).query("classes == 'test' and mode == 'transductive'")
    wide = rows.pivot(index=["shots", "seed"], columns="algorithm", values="accuracy")
    leads = (wide[first] - wide[second]).groupby("shots")
    return {f"{shots}-shot": interval(found.to_numpy()) for shots, found in leads}


def expected(accuracy: pd.DataFrame, similar: float) -> pd.DataFrame:
    """Return what was said before the runs, what was measured, and the verdicts.

    Leads are over seeds. What is below the paper is so for the networks that were trained: over tasks.

    Args:
        accuracy: the table of that name of `EQUAL_WORK`.
        similar: percentage points within which two methods are similar.
    """
    by_recipe = {
        f"{readers_name(leader)} {shots}": lead
        for leader in ("fomaml", "maml")
        for shots, lead in ahead(accuracy, leader, "reptile").items()
    }
    by_count = ahead(accuracy, "fomaml", "maml")
    by_features = {
        f"over {readers_name(other)} {shots}": lead
        for other in META_LEARNERS
        for shots, lead in ahead(accuracy, BASELINE, other).items()
    }
    short = {
        f"{readers_name(cell.algorithm)} {cell.shots}-shot {cell['mode']}": difference(
            (cell.ours, cell.over_tasks), (cell.paper, cell.paper_half_interval)
        )
        for _, cell in compare(accuracy).dropna(subset="paper").iterrows()
    }
    closest = max(short, key=lambda name: short[name].high)
    rows = [
        (
            f"FOMAML and MAML lead Reptile by more than {similar:g} points",
            listed(by_recipe),
            each(by_recipe.values(), above=similar),
        ),
        ("FOMAML leads MAML", listed(by_count), each(by_count.values(), above=0.0)),
        (
            "the nearest mean of pre-trained features leads all three",
            listed(by_features),
            each(by_features.values(), above=0.0),
        ),
        (
            "these networks end below the paper in all its cells",
            f"closest: {listed({closest: short[closest]})}",
            each(short.values(), below=0.0),
        ),
    ]
    return pd.DataFrame(rows, columns=["statement", "measured (points)", "verdict"])


def _parts(accuracy: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Reptile's rows, and those of all others."""
    reptile = accuracy.algorithm == "reptile"
    return accuracy[reptile], accuracy[~reptile]
