"""Figure 3: which inner gradients matter? (Nichol et al. 2018, section 6.2 and table 5)

Declared, because the paper leaves it open: the k minibatches come from 5k images per class, just enough
to be disjoint. "Four non-overlapping mini-batches in each inner-loop" can also be read as 20 images per
class for every k, and `figure3-controls` has runs on these. An average is the sum divided by k, at the same
outer step size of 0.25: table 5 gives one outer step size, and the authors' code can only move by a share of
the whole displacement.
"""

from __future__ import annotations

from collections.abc import Callable

from companion.budgets import FIGURE_3 as BUDGETS
from companion.budgets import Budget
from companion.fewshot.settings import on_both_pools
from companion.inner_gradients.settings import Combination, config, disjoint_family, unit
from companion.running.experiment import Unit
from metalib.data.classes import ClassPool
from metalib.meta_gradients import fomaml_weights, reptile_weights
from metalib.tasks.fewshot import FewShot

LARGEST_K = 4


def combinations(k: int) -> tuple[Combination, ...]:
    """Return the curves of Figure 3 with k inner steps: sum, average and last gradient."""
    if k == 1:
        return (Combination("1-first", "g1", (1.0,), "first"),)
    terms = " + ".join(f"g{i}" for i in range(1, k + 1))
    return (
        Combination(f"{k}-sum", terms, reptile_weights(k), "sum"),
        Combination(f"{k}-average", f"({terms}) / {k}", (1.0 / k,) * k, "average"),
        Combination(f"{k}-last", f"g{k}", fomaml_weights(k), "last"),
    )


CURVES = tuple(curve for k in range(1, LARGEST_K + 1) for curve in combinations(k))


def _units(
    pool: Callable[[], ClassPool], budget: Budget, seeds: tuple[int, ...]
) -> tuple[Unit[FewShot], ...]:
    classes = pool()
    families = {k: disjoint_family(classes, k) for k in range(1, LARGEST_K + 1)}
    # The longest runs come first, so that at the end no core waits long for the last one.
    return tuple(
        unit(
            curve.facts,
            families[curve.k],
            config(curve.weights, budget.iterations, seed),
            budget.evaluation_tasks,
        )
        for curve in reversed(CURVES)
        for seed in seeds
    )


FIGURE_3, FIGURE_3_GLYPHS = on_both_pools(
    "figure3", "Figure 3: combinations of inner gradients", BUDGETS, _units, on_divergence="record"
)
