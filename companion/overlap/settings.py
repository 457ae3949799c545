"""What the sweeps of Figure 4 share: minibatches that overlap, and those that do not (section 6.3).

Declared, because the paper does not state it: 20 images per class, all that Omniglot has, so that cycling
minibatches of 25 meet an image again from the 5th on (the paper implies it: four of up to 25 fit); a separate
tail of 5 images per class, which leaves 75 for the other minibatches; the grids. How much the first two
matter is measured by `figure4-sensitivity`.

The loss is a sum over the minibatch (so the authors' code has it), and with it the update of FOMAML grows
with the last minibatch: a shared tail holds as many images as any other minibatch, a separate tail always
25 of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from companion.budgets import SweepBudget
from companion.inner_gradients.settings import ALPHA, WAYS, unit
from companion.running.experiment import Facts, Unit
from metalib.data.classes import ClassPool
from metalib.meta_gradients import fomaml_weights, reptile_weights
from metalib.tasks.fewshot import FewShot
from metalib.training import TrainingConfig

TRAIN_SHOTS = 20
TAIL_SHOTS = 5


@dataclass(frozen=True)
class Curve:
    """One curve of Figure 4.

    Attributes:
        name: names files.
        label: what readers see.
        weights: maps k to c_1 … c_k.
        scheme: how minibatches are sampled, one of `tasks.fewshot.SCHEMES`.
        separate: whether the last minibatch comes from images that no other minibatch holds.
    """

    name: str
    label: str
    weights: Callable[[int], tuple[float, ...]]
    scheme: str = "cycling"
    separate: bool = False


REPTILE, SHARED, REPLACEMENT, SEPARATE = METHODS = (
    Curve("reptile", "Reptile, cycling", reptile_weights),
    Curve("shared-cycling", "FOMAML, shared tail, cycling", fomaml_weights),
    Curve("shared-replacement", "FOMAML, shared tail, replacement", fomaml_weights, scheme="replacement"),
    Curve("separate", "FOMAML, separate tail, cycling", fomaml_weights, separate=True),
)


def family(
    pool: ClassPool, method: Curve, batch: int, shots: int = TRAIN_SHOTS, tail: int = TAIL_SHOTS
) -> FewShot:
    """Return the tasks of one method, `shots` images per class, the tail's included."""
    return FewShot(
        pool,
        WAYS,
        shots=shots,
        batch=batch,
        scheme=method.scheme,
        tail_shots=tail if method.separate else 0,
    )


def config(method: Curve, k: int, epsilon: float, iterations: int, seed: int) -> TrainingConfig:
    """Return a run of section 6.3: plain SGD inside and outside, ε falling linearly to 0.

    ε beyond 1, which no interpolation has, multiplies the weights of the gradients instead.
    """
    longer = max(1.0, epsilon)
    return TrainingConfig(
        algorithm="combination",
        weights=tuple(longer * c for c in method.weights(k)),
        seed=seed,
        k=k,
        alpha=ALPHA,
        epsilon=epsilon / longer,
        iterations=iterations,
    )


def unit_of(
    method: Curve, value: float, tasks: FewShot, run: TrainingConfig, evaluation_tasks: int
) -> Unit[FewShot]:
    """Return one point of a sweep as a unit of its own.

    Args:
        method: the curve.
        value: what is swept.
        tasks: the tasks that it is trained on.
        run: its configuration.
        evaluation_tasks: unseen tasks that it is scored on.
    """
    facts: Facts = {"curve": f"{method.name}-{value:g}", "method": method.name, "value": value}
    return unit(facts, tasks, run, evaluation_tasks)


def sweep(
    pool: Callable[[], ClassPool],
    budget: SweepBudget,
    seeds: Sequence[int],
    point: Callable[[float], tuple[int, int, float]],
    shown: Callable[[Curve, float], bool] = lambda method, value: True,
) -> tuple[Unit[FewShot], ...]:
    """Return the runs of a sweep, the longest first.

    Args:
        pool: makes the classes.
        budget: how much work to do, and the grid of values.
        seeds: one run of every point and method per seed.
        point: maps a value of the grid to inner steps, images per minibatch and ε.
        shown: says whether a method has a point at a value.
    """
    classes, units = pool(), []
    for value in sorted(budget.grid, reverse=True):
        k, batch, epsilon = point(value)
        for method in (method for method in METHODS if shown(method, value)):
            tasks = family(classes, method, batch)
            units += [
                unit_of(
                    method,
                    value,
                    tasks,
                    config(method, k, epsilon, budget.iterations, seed),
                    budget.evaluation_tasks,
                )
                for seed in seeds
            ]
    return tuple(units)
