"""The inner loop: k steps of an optimizer on one task, and the `Trajectory` they leave.

Indices: the paper counts from 1, Python from 0. `phi[0]` is φ_1, `g[0]` is g_1.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor

from metalib.derivatives import Loss, value_and_gradient
from metalib.errors import require
from metalib.optimizers import Optimizer, State
from metalib.params import Factor, Params, select, subtract

if TYPE_CHECKING:
    from jaxtyping import Float, Int


@dataclass(frozen=True)
class Trajectory:
    """What k inner steps leave behind; every meta-gradient is a pure function of it.

    Attributes:
        losses: L_1 … L_k, as functions of the weights.
        phi: φ_1 … φ_{k+1}; `phi[0]` is the initialization φ_1.
        g: g_1 … g_k with g_i = L'_i(φ_i) (Nichol et al. 2018, Eq. 9).
        values: L_1(φ_1) … L_k(φ_k), one number per run of a stack.
        optimizer: what took the steps.
        state: what the optimizer would carry into step k + 1.
    """

    losses: tuple[Any, ...]
    phi: tuple[Params, ...]
    g: tuple[Params, ...]
    values: tuple[Tensor, ...]
    optimizer: Optimizer
    state: State

    @property
    def alpha(self) -> Factor:
        """The inner step size α, one number or one per run."""
        return self.optimizer.alpha

    @property
    def k(self) -> int:
        """The number of inner steps."""
        return len(self.g)

    def displacement(self, i: int) -> Params:
        """Return φ_i − φ_{i+1} for i = 1 … k: α g_i under SGD, the rescaled step under Adam."""
        return subtract(self.phi[i - 1], self.phi[i])

    def select(self, runs: slice | Int[Tensor, " selected"]) -> Trajectory:
        """Return the trajectory of the chosen runs of a stack; `losses` must know how to `select`."""
        return Trajectory(
            losses=tuple(loss.select(runs) for loss in self.losses),
            phi=tuple(select(phi, runs) for phi in self.phi),
            g=tuple(select(g, runs) for g in self.g),
            values=tuple(value[runs] for value in self.values),
            optimizer=self.optimizer.select(runs),
            state=self.state.select(runs),
        )


@dataclass(frozen=True)
class Step:
    """One inner step: L_i(φ_i), g_i, and φ_{i+1} with the optimizer's state after it."""

    value: Float[Tensor, " runs"]
    g: Params
    phi: Params
    state: State


def steps(
    losses: Sequence[Loss], phi: Params, optimizer: Optimizer, state: State | None = None
) -> Iterator[Step]:
    """Take one step on each loss in turn and yield it; nothing is kept (Nichol et al. 2018, Eqs. 9, 10).

    Args:
        losses: L_1 … L_k.
        phi: φ_1, the initialization.
        optimizer: such as `optimizers.SGD`.
        state: the optimizer's memory from earlier steps; fresh if `None`.
    """
    if state is None:
        state = optimizer.initial_state(phi)
    for loss in losses:
        value, g = value_and_gradient(loss, phi)
        phi, state = optimizer.step(phi, g, state)
        yield Step(value, g, phi, state)


def inner_loop(
    losses: Sequence[Loss], phi: Params, optimizer: Optimizer, state: State | None = None
) -> Trajectory:
    """Take k = len(losses) steps from φ_1 and record them (Nichol et al. 2018, Eqs. 9, 10).

    Raises:
        InputError: if there is no loss to step on.
    """
    require(len(losses) >= 1, "the inner loop got k = 0 losses; it needs k >= 1, one loss per inner step")
    taken = list(steps(losses, phi, optimizer, state))
    return Trajectory(
        losses=tuple(losses),
        phi=(phi, *(step.phi for step in taken)),
        g=tuple(step.g for step in taken),
        values=tuple(step.value for step in taken),
        optimizer=optimizer,
        state=taken[-1].state,
    )


def adapt(losses: Sequence[Loss], phi: Params, optimizer: Optimizer, state: State | None = None) -> Params:
    """Return U^k(φ): the weights after one step on each loss, φ itself if there is none."""
    for step in steps(losses, phi, optimizer, state):
        phi = step.phi
    return phi
