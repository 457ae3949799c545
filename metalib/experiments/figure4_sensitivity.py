"""How much the choices matter that section 6.3 leaves open: images per class, and size of the tail.

Train shots: with S images per class, cycling minibatches of 25 begin to overlap after S / 5 steps, and
there the accuracy of shared-tail FOMAML should drop: at k = 3 with 10 shots, at k = 4 with 15, at k = 5
with 20 (Figure 4a). Reptile stands beside it, to tell overlap from the number of images.
Tail shots: at minibatches of 100, a larger separate tail makes for a larger last gradient, and leaves fewer
images to the others.
"""

from __future__ import annotations

from collections.abc import Callable

from metalib.experiments import Budget, Unit
from metalib.experiments.combinations import BATCH, WAYS, unit
from metalib.experiments.overlap import METHODS, config, experiments, family
from metalib.tasks.classes import ClassPool

REPTILE, SHARED, SEPARATE = METHODS[0], METHODS[1], METHODS[3]
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
            disjoint = shots * WAYS // BATCH
            for method, k in ((SHARED, disjoint), (SHARED, disjoint + 1), (REPTILE, disjoint + 1)):
                run = config(method, k, 1.0, budget.iterations, seed)
                tasks = family(classes, method, BATCH, shots)
                units.append(unit(f"{method.name}-shots-{shots}-k-{k}", tasks, run))
    return tuple(units)


SENSITIVITY, SENSITIVITY_GLYPHS = experiments(
    "figure4-sensitivity", "Figure 4: images per class, and size of the tail", GRIDS, _units
)
