"""What the experiments on combinations of inner gradients share (section 6.2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from metalib.config import TrainingConfig
from metalib.experiments import Budget, Unit
from metalib.experiments.fewshot import LearningCurve, Scoring, score
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
