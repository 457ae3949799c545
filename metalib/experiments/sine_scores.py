"""How initializations are scored on sine waves, and read back from stored runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch

from metalib.errors import require
from metalib.evaluation import adaptation_errors
from metalib.inner import SGD, inner_loop
from metalib.meta_gradients import fomaml, maml
from metalib.params import Params, dot_per_run, repeat
from metalib.store import Result
from metalib.tasks import BLOCK
from metalib.tasks.sine import INTERVAL, Sine, grid, sample_support

if TYPE_CHECKING:
    from jaxtyping import Float

EVALUATION_SEED = 1_000_000
"""All runs are scored on the same tasks, which no run is trained on: their differences are paired."""

POINTS = 10
GRADIENT_STEPS = 32

EXPLODED = 1_000.0
"""An error from which on we say that adapting has exploded: over 200 times that of the zero function."""


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
