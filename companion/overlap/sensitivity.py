"""How much the choices matter that section 6.3 leaves open: images per class, and size of the tail.

Train shots: with S images per class, cycling minibatches of 25 begin to overlap after S / 5 steps, and
there the accuracy of shared-tail FOMAML should drop: at k = 3 with 10 shots, at k = 4 with 15, at k = 5
with 20 (Figure 4a). Reptile stands beside it, to tell overlap from the number of images.
Tail shots: at minibatches of 100, a larger separate tail makes for a larger last gradient, and leaves fewer
images to the others.
"""

from __future__ import annotations

from collections.abc import Callable

from companion.budgets import BUDGETS, Budget
from companion.fewshot.settings import on_both_pools
from companion.inner_gradients.settings import BATCH, WAYS, unit
from companion.overlap.settings import REPTILE, SEPARATE, SHARED, config, family
from companion.running.experiment import Facts, Unit
from metalib.data.classes import ClassPool
from metalib.tasks.fewshot import FewShot

SHOTS = (10, 15)
TAILS = (2, 10)
TAIL_BATCH, TAIL_K = 100, 4


def _units(
    pool: Callable[[], ClassPool], budget: Budget, seeds: tuple[int, ...]
) -> tuple[Unit[FewShot], ...]:
    classes, units = pool(), []
    for seed in seeds:
        for tail in TAILS:
            tasks = family(classes, SEPARATE, batch=TAIL_BATCH, tail=tail)
            of_tail: Facts = {"curve": f"separate-tail-{tail}", "method": SEPARATE.name, "tail_shots": tail}
            run = config(SEPARATE, TAIL_K, 1.0, budget.iterations, seed)
            units.append(unit(of_tail, tasks, run, budget.evaluation_tasks))
        for shots in SHOTS:
            disjoint = shots * WAYS // BATCH
            for method, k in ((SHARED, disjoint), (SHARED, disjoint + 1), (REPTILE, disjoint + 1)):
                tasks = family(classes, method, BATCH, shots)
                of_shots: Facts = {
                    "curve": f"{method.name}-shots-{shots}-k-{k}",
                    "method": method.name,
                    "train_shots": shots,
                    "k": k,
                }
                run = config(method, k, 1.0, budget.iterations, seed)
                units.append(unit(of_shots, tasks, run, budget.evaluation_tasks))
    return tuple(units)


SENSITIVITY, SENSITIVITY_GLYPHS = on_both_pools(
    "figure4-sensitivity",
    "Figure 4: images per class, and size of the tail",
    BUDGETS["figure4-sensitivity"],
    _units,
    on_divergence="record",
)
