"""The inner loop: k steps of an optimizer on one task, and the `Trajectory` they leave.

Indices: the paper counts from 1, Python from 0. `phi[0]` is φ_1, `g[0]` is g_1.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

from metalib.derivatives import Loss, value_and_gradient
from metalib.errors import require
from metalib.params import Factor, Params, add_scaled, select, subtract, zeros_like

if TYPE_CHECKING:
    from jaxtyping import Float, Int


class Optimizer(Protocol):
    """What the inner loop asks of an optimizer: pure functions of weights, gradient and state."""

    @property
    def alpha(self) -> Factor:
        """The inner step size."""
        ...

    def initial_state(self, params: Params) -> Any:
        """Return the memory before the first step."""
        ...

    def step(self, params: Params, g: Params, state: Any) -> tuple[Params, Any]:
        """Return φ_{i+1} and the memory after the step."""
        ...


@dataclass(frozen=True)
class SGD:
    """Plain gradient descent, φ_{i+1} = φ_i − α g_i (Nichol et al. 2018, Eq. 10).

    Attributes:
        alpha: the inner step size α > 0, one number or one per run of a stack.
    """

    alpha: Factor

    def __post_init__(self) -> None:
        _require_positive_alpha(self.alpha)

    def initial_state(self, params: Params) -> None:
        """SGD remembers nothing."""

    def step(self, params: Params, g: Params, state: None) -> tuple[Params, None]:
        """Return φ − α g."""
        return add_scaled(params, g, -self.alpha), None


@dataclass(frozen=True)
class AdamState:
    """Adam's memory: the number of steps taken and the running moments of the gradient."""

    steps: int
    first: Params
    second: Params

    def select(self, runs: slice | Int[Tensor, " selected"]) -> AdamState:
        """Return the moments of the chosen runs of a stack."""
        return AdamState(self.steps, select(self.first, runs), select(self.second, runs))


@dataclass(frozen=True)
class Adam:
    """Adam (Kingma and Ba 2015): φ ← φ − α m̂ / (√v̂ + eps), with bias-corrected moments m̂ and v̂.

    The paper sets β1 = 0, having found that momentum hurts throughout (section 6.1).

    Attributes:
        alpha: step size α > 0, one number or one per run of a stack.
        beta1: decay of the first moment, in [0, 1).
        beta2: decay of the second moment, in [0, 1).
        eps: keeps the division finite.
    """

    alpha: Factor
    beta1: float = 0.0
    beta2: float = 0.999
    eps: float = 1e-8

    def __post_init__(self) -> None:
        _require_positive_alpha(self.alpha)
        for name in ("beta1", "beta2"):
            value = getattr(self, name)
            require(0.0 <= value < 1.0, f"{name} is {value}; Adam needs 0 <= {name} < 1")

    def initial_state(self, params: Params) -> AdamState:
        """Return moments of zero after zero steps."""
        return AdamState(0, zeros_like(params), zeros_like(params))

    def step(self, params: Params, g: Params, state: AdamState) -> tuple[Params, AdamState]:
        """Return φ after one step, and the moments that include g."""
        direction, state = self.direction(g, state)
        return add_scaled(params, direction, -self.alpha), state

    def direction(self, g: Params, state: AdamState) -> tuple[Params, AdamState]:
        """Return m̂ / (√v̂ + eps), and the moments that include g."""
        steps = state.steps + 1
        # With β1 = 0 the first moment is the gradient itself.
        first = {n: torch.lerp(g[n], state.first[n], self.beta1) for n in g} if self.beta1 else g
        second = {n: torch.lerp(g[n].square(), state.second[n], self.beta2) for n in g}
        correction1 = 1.0 - self.beta1**steps
        correction2 = 1.0 - self.beta2**steps
        root = {n: (second[n] / correction2).sqrt_().add_(self.eps) for n in g}
        unbiased = {n: first[n] / correction1 for n in g} if self.beta1 else first
        direction = {n: unbiased[n] / root[n] for n in g}
        return direction, AdamState(steps, first, second)


