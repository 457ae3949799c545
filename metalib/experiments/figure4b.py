"""Figure 4b: the size of the inner minibatch, 4 inner iterations, ε = 1 (Nichol et al. 2018, section 6.3).

The loss is a sum over the minibatch, so that inner steps grow with it, and the outer step of all methods
but FOMAML with a separate tail, which is always of 25 images.
"""

from __future__ import annotations

from collections.abc import Callable

from metalib.experiments import Budget, Unit
from metalib.experiments.overlap import experiments, sweep
from metalib.tasks.classes import ClassPool

K = 4
GRIDS: dict[str, tuple[float, ...]] = {
    "smoke": (10, 50),
    "quick": (10, 25, 50),
    "laptop": (10, 25, 35, 50),
    "paper": (5, 10, 15, 20, 25, 30, 35, 50, 75, 100),
}


def _units(pool: Callable[[], ClassPool], budget: Budget, seeds: tuple[int, ...]) -> tuple[Unit, ...]:
    return sweep(pool, budget, seeds, lambda batch: (K, int(batch), 1.0))


FIGURE_4B, FIGURE_4B_GLYPHS = experiments("figure4b", "Figure 4b: size of the minibatch", GRIDS, _units)
