"""Section 4: one-dimensional sine wave regression (Fig. 1), what k and n are for, and equal k for all."""

from __future__ import annotations

from dataclasses import replace

from companion.budgets import BUDGETS, Budget
from companion.running.experiment import Experiment, Unit
from companion.sine.scores import GRADIENT_STEPS, RecordAdaptation
from metalib.errors import require
from metalib.memory import require_room
from metalib.store import digest
from metalib.tasks.sine import GRID_POINTS, Sine, require_points
from metalib.training import TrainingConfig

EPSILON = {"reptile": 0.1, "fomaml": 0.5, "maml": 0.5, "joint": 0.5}
"""The authors' demo gives Reptile ε = 0.1. A sum of k = 5 gradients takes five times the step of one
gradient, so the others get 5 ε: the weight of AvgGrad, ε Σ c_i, is then the same for all methods."""

K_SWEEP = (1, 2, 3, 5, 10)
EQUAL_K_SWEEP = (*K_SWEEP, 20, 50)

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


def custom(config: TrainingConfig, activation: str, points: int, evaluation_tasks: int) -> Experiment[Budget]:
    """Return the experiment of one configuration of one's own, under any seeds.

    Its name ends in a digest of the settings, so that different settings do not share a folder.

    Args:
        config: the run; its seed is replaced.
        activation: "tanh" or "relu".
        points: how many points the learner sees in evaluation.
        evaluation_tasks: how many unseen sine waves it is scored on.

    Raises:
        InputError: if the activation or the number of points is out of range, or there is no task to score
            on, or more than fit in memory, or β1 is given to plain SGD.
    """
    require_points(points)
    require(
        config.inner != "sgd" or config.beta1 == 0.0,
        f"beta1 is {config.beta1}, and plain SGD has no moments; set inner to 'adam' or 'adam-fresh'",
    )
    require(
        evaluation_tasks >= 1,
        f"evaluation_tasks is {evaluation_tasks}; score on at least one unseen task",
    )
    curves = evaluation_tasks * GRID_POINTS * (GRADIENT_STEPS + 1) * 8
    what = f"evaluation_tasks is {evaluation_tasks}, which"
    require_room(curves, "cpu", what, "score on fewer tasks")
    family = Sine(activation=activation)
    settings = [replace(config, seed=0).as_dict(), activation, points]

    def units(budget: Budget, seeds: tuple[int, ...]) -> tuple[Unit[Sine], ...]:
        runs = tuple(replace(config, seed=seed) for seed in seeds)
        return (Unit(activation, family, runs, RecordAdaptation(budget.evaluation_tasks, points)),)

    return Experiment(
        f"sine-{config.algorithm}-{digest(settings)}",
        "one configuration on sine waves",
        {"custom": Budget(config.iterations, evaluation_tasks)},
        units,
    )


def _figure1_units(budget: Budget, seeds: tuple[int, ...]) -> tuple[Unit[Sine], ...]:
    """Both activations, because the paper names none, and both outer steps that section 3 offers."""
    return tuple(
        Unit(
            f"{activation}-{outer}",
            Sine(activation=activation),
            method_configs(budget.iterations, seeds, outer),
            RecordAdaptation(budget.evaluation_tasks),
            facts={"activation": activation, "outer": outer},
        )
        for outer in ("interpolate", "adam")
        for activation in ("tanh", "relu")
    )


def _inner_steps_units(budget: Budget, seeds: tuple[int, ...]) -> tuple[Unit[Sine], ...]:
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
    return (Unit("tanh", Sine(), configs, RecordAdaptation(budget.evaluation_tasks)),)


def _meta_batch_units(budget: Budget, seeds: tuple[int, ...]) -> tuple[Unit[Sine], ...]:
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
            RecordAdaptation(budget.evaluation_tasks),
            facts={"schedule": name},
        )
        for name, (tasks, iterations, epsilon) in settings.items()
    )


FIGURE_1 = Experiment(
    "sine-figure-1",
    "Fig. 1: MAML, FOMAML, Reptile, joint training and no training on sine waves",
    BUDGETS["sine-figure-1"],
    _figure1_units,
    on_divergence="record",
)
INNER_STEPS = Experiment(
    "sine-inner-steps",
    "Reptile on sine waves with k = 1, 2, 3, 5, 10 inner steps",
    BUDGETS["sine-inner-steps"],
    _inner_steps_units,
)
META_BATCH = Experiment(
    "sine-meta-batch",
    "Reptile on sine waves, serial and batched (Eq. 5)",
    BUDGETS["sine-meta-batch"],
    _meta_batch_units,
)


def _equal_k_units(budget: Budget, seeds: tuple[int, ...]) -> tuple[Unit[Sine], ...]:
    """Give every method the same k. The outer step is Adam's, as gradients of methods differ in length."""
    return tuple(
        Unit(
            f"k-{k}",
            Sine(),
            tuple(
                TrainingConfig(
                    algorithm=algorithm,
                    k=k,
                    epsilon=ADAM_STEP,
                    outer="adam",
                    seed=seed,
                    iterations=budget.iterations,
                )
                for algorithm in ("reptile", "fomaml", "maml")
                for seed in seeds
            ),
            RecordAdaptation(budget.evaluation_tasks),
        )
        for k in EQUAL_K_SWEEP
    )


EQUAL_K = Experiment(
    "sine-equal-k",
    "Every method with the same k",
    BUDGETS["sine-equal-k"],
    _equal_k_units,
    on_divergence="record",
)
