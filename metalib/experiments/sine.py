"""Section 4: one-dimensional sine wave regression (Fig. 1), and what Reptile's k and n are for."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch

from metalib.config import TrainingConfig
from metalib.errors import require
from metalib.evaluation import adaptation_errors
from metalib.experiments import Budget, Experiment, Unit
from metalib.inner import SGD, inner_loop
from metalib.meta_gradients import fomaml, maml
from metalib.params import Params, dot_per_run, repeat
from metalib.store import Result, digest
from metalib.tasks import BLOCK
from metalib.tasks.sine import INTERVAL, Sine, grid, require_points, sample_support
from metalib.training import Trained

if TYPE_CHECKING:
    from jaxtyping import Float

EVALUATION_SEED = 1_000_000
"""All runs are scored on the same tasks, which no run is trained on: their differences are paired."""

POINTS = 10
GRADIENT_STEPS = 32

BUDGETS = {
    "smoke": Budget(iterations=200, evaluation_tasks=50),
    "quick": Budget(iterations=3_000, evaluation_tasks=1_000),
    "paper": Budget(iterations=30_000, evaluation_tasks=1_000),
}

EPSILON = {"reptile": 0.1, "fomaml": 0.5, "maml": 0.5, "joint": 0.5}
"""The authors' demo gives Reptile ε = 0.1. A sum of k = 5 gradients takes five times the step of one
gradient, so the others get 5 ε: the weight of AvgGrad, ε Σ c_i, is then the same for all methods."""

EXPLODED = 1_000.0
"""An error from which on we say that adapting has exploded: over 200 times that of the zero function."""

K_SWEEP = (1, 2, 3, 5, 10)


ADAM_STEP = 0.001
"""Step size of an outer Adam, as in Finn et al. 2017."""


def method_configs(
    iterations: int, seeds: tuple[int, ...], outer: str = "interpolate"
) -> tuple[TrainingConfig, ...]:
    """Return one run per method and seed; everything but ε is as in the authors' demo."""
    return tuple(
        TrainingConfig(
            algorithm=algorithm,
            epsilon=epsilon if outer == "interpolate" else ADAM_STEP,
            outer=outer,
            seed=seed,
            iterations=iterations,
        )
        for algorithm, epsilon in EPSILON.items()
        for seed in seeds
    )


def custom(config: TrainingConfig, activation: str, points: int, evaluation_tasks: int) -> Experiment:
    """Return the experiment of one configuration of one's own, under any seeds.

    Its name ends in a digest of the settings, so that different settings do not share a folder.

    Raises:
        InputError: if the activation or the number of points is out of range.
    """
    require_points(points)
    family = Sine(activation=activation)
    settings = [replace(config, seed=0).as_dict(), activation, points]

    def units(budget: Budget, seeds: tuple[int, ...]) -> tuple[Unit, ...]:
        return (Unit(activation, family, tuple(replace(config, seed=seed) for seed in seeds)),)

    return Experiment(
        f"sine-{config.algorithm}-{digest(settings)}",
        "one configuration on sine waves",
        {"custom": Budget(config.iterations, evaluation_tasks)},
        units,
        partial(_record, points=points),
    )


def score(
    family: Sine,
    phi: Params,
    labels: list[dict[str, object]],
    alpha: float,
    tasks: int,
    points: int = POINTS,
) -> pd.DataFrame:
    """Score initializations on unseen sine waves after 0 … 32 steps on the points seen, 10 by default.

    Two settings: `whole`, the points lie anywhere and the error is taken everywhere; `half`, the points
    lie in the left half of the interval and the error is taken on the right half, where nothing was seen.

    Args:
        family: says which network the weights belong to.
        phi: the initializations of R runs.
        labels: what to write beside each run's rows.
        alpha: inner step size.
        tasks: how many sine waves.
        points: how many points the learner sees.

    Returns:
        One row per run, setting and step: the squared error's mean over tasks (`mse`) with its standard
        error, its `median` over tasks, the number of tasks on which adapting `exploded`, and the mean
        difference from the zero function on the same tasks (`excess`) with its standard error.
    """
    settings = {
        "whole": (INTERVAL, np.full(len(grid()), True)),
        "half": ((INTERVAL[0], 0.0), grid() > 0.0),
    }
    rows = []
    for setting, (interval, scored) in settings.items():
        support = sample_support(EVALUATION_SEED, tasks, points, interval)
        errors = adaptation_errors(family.model, phi, support, alpha, GRADIENT_STEPS, scored)
        curves = support.tasks(np.broadcast_to(grid(), (tasks, len(grid()))))
        zero = np.square(curves[:, scored]).mean(1)
        for label, run in zip(labels, errors, strict=True):
            for step in range(GRADIENT_STEPS + 1):
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
    drawn = family.draw(EVALUATION_SEED, 0, tasks=2, steps=k)
    losses = [
        family.loss({name: torch.from_numpy(array[:, :, i]).flatten(0, 1) for name, array in drawn.items()})
        for i in range(k)
    ]
    trajectory = inner_loop(losses, repeat(phi, 2 * BLOCK), SGD(alpha))
    second, first = maml(trajectory), fomaml(trajectory)
    return float((dot_per_run(second, second) / dot_per_run(first, first)).sqrt().median())


