"""Table 2: N-way K-shot classification on Omniglot (Nichol et al. 2018, section 6.1).

One training run serves every shot, both kinds of classes and both modes of evaluation, because the
paper trains 1-shot and 5-shot alike. Training sets differ only in the number of classes per task.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from metalib.experiments import Budget, Experiment, Unit
from metalib.experiments.fewshot import SETTINGS, FewShotBudget, Scoring, arrays, reptile_unit, score
from metalib.store import Result
from metalib.tasks.classes import ClassPool
from metalib.tasks.fewshot import FewShot
from metalib.tasks.glyphs import glyphs
from metalib.tasks.omniglot import omniglot
from metalib.training import Trained

BUDGETS = {
    "smoke": FewShotBudget(20, 20, 10, 10),
    "quick": FewShotBudget(300, 100, 100, 40),
    "laptop": FewShotBudget(10_000, 1_000, 3_000, 400),
    "paper": FewShotBudget(100_000, 10_000, 200_000, 10_000),
}
"""The paper's budget wants a GPU; "laptop" is what one processor core does in an evening."""


def _units(pool: Callable[[], ClassPool], budget: Budget, seeds: tuple[int, ...]) -> tuple[Unit, ...]:
    assert isinstance(budget, FewShotBudget)
    classes = pool()
    return tuple(reptile_unit(classes, ways, budget, seeds) for ways in SETTINGS)


def _record(unit: Unit, trained: Trained, budget: Budget) -> Result:
    family = unit.family
    assert isinstance(family, FewShot)
    assert isinstance(budget, FewShotBudget)
    scoring = Scoring(
        budget.for_ways(family.ways).evaluation_tasks, batch=SETTINGS[family.ways].evaluation_batch
    )
    tables = {"accuracy": score(family, trained, scoring), "history": trained.history}
    return Result(tables, arrays(trained))


TABLE_2 = Experiment(
    "table2",
    "Table 2: Reptile on Omniglot, 5 and 20 ways, 1 and 5 shots",
    BUDGETS,
    partial(_units, omniglot),
    _record,
)
TABLE_2_GLYPHS = Experiment(
    "table2-glyphs",
    "the runs of Table 2 on the embedded glyphs, for machines without Omniglot",
    BUDGETS,
    partial(_units, glyphs),
    _record,
)
