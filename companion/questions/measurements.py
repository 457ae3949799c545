"""What the page of questions measures while it executes, on sine waves in double precision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from companion.expansion.problems import sine_pool
from companion.sine.scores import EVALUATION_SEED
from metalib.derivatives import MinibatchLoss, hvp, mean_squared_error
from metalib.evaluation.regression import adaptation_errors
from metalib.inner import adapt
from metalib.meta_gradients import fomaml, maml, reptile
from metalib.optimizers import SGD
from metalib.params import Params, dot_per_run, mean_of_groups, norm, repeat
from metalib.rng import generator
from metalib.tasks.sine import Sine, grid, sample_support, sample_tasks
from metalib.theory.expectations import average_run, avg_grad, avg_grad_inner

ALPHA = 0.02
"""Inner step size of the authors' demo."""
METHODS = {"MAML": maml, "FOMAML": fomaml, "Reptile": reptile}


def double(phi: Params) -> Params:
    """Return the weights in double precision."""
    return {name: value.double() for name, value in phi.items()}


@dataclass(frozen=True)
class SecondStep:
    """What a second step of SGD adds to the first, by which task its minibatch comes from.

    Attributes:
        avg_grad: ‖E[ḡ_1]‖, the length of the first step's gradient.
        same_task: ‖E[H̄_2 ḡ_1]‖ for two minibatches of one task, AvgGradInner (Eq. 29).
        other_task: the same for minibatches of two tasks, drawn independently: ‖E[H̄] E[ḡ]‖.
    """

    avg_grad: float
    same_task: float
    other_task: float


def second_step(phi: Params, tasks: int, seed: int = 0) -> SecondStep:
    """Return the terms of a second step of SGD, exact for a pool of `tasks` sine waves in two halves each.

    Args:
        phi: the initialization, a stack of one in double precision.
        tasks: sine waves in the pool.
        seed: decides which.

    Source: Nichol et al. 2018, Eqs. 26 and 29; for two tasks the expectation of a product is the product of
    expectations, and vanishes with AvgGrad.
    """
    pool = sine_pool(tasks, 2, 25, seed)
    first = avg_grad(pool, phi)
    runs = tasks * pool.minibatches
    across = average_run(hvp(pool.losses, repeat(phi, runs), repeat(first, runs)))
    return SecondStep(norm(first).item(), norm(avg_grad_inner(pool, phi)).item(), norm(across).item())


@dataclass(frozen=True)
class Average:
    """The average of the weights that several tasks end at.

    Attributes:
        loss: mean squared error of every task's own weights on its own curve, averaged over tasks.
        adapted: mean squared error on new tasks, 10 gradient steps after starting from the average.
    """

    loss: float
    adapted: float


def average_of_ends(phi: Params, steps: int, tasks: int, evaluation_tasks: int, seed: int = 0) -> Average:
    """Train on every task from the same start, on its whole curve, and average where that ends.

    With few steps it is one outer step of batched Reptile with ε = 1 (Eq. 5); with many it is an average of
    solutions.

    Args:
        phi: the start, a stack of one in double precision.
        steps: gradient steps per task.
        tasks: how many are averaged.
        evaluation_tasks: new tasks that the average is scored on.
        seed: decides which tasks are averaged.
    """
    waves = sample_tasks(generator(seed, "averaged"), tasks)
    x = np.broadcast_to(grid(), (tasks, len(grid()))).copy()
    family = Sine(dtype="float64")
    points, truth = (torch.from_numpy(values).unsqueeze(-1) for values in (x, waves(x)))
    loss = MinibatchLoss(family.model, mean_squared_error, points, truth)
    ends = adapt([loss] * steps, repeat(phi, tasks), SGD(ALPHA))
    support = sample_support(EVALUATION_SEED, evaluation_tasks)
    errors = adaptation_errors(family.model, mean_of_groups(ends, tasks), support, ALPHA, 10)
    return Average(loss(ends).mean().item(), float(errors[0, :, -1].mean()))


def gradient_noise(phi: Params, ks: Sequence[int], tasks: int, seed: int = 0) -> pd.DataFrame:
    """Measure how long meta-gradients are, and how much they differ between tasks, as k grows.

    With g_t the meta-gradient of task t, the signal is ‖E[g]‖² and the noise E‖g − E[g]‖², both estimated
    without bias from the sample; `tasks_needed` is their ratio, the number of tasks over which a
    meta-gradient must be averaged for both to be equal.

    Args:
        phi: the initialization, a stack of one in double precision.
        ks: numbers of inner steps; minibatches of 10 of the 50 points cycle.
        tasks: sine waves in the sample.
        seed: decides which.

    Returns:
        One row per k and `method`: `length`, the root mean square of ‖g_t‖, and `tasks_needed`, not a number
        where the signal cannot be told from zero.
    """
    pool = sine_pool(tasks, 5, 10, seed)
    rows = []
    for k in ks:
        draws = torch.arange(tasks)[:, None] * 5 + torch.arange(k) % 5
        trajectory = pool.run(phi, ALPHA, draws)
        for name, method in METHODS.items():
            g = method(trajectory)
            square = dot_per_run(g, g).mean().item()
            of_mean = norm(mean_of_groups(g, tasks)).item() ** 2
            signal = (of_mean - square / tasks) * tasks / (tasks - 1)
            needed = (square - signal) / signal if signal > 0 else float("nan")
            rows.append((k, name, square**0.5, needed))
    return pd.DataFrame(rows, columns=["k", "method", "length", "tasks_needed"])
