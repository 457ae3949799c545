"""How much the choices matter that section 6.3 leaves open: images per class, and size of the tail.

Train shots: with S images per class, cycling minibatches of 25 begin to overlap after S / 5 steps, and
there the accuracy of shared-tail FOMAML should drop: at k = 4 with 15 shots, at k = 5 with 20.
Tail shots: at minibatches of 100, a larger separate tail makes for a larger last gradient, and leaves fewer
images to the others.
"""

from __future__ import annotations

from collections.abc import Callable

from metalib.experiments import Budget, Unit
from metalib.experiments.combinations import BATCH, unit
from metalib.experiments.overlap import METHODS, config, experiments, family
from metalib.tasks.classes import ClassPool

SHARED, SEPARATE = METHODS[1], METHODS[3]
SHOTS = (10, 15)
TAILS = (2, 10)
GRIDS: dict[str, tuple[float, ...]] = dict.fromkeys(("smoke", "quick", "laptop", "paper"), ())


def _units(pool: Callable[[], ClassPool], budget: Budget, seeds: tuple[int, ...]) -> tuple[Unit, ...]:
    classes, units = pool(), []
    for seed in seeds:
        for tail in TAILS:
            tasks = family(classes, SEPARATE, batch=100, tail=tail)
            run = config(SEPARATE, 4, 1.0, budget.iterations, seed)
            units.append(unit(f"separate-tail-{tail}", tasks, run))
        for shots in SHOTS:
            for k in (shots * 5 // BATCH, shots * 5 // BATCH + 1):
                run = config(SHARED, k, 1.0, budget.iterations, seed)
                units.append(unit(f"shots-{shots}-k-{k}", family(classes, SHARED, BATCH, shots), run))
    return tuple(units)


SENSITIVITY, SENSITIVITY_GLYPHS = experiments(
    "figure4-sensitivity", "Figure 4: images per class, and size of the tail", GRIDS, _units
)
