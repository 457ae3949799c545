"""Figure 4a: the number of inner iterations, minibatches of 25, ε = 1 (Nichol et al. 2018, section 6.3)."""

from __future__ import annotations

from collections.abc import Callable

from metalib.experiments import Budget, Unit
from metalib.experiments.combinations import BATCH
from metalib.experiments.overlap import experiments, sweep
from metalib.tasks.classes import ClassPool

GRIDS: dict[str, tuple[float, ...]] = {
    "smoke": (2, 5),
    "quick": (2, 4, 5, 8),
    "laptop": (2, 3, 4, 5, 8),
    "paper": (2, 3, 4, 5, 6, 7, 8, 10),
}


def _units(pool: Callable[[], ClassPool], budget: Budget, seeds: tuple[int, ...]) -> tuple[Unit, ...]:
    return sweep(pool, budget, seeds, lambda k: (int(k), BATCH, 1.0))


FIGURE_4A, FIGURE_4A_GLYPHS = experiments("figure4a", "Figure 4a: inner iterations", GRIDS, _units)
