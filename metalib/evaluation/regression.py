"""Adapt to unseen tasks and score what was learned."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from metalib.derivatives import MinibatchLoss, Model, mean_squared_error
from metalib.errors import require
from metalib.inner import steps
from metalib.memory import side_by_side
from metalib.models.mlp import mlp_footprint
from metalib.optimizers import SGD
from metalib.params import Params, repeat, select
from metalib.tasks.sine import SupportSet, grid

if TYPE_CHECKING:
    from jaxtyping import Bool, Float


def adaptation_errors(
    model: Model,
    phi: Params,
    support: SupportSet,
    alpha: float,
    gradient_steps: int = 32,
    scored: Bool[np.ndarray, " 50"] | None = None,
) -> Float[np.ndarray, "runs tasks steps+1"]:
    """Return the mean squared error on the curve after 0, 1, …, `gradient_steps` steps on the points seen.

    Each step is plain SGD on all points of the task at once, as in Fig. 1.

    Args:
        model: maps (stacked weights, inputs) to predictions.
        phi: the initializations of R runs.
        support: T tasks with the points that the learner sees.
        alpha: inner step size.
        gradient_steps: at least 0.
        scored: which of the 50 grid points the error is taken on; all if `None`.

    Source: Nichol et al. 2018, section 4, Eq. 8 (the integral divided by the length of the interval).
    """
    require(gradient_steps >= 0, f"gradient_steps is {gradient_steps}; it must be at least 0")
    curves = predictions(model, phi, support, alpha, range(gradient_steps + 1))
    chosen = np.ones_like(grid(), dtype=bool) if scored is None else scored
    x = np.broadcast_to(grid(), (len(support.x), len(grid())))
    truth = support.tasks(x)[None, :, None, :]
    return np.square(curves - truth)[..., chosen].mean(-1)


def predictions(
    model: Model, phi: Params, support: SupportSet, alpha: float, after: range | tuple[int, ...]
) -> Float[np.ndarray, "runs tasks len(after) 50"]:
    """Return the learner's curve on the 50 grid points after each of the given numbers of steps.

    The tasks are adapted side by side, as a stack of R · T. Numbers that do not rise from 0 or more, or none,
    are an `InputError`.
    """
    rising = len(after) > 0 and list(after) == sorted(set(after)) and min(after) >= 0
    require(rising, f"after is {after}; give numbers of steps that rise, none below 0")
    like = next(iter(phi.values()))
    runs = len(like)
    size = max(1, side_by_side(mlp_footprint(select(phi, slice(0, 1)), len(grid())), like.device) // runs)
    chunks = [
        _predictions(model, phi, support, slice(start, start + size), alpha, after)
        for start in range(0, len(support.x), size)
    ]
    return torch.cat([chunk.unflatten(0, (runs, -1)) for chunk in chunks], 1).cpu().double().numpy()


def _predictions(
    model: Model, phi: Params, support: SupportSet, tasks: slice, alpha: float, after: range | tuple[int, ...]
) -> Float[Tensor, "runs*tasks len(after) 50"]:
    like = next(iter(phi.values()))
    x, y = (_column(values[tasks], len(like), like) for values in (support.x, support.y))
    curve_x = _column(np.broadcast_to(grid(), (len(support.x[tasks]), len(grid()))), len(like), like)
    adapted = repeat(phi, len(support.x[tasks]))
    loss = MinibatchLoss(model, mean_squared_error, x, y)
    curves = [model(adapted, curve_x)] if 0 in after else []
    for i, step in enumerate(steps([loss] * max(after), adapted, SGD(alpha)), start=1):
        if i in after:
            curves.append(model(step.phi, curve_x))
    return torch.stack(curves, 1).squeeze(-1)


def _column(values: Float[np.ndarray, "tasks points"], runs: int, like: Tensor) -> Tensor:
    """Return the values as model inputs [runs · tasks, points, 1], the same for every run."""
    column = torch.tensor(values, dtype=like.dtype, device=like.device)
    return column.repeat(runs, 1).unsqueeze(-1)
