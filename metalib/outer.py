"""One outer step for a stack of runs: from the inner trajectories of their tasks to the next φ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from metalib.config import TrainingConfig, require_stackable
from metalib.derivatives import MinibatchLoss
from metalib.inner import SGD, Adam, AdamState, Optimizer, Trajectory, inner_loop
from metalib.meta_gradients import combination_of_displacements, maml
from metalib.params import Factor, Params, add_scaled, mean, mean_of_groups, repeat, scale

if TYPE_CHECKING:
    from jaxtyping import Float


@dataclass(frozen=True)
class OuterState:
    """What one outer iteration hands to the next.

    Attributes:
        phi: the initialization φ of every run.
        inner: the moments of an inner Adam that run on from task to task and are never reset.
        outer: the moments of an outer Adam.
    """

    phi: Params
    inner: AdamState | None = None
    outer: AdamState | None = None


@dataclass(frozen=True)
class Group:
    """Neighbouring runs of a stack that combine their inner gradients alike.

    Attributes:
        runs: which runs.
        weights: c_1 … c_k, or `None` for MAML, which alone pays for second derivatives.
    """

    runs: slice
    weights: tuple[float, ...] | None


@dataclass(frozen=True)
class OuterStep:
    """The outer step of a stack of R runs.

    Attributes:
        configs: the R configurations.
        optimizer: the inner optimizer, with one α per stacked task where the runs differ.
        alpha: α, one number or one per run.
        groups: the runs by how they combine their inner gradients; together they are the whole stack.
        width: tasks of one run that are stacked side by side.
    """

    configs: tuple[TrainingConfig, ...]
    optimizer: Optimizer
    alpha: Factor
    groups: tuple[Group, ...]
    width: int

    def __call__(
        self, state: OuterState, losses: Sequence[Sequence[MinibatchLoss]], epsilon: Factor
    ) -> tuple[OuterState, Float[Tensor, "runs k"]]:
        """Return the state after one outer iteration and the inner losses L_i(φ_i), averaged over tasks.

        Under SGD the n tasks of an iteration do not touch each other and run side by side: `losses`
        holds one sequence of k losses over R · n stacked tasks. Adam's moments run on from one task to
        the next, so there `losses` holds n sequences over R runs each.

        Source: Nichol et al. 2018, Algorithm 1 and Eq. 5.
        """
        displacements, values, inner = [], [], state.inner
        for task_losses in losses:
            start = repeat(state.phi, self.width) if self.width > 1 else state.phi
            trajectory = inner_loop(task_losses, start, self.optimizer, inner)
            if inner is not None:
                inner = trajectory.state
            displacements.append(self.displacement(trajectory))
            values.append(torch.stack(trajectory.values, 1).unflatten(0, (-1, self.width)).mean(1))
        displacement = mean(displacements) if len(displacements) > 1 else displacements[0]
        inner_losses = torch.stack(values).mean(0)
        if state.outer is None:
            return OuterState(add_scaled(state.phi, displacement, -epsilon), inner), inner_losses
        # Nichol et al. 2018, section 3: (φ − φ̃)/α is the natural gradient to hand to another optimizer.
        g = scale(displacement, 1.0 / self.alpha)
        direction, outer = Adam(1.0, beta1=0.9).direction(g, state.outer)
        return OuterState(add_scaled(state.phi, direction, -epsilon), inner, outer), inner_losses

    def displacement(self, trajectory: Trajectory) -> Params:
        """Return what φ moves against, averaged over tasks: Σ c_i (φ_i − φ_{i+1}), or α g_MAML."""
        parts = []
        for group in self.groups:
            rows = slice(group.runs.start * self.width, group.runs.stop * self.width)
            if group.weights is None:
                part = trajectory.select(rows)
                parts.append(scale(maml(part), part.alpha))
            else:
                parts.append(combination_of_displacements(trajectory, group.weights, rows))
        whole = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
        return mean_of_groups(whole, self.width) if self.width > 1 else whole


def outer_step(
    configs: Sequence[TrainingConfig], width: int, device: torch.device, dtype: torch.dtype
) -> OuterStep:
    """Prepare the outer step of a stack.

    Args:
        configs: the runs, which must share everything in `config.SHARED`.
        width: tasks of one run that are stacked side by side.
        device: where the runs live.
        dtype: floating-point type of the weights.
    """
    require_stackable(configs)
    alphas = [config.alpha for config in configs]
    alpha: Factor = alphas[0]
    if len(set(alphas)) > 1:
        alpha = torch.tensor(alphas, device=device, dtype=dtype)
    per_task = alpha.repeat_interleave(width) if isinstance(alpha, Tensor) else alpha
    first = configs[0]
    optimizer: Optimizer = SGD(per_task) if first.inner == "sgd" else Adam(per_task, first.beta1)
    return OuterStep(tuple(configs), optimizer, alpha, _groups(configs), width)


def _groups(configs: Sequence[TrainingConfig]) -> tuple[Group, ...]:
    groups, start = [], 0
    for weights, members in groupby(config.combination for config in configs):
        stop = start + len(list(members))
        groups.append(Group(slice(start, stop), weights))
        start = stop
    return tuple(groups)
