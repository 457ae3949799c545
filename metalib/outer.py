"""One outer step for a stack of runs: from the inner trajectories of their tasks to the next φ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from metalib.config import TrainingConfig, require_stackable
from metalib.derivatives import MinibatchLoss
from metalib.inner import SGD, Adam, AdamState, Optimizer, Trajectory, inner_loop
from metalib.meta_gradients import Weights, combination_of_displacements, maml
from metalib.params import (
    Factor,
    Params,
    add_scaled,
    mean,
    mean_of_groups,
    repeat,
    scale,
)

if TYPE_CHECKING:
    from jaxtyping import Float


@dataclass(frozen=True)
class OuterState:
    """What one outer iteration hands to the next.

    Attributes:
        phi: the initialization φ of every run.
        inner: the moments of an inner Adam. They are never reset: they run on from task to task.
        outer: the moments of an outer Adam.
    """

    phi: Params
    inner: AdamState | None = None
    outer: AdamState | None = None


@dataclass(frozen=True)
class OuterStep:
    """The outer step of a stack of R runs.

    Attributes:
        configs: the R configurations.
        optimizer: the inner optimizer, with one α per run where they differ.
        weights: the combination c of every run, or `None` if all runs are MAML.
        maml_runs: the indices of the runs that differentiate through the inner loop.
        tasks: tasks per outer iteration and run.
    """

    configs: tuple[TrainingConfig, ...]
    optimizer: Optimizer
    weights: Weights | None
    maml_runs: Tensor
    tasks: int

    def __call__(
        self, state: OuterState, losses: Sequence[Sequence[MinibatchLoss]], epsilon: Factor
    ) -> tuple[OuterState, Float[Tensor, "runs k"]]:
        """Return the state after one outer iteration and the inner losses L_i(φ_i), averaged over tasks.

        Under SGD the n tasks of an iteration do not touch each other and run side by side: `losses`
        holds one sequence of k losses over R · n stacked tasks. Adam's moments run on from one task to
        the next, so there `losses` holds n sequences over R runs each.

        Source: Nichol et al. 2018, Algorithm 1 and Eq. 5.
        """
        width = self.tasks // len(losses)
        displacements, values, inner = [], [], state.inner
        for task_losses in losses:
            start = repeat(state.phi, width) if width > 1 else state.phi
            trajectory = inner_loop(task_losses, start, self.optimizer, inner)
            inner = trajectory.state
            displacements.append(mean_of_groups(self.displacement(trajectory, width), width))
            values.append(torch.stack(trajectory.values, 1).unflatten(0, (-1, width)).mean(1))
        displacement = mean(displacements) if len(displacements) > 1 else displacements[0]
        if state.outer is None:
            phi = add_scaled(state.phi, displacement, -epsilon)
            return OuterState(phi, inner), torch.stack(values).mean(0)
        # Nichol et al. 2018, section 3: (φ − φ̃)/α is the natural gradient to hand to another optimizer.
        direction, outer = Adam(1.0, beta1=0.9).direction(
            scale(displacement, 1.0 / self.optimizer.alpha), state.outer
        )
        return OuterState(add_scaled(state.phi, direction, -epsilon), inner, outer), torch.stack(values).mean(
            0
        )

    def displacement(self, trajectory: Trajectory, width: int) -> Params:
        """Return, per stacked task, what φ moves against: Σ c_i (φ_i − φ_{i+1}), or α g_MAML."""
        if self.weights is None:
            return scale(maml(trajectory), trajectory.alpha)
        weights = self.weights
        if isinstance(weights, Tensor) and width > 1:
            weights = weights.repeat_interleave(width, dim=0)
        result = combination_of_displacements(trajectory, weights)
        if len(self.maml_runs):
            rows = (
                self.maml_runs[:, None] * width + torch.arange(width, device=self.maml_runs.device)
            ).flatten()
            chosen = trajectory.select(rows)
            second_order = scale(maml(chosen), chosen.alpha)
            result = {name: value.index_copy(0, rows, second_order[name]) for name, value in result.items()}
        return result


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
    first = configs[0]
    alpha = _shared_or_per_run([config.alpha for config in configs], device, dtype)
    if isinstance(alpha, Tensor) and width > 1:
        alpha = alpha.repeat_interleave(width)
    optimizer: Optimizer = SGD(alpha) if first.inner == "sgd" else Adam(alpha, first.beta1)
    combinations = [config.combination for config in configs]
    linear = [c if c is not None else (0.0,) * first.k for c in combinations]
    weights: Weights | None
    if all(c is None for c in combinations):
        weights = None
    elif len(set(linear)) == 1:
        weights = linear[0]
    else:
        weights = torch.tensor(linear, device=device, dtype=dtype)
    maml_runs = torch.tensor(
        [r for r, c in enumerate(combinations) if c is None], device=device, dtype=torch.long
    )
    return OuterStep(tuple(configs), optimizer, weights, maml_runs, first.tasks)


def _shared_or_per_run(values: Sequence[float], device: torch.device, dtype: torch.dtype) -> Factor:
    return values[0] if len(set(values)) == 1 else torch.tensor(values, device=device, dtype=dtype)