def _standard_error(values: Float[np.ndarray, " tasks"]) -> float:
    if not np.isfinite(values).all():
        return float("nan")
    return float(values.std(ddof=1)) / len(values) ** 0.5


def _record(unit: Unit, trained: Trained, budget: Budget, points: int = POINTS) -> Result:
    """Score the trained runs and, as the point of comparison, each seed's untrained weights."""
    family = unit.family
    assert isinstance(family, Sine)
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
    adaptation = score(family, phi, labels, alpha, budget.evaluation_tasks, points)
    arrays = {name: value.cpu().numpy() for name, value in phi.items()}
    return Result({"adaptation": adaptation, "history": trained.history}, arrays)


def _label(config: TrainingConfig) -> dict[str, object]:
    """Name a run by its method, seed, the inner steps that count, and ε."""
    steps = sum(c != 0 for c in config.weights) if config.weights else config.k
    return {
        "algorithm": config.algorithm,
        "seed": config.seed,
        "steps": steps,
        "epsilon": config.epsilon,
    }


def _figure1_units(budget: Budget, seeds: tuple[int, ...]) -> tuple[Unit, ...]:
    """Both activations, because the paper names none, and both outer steps that section 3 offers."""
    return tuple(
        Unit(
            f"{activation}-{outer}",
            Sine(activation=activation),
            method_configs(budget.iterations, seeds, outer),
        )
        for outer in ("interpolate", "adam")
        for activation in ("tanh", "relu")
    )


def _inner_steps_units(budget: Budget, seeds: tuple[int, ...]) -> tuple[Unit, ...]:
    """Put every k into one stack: k-step Reptile is c = (1, …, 1, 0, …, 0) on a longer inner loop."""
    longest = max(K_SWEEP)
    configs = tuple(
        TrainingConfig(
            algorithm="combination",
            weights=(1.0,) * k + (0.0,) * (longest - k),
            k=longest,
            epsilon=epsilon,
            seed=seed,
            iterations=budget.iterations,
        )
        for k in K_SWEEP
        for epsilon in sorted({0.1, 0.5 / k})
        for seed in seeds
    )
    return (Unit("tanh", Sine(), configs),)


def _meta_batch_units(budget: Budget, seeds: tuple[int, ...]) -> tuple[Unit, ...]:
    """Compare serial Reptile with five tasks per outer step: as many steps, and as many tasks."""
    n = 5
    settings = {
        "serial": (1, budget.iterations, 0.1),
        "batched-same-steps": (n, budget.iterations, 0.1),
        "batched-same-tasks": (n, budget.iterations // n, 0.1 * n),
    }
    return tuple(
        Unit(
            name,
            Sine(),
            tuple(
                TrainingConfig(tasks=tasks, iterations=iterations, epsilon=epsilon, seed=seed)
                for seed in seeds
            ),
        )
        for name, (tasks, iterations, epsilon) in settings.items()
    )


FIGURE_1 = Experiment(
    "sine-figure-1",
    "Fig. 1: MAML, FOMAML, Reptile, joint training and no training on sine waves",
    BUDGETS,
    _figure1_units,
    _record,
    keep_diverged=True,
)
INNER_STEPS = Experiment(
    "sine-inner-steps",
    "Reptile on sine waves with k = 1, 2, 3, 5, 10 inner steps",
    BUDGETS,
    _inner_steps_units,
    _record,
)
META_BATCH = Experiment(
    "sine-meta-batch",
    "Reptile on sine waves, serial and batched (Eq. 5)",
    BUDGETS,
    _meta_batch_units,
    _record,
)
