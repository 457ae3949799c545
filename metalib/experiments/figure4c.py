"""Figure 4c: the outer step size, batches of 100, 4 inner iterations (Nichol et al. 2018, section 6.3).

The sweep asks whether shared-tail FOMAML fails because its gradient, and so its step, is small. The paper
sweeps ε, which ends at 1; a longer step than that needs weights beyond 1, and FOMAML gets them here as
well: ε of 4 is c_k = 4.

A minibatch of 100 is the whole task, so that drawing with replacement is the same as cycling: it has no
curve here.
"""

from __future__ import annotations

from collections.abc import Callable

from metalib.experiments import Budget, Unit
from metalib.experiments.overlap import METHODS, experiments, sweep
from metalib.tasks.classes import ClassPool

K, BATCH = 4, 100
BEYOND = "shared-cycling"
CURVES = tuple(method for method in METHODS if method.scheme != "replacement")
GRIDS: dict[str, tuple[float, ...]] = {
    "smoke": (0.1, 1.0),
    "quick": (0.1, 1.0),
    "laptop": (0.1, 0.3, 1.0, 4.0),
    "paper": (0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 2.0, 4.0, 8.0),
}


def _units(pool: Callable[[], ClassPool], budget: Budget, seeds: tuple[int, ...]) -> tuple[Unit, ...]:
    runs = sweep(pool, budget, seeds, lambda epsilon: (K, BATCH, epsilon), CURVES)
    # Beyond 1, Reptile would step past the weights that the inner loop has reached.
    return tuple(unit for unit in runs if unit.name.startswith(BEYOND) or max(unit.configs[0].weights) <= 1)


FIGURE_4C, FIGURE_4C_GLYPHS = experiments("figure4c", "Figure 4c: outer step size", GRIDS, _units)
