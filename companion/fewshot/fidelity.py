"""What each detail of the authors' code is worth that the paper does not mention, and β1 (section 6.1).

All runs are 5-way Reptile on Omniglot with the settings of Table 2, but for one thing each.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd

from companion.budgets import FIDELITY as BUDGETS
from companion.budgets import Budget
from companion.fewshot.scores import RecordAccuracy, Scoring
from companion.fewshot.settings import SETTINGS, on_both_pools, reptile_configs, reptile_family
from companion.intervals import over_seeds
from companion.running.experiment import Unit
from metalib.data.classes import ClassPool
from metalib.tasks.fewshot import FewShot

WAYS = 5


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


def _units(
    pool: Callable[[], ClassPool], budget: Budget, seeds: tuple[int, ...]
) -> tuple[Unit[FewShot], ...]:
    family, runs = reptile_family(pool(), WAYS), reptile_configs(WAYS, budget.iterations, seeds)
    scoring = Scoring(budget.evaluation_tasks, batch=SETTINGS[WAYS].evaluation_batch, classes=("test",))
    return tuple(
        Unit(
            name,
            replace(family, pool=replace(family.pool, **variant.pool), **variant.family),
            tuple(replace(run, **variant.config) for run in runs),
            RecordAccuracy(scoring),
            facts={"variant": name},
        )
        for name, variant in VARIANTS.items()
    )


FIDELITY, FIDELITY_GLYPHS = on_both_pools(
    "fidelity", "what each undocumented detail is worth, and Adam's β1, 5-way", BUDGETS, _units
)


def worth(accuracy: pd.DataFrame, mode: str = "transductive") -> pd.DataFrame:
    """Return what each change adds to the accuracy of the reference, paired by seed.

    Args:
        accuracy: the table of that name of `FIDELITY`.
        mode: the mode of evaluation.

    Returns:
        Per `shots` and `variant`: `mean`, `low`, `high` of the difference in percentage points.
    """
    cells = accuracy[accuracy["mode"] == mode]
    wide = cells.pivot_table(index=["shots", "seed"], columns="variant", values="accuracy", sort=False)
    shifts = wide.drop(columns="reference").sub(wide.reference, axis=0).melt(ignore_index=False)
    return over_seeds(shifts.reset_index(), ["shots", "variant"], "value")
