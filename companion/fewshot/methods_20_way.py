"""Table 2 with twenty ways: MAML and first-order MAML beside Reptile, on the same network and images.

In the paper's table MAML leads Reptile by 6.4 points at 20-way 1-shot, from another network and other images.
Is it the method? Here only the method differs, and all do as much work, counted in image gradients: an outer
iteration of Reptile takes 5 tasks · 10 steps · 20 images = 1,000, one of FOMAML 16 · (5 · 20 + 20) = 1,920.
MAML has a Hessian-vector product on every support image of every inner step besides, and comes to 6,720.

Both are trained and scored with one shot. What was said before they ran stands in `expected`.
"""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from companion.budgets import BUDGETS, Budget
from companion.fewshot.methods import MAML_EVALUATION_STEPS, MOST_ITERATIONS, Released, released_unit
from companion.fewshot.scores import RecordAccuracy, Scoring
from companion.fewshot.settings import SETTINGS, on_both_pools, reptile_configs
from companion.intervals import Interval, interval, listed, over_seeds, paired
from companion.running.experiment import Unit
from companion.verdicts import decide, each
from metalib.data.classes import ClassPool
from metalib.tasks.fewshot import FewShot

WAYS = 20
OMNIGLOT = Released(alpha=0.1, tasks=16, steps=5, ways=WAYS)
"""20-way 1-shot, as Finn et al. (2017) released it."""


def work_of_reptile() -> int:
    """Return the image gradients of one outer iteration of Reptile with twenty ways.

    >>> work_of_reptile(), OMNIGLOT.work("fomaml"), OMNIGLOT.work("maml")
    (1000, 1920, 6720)
    """
    (config,) = reptile_configs(WAYS, 1, (0,))
    return config.tasks * config.k * SETTINGS[WAYS].batch


def matched(algorithm: str, iterations: int) -> int:
    """Return how many outer iterations do as much work as Reptile's, and at most Finn's own 60,000.

    Args:
        algorithm: "maml" or "fomaml".
        iterations: those of Reptile.
    """
    return min(MOST_ITERATIONS, max(1, iterations * work_of_reptile() // OMNIGLOT.work(algorithm)))


def _units(
    pool: Callable[[], ClassPool], budget: Budget, seeds: tuple[int, ...]
) -> tuple[Unit[FewShot], ...]:
    classes = pool()
    scoring = Scoring(budget.evaluation_tasks, MAML_EVALUATION_STEPS, batch=0, shots=(OMNIGLOT.shots,))

    def unit(algorithm: str, seed: int) -> Unit[FewShot]:
        iterations, name = matched(algorithm, budget.iterations), f"{algorithm}-20-way-seed-{seed}"
        return released_unit(algorithm, classes, OMNIGLOT, iterations, (seed,), RecordAccuracy(scoring), name)

    # Each run takes long, so it is a unit of its own, kept when it is finished.
    return tuple(unit(algorithm, seed) for algorithm in ("fomaml", "maml") for seed in seeds)


METHODS_20_WAY, METHODS_20_WAY_GLYPHS = on_both_pools(
    "table2-methods-20-way",
    "Table 2: MAML and FOMAML, 20-way",
    BUDGETS["table2-methods-20-way"],
    _units,
)


def accuracies(reptile: pd.DataFrame, others: pd.DataFrame) -> pd.DataFrame:
    """Return the accuracy of every run of the three methods on 20-way 1-shot tasks of test classes.

    Args:
        reptile: the table `accuracy` of `table2.TABLE_2`.
        others: the table `accuracy` of `METHODS_20_WAY`.
    """
    both = pd.concat([reptile[(reptile.ways == WAYS) & (reptile.shots == OMNIGLOT.shots)], others])
    return both[(both.classes == "test") & (both["mode"] != "difference")]


def by_method(reptile: pd.DataFrame, others: pd.DataFrame) -> pd.DataFrame:
    """Return `mean`, `low` and `high` over the seeds of `accuracies`, per `algorithm` and `mode`."""
    return over_seeds(accuracies(reptile, others), ["algorithm", "mode"], "accuracy")


def ahead(reptile: pd.DataFrame, others: pd.DataFrame, first: str, second: str = "reptile") -> Interval:
    """Return by how much the first method is ahead of the second, transductive, paired by seed.

    Args:
        reptile: the table `accuracy` of `table2.TABLE_2`.
        others: the table `accuracy` of `METHODS_20_WAY`.
        first: "maml", "fomaml" or "reptile".
        second: likewise.
    """
    rows = accuracies(reptile, others).query("mode == 'transductive'")
    cells = rows.set_index(["algorithm", "seed"]).accuracy
    return interval(paired(cells[first], cells[second]))


def expected(reptile: pd.DataFrame, others: pd.DataFrame, similar: float) -> pd.DataFrame:
    """Return what was said before the runs, what was measured over the seeds, and the verdicts.

    Known was how Reptile ends with twenty ways, and all three methods with five; and a trial of 25 outer
    iterations had been seen.

    Args:
        reptile: the table `accuracy` of `table2.TABLE_2`.
        others: the table `accuracy` of `METHODS_20_WAY`.
        similar: percentage points within which two methods are similar.
    """
    leads = {name.upper(): ahead(reptile, others, name) for name in ("maml", "fomaml")}
    exact = ahead(reptile, others, "maml", "fomaml")
    rows = [
        (
            f"MAML and FOMAML lead Reptile by more than {similar:g} points",
            listed(leads),
            each(leads.values(), above=similar),
        ),
        ("MAML leads FOMAML", f"{exact:+.1f}", decide(exact, above=0.0)),
    ]
    return pd.DataFrame(rows, columns=["statement", "measured (points)", "verdict"])