@dataclass(frozen=True)
class Only:
    """An optimizer that moves some weights and leaves the others, as when a new head is fitted to features.

    Attributes:
        optimizer: how they are moved.
        names: which weights.
    """

    optimizer: Optimizer
    names: tuple[str, ...]

    @property
    def alpha(self) -> Factor:
        """The inner step size."""
        return self.optimizer.alpha

    def initial_state(self, params: Params) -> Any:
        """Return the memory of `optimizer` before the first step."""
        return self.optimizer.initial_state(params)

    def step(self, params: Params, g: Params, state: Any) -> tuple[Params, Any]:
        """Return φ_{i+1}, in which the other weights are those of φ_i."""
        moved, state = self.optimizer.step(params, g, state)
        return {name: moved[name] if name in self.names else value for name, value in params.items()}, state


@dataclass(frozen=True)
class Trajectory:
    """What k inner steps leave behind; every meta-gradient is a pure function of it.

    Attributes:
        losses: L_1 … L_k, as functions of the weights.
        phi: φ_1 … φ_{k+1}; `phi[0]` is the initialization φ_1.
        g: g_1 … g_k with g_i = L'_i(φ_i) (Nichol et al. 2018, Eq. 9).
        values: L_1(φ_1) … L_k(φ_k), one number per run of a stack.
        alpha: the inner step size α.
        state: what the optimizer would carry into step k + 1 (`None` for SGD).
    """

    losses: tuple[Any, ...]
    phi: tuple[Params, ...]
    g: tuple[Params, ...]
    values: tuple[Tensor, ...]
    alpha: Factor
    state: Any = None

    @property
    def k(self) -> int:
        """The number of inner steps."""
        return len(self.g)

    def displacement(self, i: int) -> Params:
        """Return φ_i − φ_{i+1} for i = 1 … k: α g_i under SGD, the rescaled step under Adam."""
        return subtract(self.phi[i - 1], self.phi[i])

    def select(self, runs: slice | Int[Tensor, " selected"]) -> Trajectory:
        """Return the trajectory of the chosen runs of a stack; `losses` must know how to `select`."""
        alpha = self.alpha
        return Trajectory(
            losses=tuple(loss.select(runs) for loss in self.losses),
            phi=tuple(select(phi, runs) for phi in self.phi),
            g=tuple(select(g, runs) for g in self.g),
            values=tuple(value[runs] for value in self.values),
            alpha=alpha[runs] if isinstance(alpha, Tensor) and alpha.ndim else alpha,
            state=None if self.state is None else self.state.select(runs),
        )


@dataclass(frozen=True)
class Step:
    """One inner step: L_i(φ_i), g_i, and φ_{i+1} with the optimizer's state after it."""

    value: Float[Tensor, " runs"]
    g: Params
    phi: Params
    state: Any


def steps(losses: Sequence[Loss], phi: Params, optimizer: Optimizer, state: Any = None) -> Iterator[Step]:
    """Take one step on each loss in turn and yield it; nothing is kept (Nichol et al. 2018, Eqs. 9, 10).

    Args:
        losses: L_1 … L_k.
        phi: φ_1, the initialization.
        optimizer: `SGD` or `Adam`.
        state: the optimizer's memory from earlier steps; fresh if `None`.
    """
    if state is None:
        state = optimizer.initial_state(phi)
    for loss in losses:
        value, g = value_and_gradient(loss, phi)
        phi, state = optimizer.step(phi, g, state)
        yield Step(value, g, phi, state)


def inner_loop(losses: Sequence[Loss], phi: Params, optimizer: Optimizer, state: Any = None) -> Trajectory:
    """Take k = len(losses) steps from φ_1 and record them (Nichol et al. 2018, Eqs. 9–12).

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
        alpha=optimizer.alpha,
        state=taken[-1].state,
    )


def adapt(losses: Sequence[Loss], phi: Params, optimizer: Optimizer, state: Any = None) -> Params:
    """Return U^k(φ): the weights after one step on each loss, φ itself if there is none."""
    for step in steps(losses, phi, optimizer, state):
        phi = step.phi
    return phi


def _require_positive_alpha(alpha: Factor) -> None:
    positive = bool((torch.as_tensor(alpha) > 0).all())
    require(positive, f"alpha is {alpha}; the inner step size must be greater than 0")
