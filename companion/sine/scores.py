"""How initializations are scored on sine waves, and read back from stored runs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from companion.results import Result
from metalib.errors import require
from metalib.evaluation.regression import adaptation_errors
from metalib.inner import inner_loop
from metalib.meta_gradients import fomaml, maml
from metalib.optimizers import SGD
from metalib.params import Params, dot_per_run, repeat
from metalib.tasks.family import BLOCK
from metalib.tasks.sine import INTERVAL, Sine, SupportSet, grid, sample_support
from metalib.training import Trained, TrainingConfig

if TYPE_CHECKING:
    from jaxtyping import Bool, Float

EVALUATION_SEED = 1_000_000
"""All runs are scored on the same tasks, which no run is trained on: their differences are paired."""

POINTS = 10
GRADIENT_STEPS = 32

SETTINGS = {
    "whole": (INTERVAL, np.full(len(grid()), True)),
    "half": ((INTERVAL[0], 0.0), grid() > 0.0),
}
"""By name: the interval that holds the points seen, and which points of the grid are scored."""

EXPLODED = 1_000.0
"""An error from which on we say that adapting has exploded: over 200 times that of the zero function."""


@dataclass(frozen=True)
class RecordAdaptation:
    """What is kept of runs on sine waves: errors along adaptation, history, and the weights.

    Attributes:
        tasks: how many unseen sine waves they are scored on.
        points: how many points the learner sees.
        gradient_steps: how many steps it takes.
    """

    tasks: int
    points: int = POINTS
    gradient_steps: int = GRADIENT_STEPS

    def as_dict(self) -> dict[str, Any]:
        """Return everything that decides what is recorded, as JSON can hold it."""
        return {"kind": "RecordAdaptation", **asdict(self), "evaluation_seed": EVALUATION_SEED}

    def __call__(self, family: Sine, trained: Trained) -> Result:
        """Score the trained runs and, as the point of comparison, each seed's untrained weights.

        Raises:
            InputError: if the runs differ in α, with which they are scored.
        """
        sizes = {config.alpha for config in trained.configs}
        require(len(sizes) == 1, f"alpha is {sorted(sizes)}; runs that are scored together share one")
        device = next(iter(trained.phi.values())).device
        seeds = sorted({config.seed for config in trained.configs})
        untrained = [family.initialize(seed) for seed in seeds]
        phi = {
            name: torch.cat([value, *(run[name].to(device) for run in untrained)])
            for name, value in trained.phi.items()
        }
        labels = [_label(config) for config in trained.configs]
        labels += [{"algorithm": "random", "seed": seed, "steps": 0, "epsilon": 0.0} for seed in seeds]
        alpha = trained.configs[0].alpha
        adaptation = score(family, phi, labels, alpha, self.tasks, self.points, self.gradient_steps)
        arrays = {name: value.cpu().numpy() for name, value in phi.items()}
        return Result({"adaptation": adaptation, "history": trained.history}, arrays)


def _label(config: TrainingConfig) -> dict[str, object]:
    """Name a run by its method, seed, the inner steps that count, and ε."""
    steps = sum(c != 0 for c in config.weights) if config.weights else config.k
    return {"algorithm": config.algorithm, "seed": config.seed, "steps": steps, "epsilon": config.epsilon}


def score(
    family: Sine,
    phi: Params,
    labels: list[dict[str, object]],
    alpha: float,
    tasks: int,
    points: int = POINTS,
    gradient_steps: int = GRADIENT_STEPS,
) -> pd.DataFrame:
    """Score initializations on unseen sine waves after 0 … 32 steps on the points seen, 10 by default.

    Two `SETTINGS`: `whole`, the points lie anywhere and the error is taken everywhere; `half`, the points
    lie in the left half of the interval and the error is taken on the right half, where nothing was seen.

    Args:
        family: says which network the weights belong to.
        phi: the initializations of R runs.
        labels: what to write beside each run's rows.
        alpha: inner step size.
        tasks: how many sine waves.
        points: how many points the learner sees.
        gradient_steps: how many steps it takes.

    Returns:
        One row per run, setting and step: the squared error's mean over tasks (`mse`) with its standard
        error, its `median` over tasks, the number of tasks on which adapting `exploded`, and the mean
        difference from the zero function on the same tasks (`excess`) with its standard error.
    """
    rows = []
    for setting, (interval, scored) in SETTINGS.items():
        support = sample_support(EVALUATION_SEED, tasks, points, interval)
        errors = adaptation_errors(family.model, phi, support, alpha, gradient_steps, scored)
        zero = _zero_function(support, scored)
        for label, run in zip(labels, errors, strict=True):
            for step in range(gradient_steps + 1):
                mse, excess = run[:, step], run[:, step] - zero
                rows.append(
                    {
                        **label,
                        "points": setting,
                        "step": step,
                        "mse": mse.mean(),
                        "mse_standard_error": _standard_error(mse),
                        "median": np.median(mse),
                        "exploded": int((~(mse < EXPLODED)).sum()),
                        "excess": excess.mean(),
                        "excess_standard_error": _standard_error(excess),
                    }
                )
    return pd.DataFrame(rows)


def median_of_zero_function(tasks: int) -> float:
    """Return the median over the unseen tasks of the error of f ≡ 0, on the half where nothing is seen."""
    interval, scored = SETTINGS["half"]
    return float(np.median(_zero_function(sample_support(EVALUATION_SEED, tasks, POINTS, interval), scored)))


def _zero_function(support: SupportSet, scored: Bool[np.ndarray, " 50"]) -> Float[np.ndarray, " tasks"]:
    """The error of f ≡ 0 on every task, over the points of the grid that are scored."""
    curves = support.tasks(np.broadcast_to(grid(), (len(support.x), len(grid()))))
    return np.square(curves[:, scored]).mean(1)


def initialization(result: Result, unit: str, algorithm: str, seed: int) -> Params:
    """Return the weights that a method trained (or "random" ones), from the result of `FIGURE_1`.

    Raises:
        InputError: if the result holds no such run.
    """
    adaptation = result.tables["adaptation"]
    runs = adaptation[adaptation.unit == unit][["algorithm", "seed"]].drop_duplicates()
    names = list(runs.itertuples(index=False, name=None))
    require((algorithm, seed) in names, f"unit {unit!r} has no run of {algorithm!r} with seed {seed}")
    row = names.index((algorithm, seed))
    return {
        name.removeprefix(f"{unit}/"): torch.from_numpy(array[row : row + 1])
        for name, array in result.arrays.items()
        if name.startswith(f"{unit}/")
    }


def maml_against_fomaml(phi: Params, alpha: float = 0.02, k: int = 5) -> float:
    """Return ‖g_MAML‖ / ‖g_FOMAML‖ at one initialization: the median over 200 tasks.

    Both gradients belong to the same trajectories; what differs is the Jacobian of Eq. 4.
    """
    family = Sine()
    sampled = family.sample(EVALUATION_SEED, 0, tasks=2, steps=k)
    losses = [
        family.loss({name: torch.from_numpy(array[:, :, i]).flatten(0, 1) for name, array in sampled.items()})
        for i in range(k)
    ]
    trajectory = inner_loop(losses, repeat(phi, 2 * BLOCK), SGD(alpha))
    second, first = maml(trajectory), fomaml(trajectory)
    return float((dot_per_run(second, second) / dot_per_run(first, first)).sqrt().median())


def _standard_error(values: Float[np.ndarray, " tasks"]) -> float:
    if not np.isfinite(values).all():
        return float("nan")
    return float(values.std(ddof=1)) / len(values) ** 0.5
