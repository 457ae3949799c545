"""What each detail of the authors' code is worth that the paper does not mention, and β1 (section 6.1).

All runs are 5-way Reptile on Omniglot with the settings of Table 2, but for one thing each.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd

from metalib.experiments import Budget, Unit
from metalib.experiments.fewshot import SETTINGS, FewShotBudget, on_both_pools, reptile_unit
from metalib.experiments.fewshot_scores import Scoring, score
from metalib.intervals import over_seeds
from metalib.store import Result
from metalib.tasks.classes import ClassPool
from metalib.tasks.fewshot import FewShot
from metalib.training import Trained

WAYS = 5
BUDGETS = {
    "smoke": FewShotBudget(5, 6),
    "quick": FewShotBudget(100, 30),
    "laptop": FewShotBudget(2_000, 300),
    "paper": FewShotBudget(100_000, 10_000),
}


@dataclass(frozen=True)
class Variant:
    """One departure from the settings of Table 2.

    Attributes:
        title: what readers see.
        pool: fields of `ClassPool` that change.
        family: fields of `FewShot` that change.
        config: fields of `TrainingConfig` that change.
    """

    title: str
    pool: dict[str, Any] = field(default_factory=dict)
    family: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)


VARIANTS = {
    "reference": Variant("as in the authors' code"),
    "mean-loss": Variant("mean loss instead of the sum", family={"reduction": "mean"}),
    "fresh-adam": Variant("Adam's moments reset for every task", config={"inner": "adam-fresh"}),
    "beta1-0.5": Variant("β1 = 0.5", config={"beta1": 0.5}),
    "beta1-0.9": Variant("β1 = 0.9", config={"beta1": 0.9}),
    "constant-epsilon": Variant("ε constant instead of falling to 0", config={"epsilon_final": 1.0}),
    "no-rotations": Variant("training classes not rotated", pool={"rotate_train": False}),
    "rotated-test": Variant("test classes rotated too", pool={"rotate_test": True}),
    "inverted": Variant("ink 1, paper 0", pool={"invert": True}),
    "replacement": Variant("minibatches drawn with replacement", family={"scheme": "replacement"}),
}


def _units(pool: Callable[[], ClassPool], budget: Budget, seeds: tuple[int, ...]) -> tuple[Unit, ...]:
    assert isinstance(budget, FewShotBudget)
    unit = reptile_unit(pool(), WAYS, budget, seeds)
    assert isinstance(unit.family, FewShot)
    family = unit.family
    return tuple(
        Unit(
            name,
            replace(family, pool=replace(family.pool, **variant.pool), **variant.family),
            tuple(replace(config, **variant.config) for config in unit.configs),
        )
        for name, variant in VARIANTS.items()
    )


def _record(unit: Unit, trained: Trained, budget: Budget) -> Result:
    assert isinstance(unit.family, FewShot)
    scoring = Scoring(budget.evaluation_tasks, batch=SETTINGS[WAYS].evaluation_batch, classes=("test",))
    return Result({"accuracy": score(unit.family, trained, scoring), "history": trained.history})


FIDELITY, FIDELITY_GLYPHS = on_both_pools(
    "fidelity", "what each undocumented detail is worth, and Adam's β1, 5-way", BUDGETS, _units, _record
)


def worth(accuracy: pd.DataFrame, mode: str = "transductive") -> pd.DataFrame:
    """Return what each change adds to the accuracy of the reference, paired by seed.

    Args:
        accuracy: the table of that name of `FIDELITY`.
        mode: the mode of evaluation.

    Returns:
        Per `shots` and `variant`: `mean`, `low`, `high` of the difference in percentage points.
    """
    cells = accuracy[accuracy["mode"] == mode].rename(columns={"unit": "variant"})
    wide = cells.pivot_table(index=["shots", "seed"], columns="variant", values="accuracy", sort=False)
    shifts = wide.drop(columns="reference").sub(wide.reference, axis=0).melt(ignore_index=False)
    return over_seeds(shifts.reset_index(), ["shots", "variant"], "value")
