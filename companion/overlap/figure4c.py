"""Figure 4c: the outer step size, batches of 100, 4 inner iterations (Nichol et al. 2018, section 6.3).

The sweep asks whether shared-tail FOMAML fails because its gradient, and so its step, is small. The paper
sweeps ε, which ends at 1; a longer step than that needs weights beyond 1, and FOMAML gets them here as
well: ε of 4 is c_k = 4.

A minibatch of 100 is the whole task, so that drawing with replacement is the same as cycling: it has no
curve here.
"""

from __future__ import annotations

from collections.abc import Callable

from companion.budgets import FIGURE_4C as BUDGETS
from companion.budgets import SweepBudget
from companion.fewshot.settings import on_both_pools
from companion.overlap.settings import REPLACEMENT, SHARED, Curve, sweep
from companion.running.experiment import Unit
from metalib.data.classes import ClassPool
from metalib.tasks.fewshot import FewShot

K, BATCH = 4, 100


def _shown(curve: Curve, epsilon: float) -> bool:
    """Say which curves there are: beyond ε = 1, Reptile would step past the weights that it has reached."""
    return curve is SHARED or (curve is not REPLACEMENT and epsilon <= 1.0)


def _units(
    pool: Callable[[], ClassPool], budget: SweepBudget, seeds: tuple[int, ...]
) -> tuple[Unit[FewShot], ...]:
    return sweep(pool, budget, seeds, lambda epsilon: (K, BATCH, epsilon), _shown)


FIGURE_4C, FIGURE_4C_GLYPHS = on_both_pools(
    "figure4c", "Figure 4c: outer step size", BUDGETS, _units, on_divergence="record"
)
