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

import pandas as pd

from metalib.config import TrainingConfig
from metalib.experiments import Budget, Experiment, Unit
from metalib.experiments.combinations import ALPHA, WAYS, record, unit
from metalib.experiments.fewshot import on_both_pools
from metalib.intervals import over_seeds, plus_minus
from metalib.meta_gradients import fomaml_weights, reptile_weights
from metalib.tasks.classes import ClassPool
from metalib.tasks.fewshot import FewShot

TRAIN_SHOTS = 20
TAIL_SHOTS = 5


@dataclass(frozen=True)
class Method:
    """One curve of Figure 4.

    Attributes:
        name: names files.
        label: what readers see.
        algorithm: "reptile" or "fomaml".
        scheme: how minibatches are drawn, one of `tasks.fewshot.SCHEMES`.
        separate: whether the last minibatch comes from images that no other minibatch holds.
    """

    name: str
    label: str
    algorithm: str
    scheme: str = "cycling"
    separate: bool = False


METHODS = (
    Method("reptile", "Reptile, cycling", "reptile"),
    Method("shared-cycling", "FOMAML, shared tail, cycling", "fomaml"),
    Method("shared-replacement", "FOMAML, shared tail, replacement", "fomaml", scheme="replacement"),
    Method("separate", "FOMAML, separate tail, cycling", "fomaml", separate=True),
)


@dataclass(frozen=True)
class SweepBudget(Budget):
    """How much work a sweep may do.

    Attributes:
        grid: the values of what is swept.
    """

    grid: tuple[float, ...] = ()

    def __str__(self) -> str:
        """Say it to people."""
        if not self.grid:
            return super().__str__()
        return f"{super().__str__()}, at {', '.join(f'{value:g}' for value in self.grid)}"


def family(
    pool: ClassPool, method: Method, batch: int, shots: int = TRAIN_SHOTS, tail: int = TAIL_SHOTS
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


def config(method: Method, k: int, epsilon: float, iterations: int, seed: int) -> TrainingConfig:
    """Return a run of section 6.3: plain SGD inside and outside, ε falling linearly to 0.

    ε beyond 1, which no interpolation has, multiplies the weights of the gradients instead.
    """
    weights = reptile_weights(k) if method.algorithm == "reptile" else fomaml_weights(k)
    longer = max(1.0, epsilon)
    return TrainingConfig(
        algorithm="combination",
        weights=tuple(longer * c for c in weights),
        seed=seed,
        k=k,
        alpha=ALPHA,
        epsilon=epsilon / longer,
        iterations=iterations,
    )


def sweep(
    pool: Callable[[], ClassPool],
    budget: Budget,
    seeds: Sequence[int],
    point: Callable[[float], tuple[int, int, float]],
    methods: Sequence[Method] = METHODS,
) -> tuple[Unit, ...]:
    """Return the runs of a sweep, the longest first.

    Args:
        pool: makes the classes.
        budget: a `SweepBudget`.
        seeds: one run of every point and method per seed.
        point: maps a value of the grid to inner steps, images per minibatch and ε.
        methods: the curves.
    """
    assert isinstance(budget, SweepBudget)
    classes, units = pool(), []
    for value in sorted(budget.grid, reverse=True):
        k, batch, epsilon = point(value)
        for method in methods:
            tasks = family(classes, method, batch)
            units += [
                unit(f"{method.name}-{value:g}", tasks, config(method, k, epsilon, budget.iterations, seed))
                for seed in seeds
            ]
    return tuple(units)


def experiments(
    name: str,
    title: str,
    grids: dict[str, tuple[float, ...]],
    units: Callable[[Callable[[], ClassPool], Budget, tuple[int, ...]], tuple[Unit, ...]],
) -> tuple[Experiment, Experiment]:
    """Return a sweep on Omniglot and its twin on the embedded glyphs; `grids` by budget."""
    work = {"smoke": (10, 4), "quick": (200, 60), "laptop": (2_000, 200), "paper": (40_000, 10_000)}
    budgets = {budget: SweepBudget(*work[budget], grid=grid) for budget, grid in grids.items()}
    return on_both_pools(name, title, budgets, units, record, keep_diverged=True)


def summary(accuracy: pd.DataFrame, mode: str = "inductive") -> pd.DataFrame:
    """Return mean and interval over the seeds for every point of a sweep.

    Args:
        accuracy: the table of that name.
        mode: the mode of evaluation.

    Returns:
        Per `method` and `value` of what is swept: `mean`, `low`, `high`, and how many runs `diverged`.
    """
    chosen = accuracy[accuracy["mode"] == mode]
    parts = chosen.curve.str.rpartition("-")
    named = chosen.assign(method=parts[0], value=parts[2].astype(float))
    return over_seeds(named, ["method", "value"], "accuracy")


def as_text(points: pd.DataFrame, swept: str) -> str:
    """Write a sweep as a table, one method per row; `swept` names its columns."""
    titles = {method.name: method.label for method in METHODS}
    cells = points.assign(text=plus_minus(points), method=points.method.map(titles))
    wide = cells.pivot(index="method", columns="value", values="text")
    shown = [titles[method.name] for method in METHODS if titles[method.name] in wide.index]
    wide.columns = pd.Index([f"{value:g}" for value in wide.columns], name=swept)
    return str(wide.loc[shown].rename_axis(index=None).fillna("").to_string())
