"""Figure 4b: the size of the inner minibatch, 4 inner iterations, ε = 1 (Nichol et al. 2018, section 6.3).

The loss is a sum over the minibatch, so that inner steps grow with it, and the outer step of all methods
but FOMAML with a separate tail, which is always of 25 images.
"""

from __future__ import annotations

from collections.abc import Callable

from companion.budgets import FIGURE_4B as BUDGETS
from companion.budgets import SweepBudget
from companion.fewshot.settings import on_both_pools
from companion.overlap.settings import sweep
from companion.running.experiment import Unit
from metalib.data.classes import ClassPool
from metalib.tasks.fewshot import FewShot

K = 4


def _units(
    pool: Callable[[], ClassPool], budget: SweepBudget, seeds: tuple[int, ...]
) -> tuple[Unit[FewShot], ...]:
    return sweep(pool, budget, seeds, lambda batch: (K, int(batch), 1.0))


FIGURE_4B, FIGURE_4B_GLYPHS = on_both_pools(
    "figure4b", "Figure 4b: size of the minibatch", BUDGETS, _units, on_divergence="record"
)
