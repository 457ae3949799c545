"""Implicit MAML as a method of training, on the same minibatches as the others and in the same outer loop.

The inner loop takes k steps on L_i(φ') + λ/2 ‖φ' − φ‖². MAML's reading of a trajectory holds: the first k − 1
minibatches are adapted on, the last one judges. With g_k = L'_k(φ_k) and H the mean of L''_1(φ_k) …
L''_{k−1}(φ_k), φ moves against (I + H/λ)⁻¹ g_k.

A loss of a network may curve downward by more than λ: at random weights it does. By default conjugate
gradients then keep what they have found, or g_k itself, FOMAML's gradient, if that is nothing. With
`truncate=False` they end with a message that says how much `damping` is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from companion.implicit.expansion import expand_steps, predicted_implicit_coefficients
from companion.implicit.linear_systems import Solution, conjugate_gradients
from metalib.derivatives import Loss, MinibatchLoss, hvp, mean_squared_error
from metalib.errors import require, require_choice
from metalib.inner import Trajectory, inner_loop
from metalib.methods import Look, Method
from metalib.optimizers import Optimizer, State
from metalib.params import Factor, Params, add_scaled, repeat, scale, select
from metalib.theory.taylor import Coefficients, Expansion
from metalib.training import TrainingConfig

if TYPE_CHECKING:
    from jaxtyping import Float

NAME = "imaml"
LOOK = Look("implicit MAML", "#CC79A7", (0, (5, 1, 1, 1, 1, 1)), "v")


@dataclass(frozen=True)
class Proximal(Optimizer):
    """Gradient descent with a pull to where it began: φ_{i+1} = φ_i − α (g_i + λ (φ_i − φ_1)).

    Attributes:
        alpha: the inner step size α > 0, one number or one per run.
        strength: λ ≥ 0.

    Source: Rajeswaran et al. 2019, Eq. 3.
    """

    alpha: Factor
    strength: float
    remembers = ("away",)

    def direction(self, g: Params, state: State) -> tuple[Params, State]:
        """Return g + λ (φ_i − φ_1), and the state that knows φ_{i+1} − φ_1."""
        away = state.moments["away"]
        pulled = add_scaled(g, away, self.strength)
        return pulled, State(state.steps + 1, {"away": add_scaled(away, pulled, -self.alpha)})


@dataclass(frozen=True)
class MeanLoss:
    """φ ↦ the mean of several losses, per run."""

    losses: tuple[Loss, ...]

    def __call__(self, params: Params) -> Float[Tensor, " runs"]:
        """Return the mean over the losses."""
        return torch.stack([loss(params) for loss in self.losses]).mean(0)


def mean_of(losses: Sequence[Any]) -> Loss:
    """Return the mean of losses as one function; squared errors on minibatches of one size are pooled.

    Only where every point counts for itself is that the same function; batch normalization couples points.
    """
    first = losses[0]
    alike = all(
        isinstance(loss, MinibatchLoss)
        and loss.criterion is mean_squared_error
        and loss.inputs.shape == first.inputs.shape
        for loss in losses
    )
    if not alike or len(losses) == 1:
        return first if len(losses) == 1 else MeanLoss(tuple(losses))
    inputs, targets = (
        torch.cat([getattr(loss, name) for loss in losses], 1) for name in ("inputs", "targets")
    )
    return replace(first, inputs=inputs, targets=targets)


def implicit_of(
    trajectory: Trajectory,
    strength: float,
    limit: int,
    tolerance: float = 1e-6,
    damping: float = 0.0,
    truncate: bool = False,
) -> Solution:
    """Return (I + H/λ)⁻¹ g_k at the end of a trajectory, with the steps and residuals of its solver.

    Args:
        trajectory: k inner steps; the first k − 1 losses are adapted on. With k = 1 there is no H: x = g_1.
        strength: λ > 0.
        limit: the most steps of conjugate gradients.
        tolerance: the relative residual at which they stop.
        damping: δ ≥ 0; (1 + δ) I takes the place of I.
        truncate: whether a run that meets downward curvature keeps what it has found.

    Raises:
        CurvatureError: if I + H/λ shows a direction that is not curved upward, and `truncate` is false.

    Source: Rajeswaran et al. 2019, Algorithm 2.
    """
    g, phi = trajectory.g[-1], trajectory.phi[trajectory.k - 1]
    if trajectory.k == 1:
        return conjugate_gradients(lambda v: v, g, 1)
    loss = mean_of(trajectory.losses[:-1])

    def product(v: Params) -> Params:
        return add_scaled(v, hvp(loss, phi, v), 1.0 / strength)

    return conjugate_gradients(product, g, limit, tolerance, damping, truncate)


@dataclass(frozen=True)
class ImplicitConfig(TrainingConfig):
    """One run of implicit MAML; what is not named here is as for the other methods.

    Attributes:
        strength: λ > 0, the pull of the inner problem. 1 / ((k − 1) α) gives the exact solution MAML's weight
            of AvgGradInner.
        solver_steps: the most steps of conjugate gradients per outer step.
        damping: δ ≥ 0, see `implicit_of`.
        truncate: whether downward curvature ends the solver instead of training.

    Raises:
        InputError: if λ, the steps or the damping is out of range, or α is too large for λ.
    """

    algorithm: str = NAME
    inner: str = ""
    strength: float = 12.5
    solver_steps: int = 5
    damping: float = 0.0
    truncate: bool = True

    def _require_names(self) -> None:
        require_choice("algorithm", self.algorithm, (NAME,))
        require(0 < self.strength < float("inf"), f"the proximal strength λ is {self.strength}; give λ > 0")
        require(self.solver_steps >= 1, f"solver_steps is {self.solver_steps}; give at least 1")
        require(self.damping >= 0, f"damping is {self.damping}; it must be at least 0")
        require(
            self.alpha * self.strength < 2,
            f"alpha is {self.alpha} and λ is {self.strength}: steps on the pull alone diverge; "
            "choose alpha below 2 / λ",
        )
        # Runs of different λ cannot share an inner optimizer: its name, which stacks compare, says so.
        object.__setattr__(self, "inner", f"proximal {self.strength:g}")

    @property
    def settings(self) -> tuple[Any, ...]:
        """What decides the method."""
        return self.algorithm, self.strength, self.solver_steps, self.damping, self.truncate

    def optimizer(self, alpha: Factor | None = None) -> Optimizer:
        """Return proximal gradient descent."""
        return Proximal(self.alpha if alpha is None else alpha, self.strength)

    @property
    def method(self) -> Method:
        """Implicit MAML with this λ and this solver."""
        return Method(
            self.algorithm,
            LOOK,
            gradient=self._gradient,
            displacement=lambda trajectory, runs: scale(
                self._gradient(chosen := trajectory.select(runs)), chosen.alpha
            ),
            expand=self._expand,
            coefficients=self._coefficients,
        )

    def solve(self, trajectory: Trajectory) -> Solution:
        """Return this run's meta-gradient with the steps and the residual of its solver."""
        return implicit_of(
            trajectory, self.strength, self.solver_steps, damping=self.damping, truncate=self.truncate
        )

    def _gradient(self, trajectory: Trajectory) -> Params:
        return self.solve(trajectory).x

    def _expand(self, losses: Sequence[Loss], phi: Params) -> Expansion:
        return expand_steps(losses, phi, 1.0 / (self.alpha * self.strength))

    def _coefficients(self, k: int, alpha: float) -> Coefficients:
        return predicted_implicit_coefficients(k, alpha, self.strength)


