"""What the experiments on combinations of inner gradients share (section 6.2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from companion.fewshot.scores import LearningCurve, Scoring, score
from companion.results import Result
from companion.running.experiment import Facts, Unit
from metalib.data.classes import ClassPool
from metalib.tasks.fewshot import FewShot
from metalib.training import Trained, TrainingConfig

WAYS = 5
SHOTS = 5
ALPHA = 0.003
BATCH = 25
EPSILON = 0.25
EVALUATION_STEPS = 5
WATCHED_TASKS = 4
"""Tasks per point of a learning curve. The authors' monitor shows one task every 10 outer iterations."""


@dataclass(frozen=True)
class Combination:
    """Weights c_1 … c_k of the inner gradients, as one curve of a figure.

    Attributes:
        name: names files, such as "4-sum".
        label: what readers see, such as "g1 + g2 + g3 + g4".
        weights: c_1 … c_k.
        kind: what the curve has in common with others, such as "sum".
    """

    name: str
    label: str
    weights: tuple[float, ...]
    kind: str

    @property
    def k(self) -> int:
        """The number of inner steps."""
        return len(self.weights)

    @property
    def facts(self) -> dict[str, str | float]:
        """What tells the curve apart; `lambda`, the weight of −α AvgGradInner, where that of AvgGrad is 1."""
        known: dict[str, str | float] = {"curve": self.name, "kind": self.kind, "k": self.k}
        if sum(self.weights) == 1.0:
            known["lambda"] = float(sum(c * earlier for earlier, c in enumerate(self.weights)))
        return known


@dataclass(frozen=True)
class RecordCurve:
    """What is kept of a run of section 6.2 or 6.3: the final accuracies and the learning curve.

    Attributes:
        scoring: how the trained initialization is scored.
    """

    scoring: Scoring

    def as_dict(self) -> dict[str, Any]:
        """Return everything that decides what is recorded, as JSON can hold it."""
        return {"kind": "RecordCurve", "scoring": self.scoring.as_dict()}

    def __call__(self, family: FewShot, trained: Trained) -> Result:
        """Return the tables `accuracy` and `history`."""
        accuracy = score(family, trained, self.scoring)
        return Result(
            {
                "accuracy": accuracy.drop(columns="algorithm"),
                "history": trained.history.drop(columns=["algorithm", "run"]),
            }
        )


def scoring(tasks: int) -> Scoring:
    """Return how section 6.2 scores an initialization on `tasks` tasks: 5 shots, 5 steps on all 25 images."""
    return Scoring(tasks, steps=EVALUATION_STEPS, batch=BATCH, shots=(SHOTS,), classes=("test",))


def config(
    weights: Sequence[float], iterations: int, seed: int, *, epsilon: float = EPSILON, tasks: int = 1
) -> TrainingConfig:
    """Return a run of section 6.2: plain SGD inside and outside, ε falling linearly to 0.

    Args:
        weights: c_1 … c_k.
        iterations: outer iterations.
        seed: of the run.
        epsilon: the outer step size at the start.
        tasks: tasks per outer iteration.
    """
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


def unit(facts: Facts, family: FewShot, run: TrainingConfig, evaluation_tasks: int) -> Unit[FewShot]:
    """Return one run as a unit of its own, its learning curve watched.

    Args:
        facts: what tells the curve apart; `curve` is its name.
        family: the tasks it is trained on.
        run: its configuration.
        evaluation_tasks: unseen tasks that it is scored on.
    """
    return Unit(
        f"{facts['curve']}-seed-{run.seed}",
        family,
        (run,),
        RecordCurve(scoring(evaluation_tasks)),
        LearningCurve(scoring(WATCHED_TASKS)),
        facts,
    )


def disjoint_family(pool: ClassPool, k: int) -> FewShot:
    """Return 5-way tasks of 5k images per class, in k minibatches of 25 that do not overlap.

    Args:
        pool: the classes and their images.
        k: minibatches.
    """
    return FewShot(pool, WAYS, shots=SHOTS * k, batch=BATCH, scheme="disjoint")
