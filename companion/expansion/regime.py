"""How far the expansion reaches: the remainder over (α, k), the settings of training, and kinks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from companion.expansion.problems import Problem
from companion.expansion.remainders import COMPARED
from companion.inner_gradients.figure3 import LARGEST_K
from companion.inner_gradients.settings import ALPHA, BATCH
from metalib.derivatives import MinibatchLoss, mean_squared_error
from metalib.inner import inner_loop
from metalib.models.mlp import initialize_mlp, mlp
from metalib.optimizers import SGD
from metalib.params import Params, norm, norm_per_run, repeat, scale, select, subtract
from metalib.rng import generator
from metalib.tasks.sine import INTERVAL, sample_tasks
from metalib.theory.expectations import average_run
from metalib.theory.taylor import expand_fomaml
from metalib.training import TrainingConfig


def remainder_map(problem: Problem, alphas: Tensor, ks: Sequence[int], algorithm: str) -> pd.DataFrame:
    """Map the remainder over (α, k); all step sizes and tasks run as one stack.

    Returns:
        A row per task, α and k: `relative` is ‖remainder‖ / ‖g‖ and `against_term` is ‖remainder‖
        over ‖Hessian term‖; where the latter passes 1 the theory's second term is not even a correction.
    """
    method = COMPARED[algorithm]
    tasks, count = problem.pool.tasks, len(alphas)
    first = (torch.arange(tasks) * problem.pool.minibatches).repeat_interleave(count)
    alpha = alphas.repeat(tasks)
    phi = repeat(problem.phi, tasks * count)
    rows = []
    for k in ks:
        losses = [problem.pool.losses.select(first + i) for i in range(k)]
        expansion = method.expand(losses, phi)
        g = method.gradient(inner_loop(losses, phi, SGD(alpha)))
        remainder = norm_per_run(subtract(g, expansion.at(alpha)))
        term = alpha * norm_per_run(expansion.first)
        rows.append(
            pd.DataFrame(
                {
                    "task": torch.arange(tasks).repeat_interleave(count).numpy(),
                    "alpha": alpha.numpy(),
                    "k": k,
                    "relative": (remainder / norm_per_run(g)).numpy(),
                    "against_term": (remainder / term).numpy(),
                }
            )
        )
    return pd.concat(rows, ignore_index=True)


def training_settings() -> pd.DataFrame:
    """Return where the paper trains with plain SGD, as α on the mean loss of a minibatch, and k.

    Section 6.1 trains with Adam, whose steps are not −α g: its α cannot be marked on such a map.
    """
    demo = TrainingConfig()
    rows = [
        ("section 4 (authors' demo)", "sine", demo.alpha, demo.alpha, demo.k),
        # The loss of section 6.2 is a sum over the minibatch.
        *[("section 6.2", "Omniglot", ALPHA, ALPHA * BATCH, k) for k in range(2, LARGEST_K + 1)],
    ]
    return pd.DataFrame(rows, columns=["setting", "task", "alpha", "alpha on the mean loss", "k"])


def kinks(
    activation: str, alphas: Sequence[float], draws: int = 1000, batch: int = 10, seed: int = 0
) -> pd.DataFrame:
    """Measure the remainder of g_2 draw by draw and on average, for a network with or without kinks.

    Minibatches are `batch` points x ~ U[−5, 5] of random sine tasks, so that where they lie relative to a
    unit's kink is random too.

    Returns:
        A row per α: the median over draws of ‖remainder‖ / ‖g_2‖; ‖E remainder‖ relative to ‖α E[H̄_2 ḡ_1]‖,
        and the same for sampling noise alone (from half the difference of two halves).
    """
    phi_1 = initialize_mlp(seed, dtype=torch.float64)
    losses = _continuous_minibatches(activation, draws, batch, seed)
    phi = repeat(phi_1, draws)
    expansion = expand_fomaml(losses, phi)
    term = norm(average_run(expansion.first)).item()
    half = draws // 2
    rows = []
    for alpha in alphas:
        g = inner_loop(losses, phi, SGD(alpha)).g[1]
        remainder = subtract(g, expansion.at(alpha))
        relative = (norm_per_run(remainder) / norm_per_run(g)).median().item()
        one, two = (average_run(select(remainder, part)) for part in (slice(half), slice(half, None)))
        noise = norm(scale(subtract(one, two), 0.5)).item() / (alpha * term)
        rows.append((alpha, relative, norm(average_run(remainder)).item() / (alpha * term), noise))
    return pd.DataFrame(rows, columns=["alpha", "median relative", "mean against term", "noise"])


def _continuous_minibatches(activation: str, draws: int, batch: int, seed: int) -> list[MinibatchLoss]:
    def model(params: Params, inputs: Tensor) -> Tensor:
        return mlp(params, inputs, activation)

    rng = generator(seed, "kinks")
    tasks = sample_tasks(rng, draws)
    points = [rng.uniform(*INTERVAL, size=(draws, batch)) for _ in range(2)]
    return [
        MinibatchLoss(
            model, mean_squared_error, torch.from_numpy(x)[..., None], torch.from_numpy(tasks(x))[..., None]
        )
        for x in points
    ]


def local_order(table: pd.DataFrame, column: str) -> list[float]:
    """Return the slope of log column against log α between neighboring step sizes."""
    x, y = np.log(table["alpha"].to_numpy()), np.log(table[column].to_numpy())
    return list(np.diff(y) / np.diff(x))