@dataclass(frozen=True)
class SolverMonitor:
    """How well the solver does while runs are in training: on tasks that are not trained on.

    Attributes:
        tasks: how many tasks it is looked at on, after every block of outer iterations.
        every: after how many blocks; in between, the numbers are not a number.
        seed: decides the tasks; no seed of a run.
    """

    tasks: int = 20
    every: int = 1
    seed: int = 2_000_000

    @property
    def columns(self) -> tuple[str, ...]:
        """Mean steps, mean residual, and the share of tasks with downward curvature."""
        return "solver_steps", "solver_residual", "bent"

    def as_dict(self) -> dict[str, Any]:
        """Return everything that decides the numbers."""
        return {"kind": "SolverMonitor", **asdict(self)}

    def __call__(
        self, family: Any, configs: Sequence[TrainingConfig], phi: Params, inner: State, block: int
    ) -> np.ndarray:
        """Return the three numbers of every run; none of them exists for a method without a solver."""
        rows = np.full((len(configs), 3), np.nan)
        if block % self.every == 0:
            for r, config in enumerate(configs):
                if isinstance(config, ImplicitConfig):
                    rows[r] = self._of(family, config, select(phi, slice(r, r + 1)))
        return rows

    def _of(self, family: Any, config: ImplicitConfig, phi: Params) -> list[float]:
        sampled = family.sample(self.seed, 0, 1, config.k)
        like = next(iter(phi.values()))
        losses = [
            family.loss(
                {n: torch.from_numpy(a[: self.tasks, 0, i]).to(like.device) for n, a in sampled.items()}
            )
            for i in range(config.k)
        ]
        found = config.solve(inner_loop(losses, repeat(phi, self.tasks), config.optimizer()))
        return [float(v.double().mean()) for v in (found.steps, found.residual, found.bent)]
