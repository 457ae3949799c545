"""Figure 4a: the number of inner iterations, minibatches of 25, ε = 1 (Nichol et al. 2018, section 6.3)."""

from __future__ import annotations

from collections.abc import Callable

from companion.budgets import FIGURE_4A as BUDGETS
from companion.budgets import SweepBudget
from companion.fewshot.settings import on_both_pools
from companion.inner_gradients.settings import BATCH
from companion.overlap.settings import sweep
from companion.running.experiment import Unit
from metalib.data.classes import ClassPool
from metalib.tasks.fewshot import FewShot


def _units(
    pool: Callable[[], ClassPool], budget: SweepBudget, seeds: tuple[int, ...]
) -> tuple[Unit[FewShot], ...]:
    return sweep(pool, budget, seeds, lambda k: (int(k), BATCH, 1.0))


FIGURE_4A, FIGURE_4A_GLYPHS = on_both_pools(
    "figure4a", "Figure 4a: inner iterations", BUDGETS, _units, on_divergence="record"
)
