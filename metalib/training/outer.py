"""One outer step for a stack of runs: from the inner trajectories of their tasks to the next φ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from metalib.derivatives import MinibatchLoss
from metalib.inner import Trajectory, inner_loop
from metalib.methods import Method
from metalib.optimizers import Optimizer, State
from metalib.params import Factor, Params, add_scaled, mean, mean_of_groups, repeat, scale
from metalib.training.config import StackConfig, TrainingConfig
from metalib.training.outer_optimizers import OuterOptimizer
from metalib.training.shares import ALONE, Share

if TYPE_CHECKING:
    from jaxtyping import Float


@dataclass(frozen=True)
class OuterState:
    """What one outer iteration hands to the next.

    Attributes:
        phi: the initialization φ of every run.
        inner: what the inner optimizer carries from task to task; its initial state if it carries nothing.
        outer: what the outer optimizer remembers.
    """

    phi: Params
    inner: State
    outer: State


@dataclass(frozen=True)
class Group:
    """Neighboring runs of a stack that share a method."""

    runs: slice
    method: Method


@dataclass(frozen=True)
class OuterStep:
    """The outer step of a stack of R runs.

    Attributes:
        configs: the R configurations.
        optimizer: the inner optimizer, with one α per stacked task where the runs differ.
        outer: the outer optimizer.
        alpha: α, one number or one per run.
        groups: the runs by method; together they are the whole stack.
        width: tasks of one run that are stacked side by side.
        share: the part of the tasks that this process trains.
    """

    configs: tuple[TrainingConfig, ...]
    optimizer: Optimizer
    outer: OuterOptimizer
    alpha: Factor
    groups: tuple[Group, ...]
    width: int
    share: Share = ALONE

    def initial_state(self, phi: Params) -> OuterState:
        """Return the state before the first outer iteration.

        Args:
            phi: the initial weights of R runs.
        """
        return OuterState(phi, self.optimizer.initial_state(phi), self.outer.rule.initial_state(phi))

    def __call__(
        self, state: OuterState, losses: Sequence[Sequence[MinibatchLoss]], epsilon: Factor
    ) -> tuple[OuterState, Float[Tensor, "runs k"]]:
        """Return the state after one outer iteration and the inner losses L_i(φ_i), averaged over tasks.

        An optimizer that carries nothing from task to task lets the n tasks of an iteration run side by
        side: `losses` holds n / width sequences of k losses over R · width stacked tasks.

        Args:
            state: from the iteration before.
            losses: per group of tasks side by side, L_1 … L_k.
            epsilon: the outer step size ε, one number or one per run.

        Source: Nichol et al. 2018, Algorithm 1 and Eq. 5.
        """
        displacements, values, inner = [], [], state.inner
        start = repeat(state.phi, self.width) if self.width > 1 else state.phi
        for of_tasks in losses:
            carried = inner if self.optimizer.carried else None
            trajectory = inner_loop(of_tasks, start, self.optimizer, carried)
            if self.optimizer.carried:
                inner = trajectory.state
            displacements.append(self.displacement(trajectory))
            values.append(torch.stack(trajectory.values, 1).unflatten(0, (-1, self.width)).mean(1))
        update = mean(displacements) if len(displacements) > 1 else displacements[0]
        update, inner_losses = self.share.mean(update, torch.stack(values).mean(0))
        if self.outer.per_alpha:
            update = scale(update, 1.0 / self.alpha)
        direction, outer = self.outer.rule.direction(update, state.outer)
        following = OuterState(add_scaled(state.phi, direction, -epsilon), inner, outer)
        return following, inner_losses

    def displacement(self, trajectory: Trajectory) -> Params:
        """Return what φ moves against, averaged over tasks: Σ c_i (φ_i − φ_{i+1}), or α g_MAML.

        Args:
            trajectory: the inner steps of R · width stacked tasks.
        """
        parts = [
            group.method.displacement(
                trajectory, slice(group.runs.start * self.width, group.runs.stop * self.width)
            )
            for group in self.groups
        ]
        whole = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
        return mean_of_groups(whole, self.width) if self.width > 1 else whole


def outer_step(
    configs: Sequence[TrainingConfig],
    width: int,
    device: torch.device,
    dtype: torch.dtype,
    share: Share = ALONE,
) -> OuterStep:
    """Prepare the outer step of a stack.

    Args:
        configs: the runs.
        width: tasks of one run that are stacked side by side.
        device: where the runs live.
        dtype: floating-point type of the weights.
        share: the part of the tasks that this process trains.

    Raises:
        InputError: if the runs cannot share a stack.
    """
    stack = StackConfig.of(configs)
    alphas = [config.alpha for config in configs]
    alpha: Factor = alphas[0]
    if len(set(alphas)) > 1:
        alpha = torch.tensor(alphas, device=device, dtype=dtype)
    per_task = alpha.repeat_interleave(width) if isinstance(alpha, Tensor) else alpha
    optimizer, outer = configs[0].optimizer(per_task), stack.outer_optimizer
    return OuterStep(tuple(configs), optimizer, outer, alpha, _groups(configs), width, share)


def _groups(configs: Sequence[TrainingConfig]) -> tuple[Group, ...]:
    groups, start = [], 0
    for _, members in groupby(configs, key=lambda config: config.settings):
        alike = list(members)
        groups.append(Group(slice(start, start + len(alike)), alike[0].method))
        start += len(alike)
    return tuple(groups)
