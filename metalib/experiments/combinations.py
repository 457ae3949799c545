"""What the experiments on combinations of inner gradients share (section 6.2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from metalib.config import TrainingConfig
from metalib.experiments import Budget, Unit
from metalib.experiments.fewshot_scores import LearningCurve, Scoring, score
from metalib.intervals import Interval, interval, over_seeds
from metalib.store import Result
from metalib.tasks.classes import ClassPool
from metalib.tasks.fewshot import FewShot
from metalib.training import Trained

WAYS = 5
SHOTS = 5
ALPHA = 0.003
BATCH = 25
EPSILON = 0.25
EVALUATION_STEPS = 5
WATCHED_TASKS = 4
"""Tasks per point of a learning curve. The authors' monitor shows one task every 10 outer iterations."""

BUDGETS = {
    "smoke": Budget(20, 8),
    "quick": Budget(300, 100),
    "laptop": Budget(10_000, 500),
    "paper": Budget(40_000, 10_000),
}


@dataclass(frozen=True)
class Combination:
    """Weights c_1 … c_k of the inner gradients, as one curve of a figure.

    Attributes:
        name: names files, such as "4-sum".
        label: what readers see, such as "g1 + g2 + g3 + g4".
        weights: c_1 … c_k.
    """

    name: str
    label: str
    weights: tuple[float, ...]

    @property
    def k(self) -> int:
        """The number of inner steps."""
        return len(self.weights)


def scoring(tasks: int) -> Scoring:
    """Return how section 6.2 scores an initialization: 5 shots, 5 steps on all 25 images."""
    return Scoring(tasks, steps=EVALUATION_STEPS, batch=BATCH, shots=(SHOTS,), classes=("test",))


def config(
    weights: Sequence[float], iterations: int, seed: int, *, epsilon: float = EPSILON, tasks: int = 1
) -> TrainingConfig:
    """Return a run of section 6.2: plain SGD inside and outside, ε falling linearly to 0."""
    return TrainingConfig(
        algorithm="combination",
        weights=tuple(map(float, weights)),
        seed=seed,
        k=len(weights),
        alpha=ALPHA,
        epsilon=epsilon,
        iterations=iterations,
        tasks=tasks,
    )


def unit(name: str, family: FewShot, run: TrainingConfig) -> Unit:
    """Return one run as a unit of its own, its learning curve watched."""
    return Unit(f"{name}-seed-{run.seed}", family, (run,), LearningCurve(family, scoring(WATCHED_TASKS)))


def disjoint_family(pool: ClassPool, k: int) -> FewShot:
    """Return 5-way tasks of 5k images per class, in k minibatches of 25 that do not overlap."""
    return FewShot(pool, WAYS, shots=SHOTS * k, batch=BATCH, scheme="disjoint")


def record(unit: Unit, trained: Trained, budget: Budget) -> Result:
    """Return the final accuracies and the learning curve; curves are named by unit, seeds apart."""
    family = unit.family
    assert isinstance(family, FewShot)
    accuracy = score(family, trained, scoring(budget.evaluation_tasks))
    curve = unit.name.rpartition("-seed-")[0]
    return Result(
        {
            "accuracy": accuracy.drop(columns="algorithm").assign(curve=curve),
            "history": trained.history.drop(columns=["algorithm", "run"]).assign(curve=curve),
        }
    )


def stated_budget(result: Result) -> str:
    """Return how long the runs of a stored result are, as a figure should say of itself."""
    ran, full = result.provenance["config"], BUDGETS["paper"].iterations
    return f"{ran['iterations']:,} outer iterations (paper: {full:,}), {len(ran['seeds'])} seeds"


def learning_curves(history: pd.DataFrame, window: int = 10, value: str = "inductive") -> pd.DataFrame:
    """Smooth the learning curves, and average them over the seeds.

    Args:
        history: the table of that name, one row per curve, seed and iteration.
        window: measurements to average, the one at the iteration and those before it.
        value: the mode of evaluation.

    Returns:
        Per curve and iteration `mean`, `low` and `high` over the seeds. Where a window is not full, it is
        as long as it can be.
    """
    ordered = history.sort_values(["curve", "seed", "iteration"])
    smooth = ordered.groupby(["curve", "seed"])[value].transform(
        lambda accuracy: accuracy.rolling(window, min_periods=1).mean()
    )
    # The mean of a window skips what is not finite, and a run that has diverged would live on in it.
    smooth = smooth.where(np.isfinite(ordered[value]))
    return over_seeds(ordered.assign(smooth=smooth), ["curve", "iteration"], "smooth")


def late_losses(history: pd.DataFrame) -> pd.DataFrame:
    """Return the training losses at the end of training, in nats per image, for minibatches of 25.

    Args:
        history: the table of that name, one row per curve, seed and iteration.

    Returns:
        Per curve `loss_before`, L_1(φ_1), and `loss_after`, L_k(φ_k): medians over the seeds and the last
        fifth of training.
    """
    late = history[history.iteration > 0.8 * history.iteration.max()]
    return late.groupby("curve")[["loss_before", "loss_after"]].median() / BATCH


def final_accuracies(accuracy: pd.DataFrame, mode: str = "inductive") -> pd.DataFrame:
    """Return the accuracy of every curve after training: mean and interval over the seeds."""
    return over_seeds(accuracy[accuracy["mode"] == mode], ["curve"], "accuracy")


def differences(
    accuracy: pd.DataFrame, pairs: Sequence[tuple[str, str]], mode: str = "inductive"
) -> pd.DataFrame:
    """Return by how much the first curve of each pair is more accurate than the second, paired by seed.

    Runs of one seed share initial weights, split and evaluation tasks, so that what they have in common
    drops out of the difference.

    Args:
        accuracy: the table of that name.
        pairs: names of curves.
        mode: the mode of evaluation.

    Returns:
        Per pair `first` and `second`, then `mean`, `low` and `high` of the difference over the seeds.
    """
    cells = accuracy[accuracy["mode"] == mode].set_index(["curve", "seed"]).accuracy
    parts = [
        (cells[first] - cells[second]).rename("difference").reset_index().assign(first=first, second=second)
        for first, second in pairs
    ]
    return over_seeds(pd.concat(parts), ["first", "second"], "difference")


def contrast(accuracy: pd.DataFrame, weights: Mapping[str, float], mode: str = "inductive") -> Interval:
    """Return mean and interval over the seeds of a weighted sum of accuracies, paired by seed.

    With weights 1, −1, −1 and 1 it is a difference of differences: how much more one curve gains than
    another.

    Args:
        accuracy: the table of that name.
        weights: what each curve is multiplied by; curves are named.
        mode: the mode of evaluation.
    """
    chosen = accuracy[accuracy["mode"] == mode]
    cells = chosen.pivot_table(index="seed", columns="curve", values="accuracy", dropna=False)
    return interval(cells[list(weights)].to_numpy() @ np.array(list(weights.values())))
