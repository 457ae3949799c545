"""Implicit MAML: differentiate the solution of a proximal inner problem, not the way to it.

The inner problem holds the weights of a task near the initialization φ,

    φ* = argmin over φ' of  L(φ') + λ/2 ‖φ' − φ‖²,

and the meta-gradient of a held-out loss L_o is, by the implicit function theorem,

    ∂L_o(φ*)/∂φ = (I + L''(φ*) / λ)⁻¹ L_o'(φ*).

It depends on φ* alone, so nothing of the inner loop is kept. Hessians enter through products only.
Source: Rajeswaran et al. 2019, section 2.2, Lemma 1 and Algorithm 2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from companion.implicit.linear_systems import Solution, conjugate_gradients, require_stack
from metalib.derivatives import Loss, gradient, hvp
from metalib.errors import DivergenceError, require
from metalib.inner import steps
from metalib.optimizers import Optimizer
from metalib.params import Factor, Params, add_scaled, dot_per_run, norm_per_run, select, subtract
from metalib.theory.taylor import Expansion, expand_maml

if TYPE_CHECKING:
    from jaxtyping import Float, Int


@dataclass(frozen=True)
class ProximalLoss:
    """φ' ↦ L(φ') + λ/2 ‖φ' − φ‖², one number per run (Rajeswaran et al. 2019, Eq. 3).

    Attributes:
        loss: L, the loss on the task's training data.
        center: φ, the initialization, a stack of R runs.
        strength: λ > 0, one number or one per run; in units of curvature.

    Raises:
        InputError: if the center is no stack, λ is out of range, or L does not give one number per run.
    """

    loss: Any
    center: Params
    strength: Factor

    def __post_init__(self) -> None:
        _require_strength(self.strength, self.center)

    def __call__(self, params: Params) -> Float[Tensor, " runs"]:
        """Return the loss plus the proximal term."""
        away = subtract(params, self.center)
        distance = dot_per_run(away, away)
        value: Tensor = self.loss(params)
        shape = tuple(distance.shape)
        require(
            value.shape == distance.shape,
            f"the loss has shape {tuple(value.shape)}; it must be {shape}: one number per run",
        )
        return value + self.strength / 2 * distance

    def select(self, runs: slice | Int[Tensor, " selected"]) -> ProximalLoss:
        """Return the proximal loss of the chosen runs only; L must know how to `select`."""
        each = isinstance(self.strength, Tensor) and self.strength.ndim == 1
        strength = self.strength[runs] if each else self.strength  # type: ignore[index]
        return ProximalLoss(self.loss.select(runs), select(self.center, runs), strength)


@dataclass(frozen=True)
class Minimum:
    """Where the steps on a proximal loss ended.

    Attributes:
        phi: the weights reached, φ* if the residual is small.
        steps: how many inner steps were taken.
        residual: the gradient's norm at `phi` relative to that at the center, per run; 0 if both vanish.
    """

    phi: Params
    steps: int
    residual: Float[Tensor, " runs"]


def minimize_proximal(
    objective: ProximalLoss, optimizer: Optimizer, limit: int = 100, tolerance: float = 1e-6
) -> Minimum:
    """Step from the center towards φ* until the gradient is small in every run, or the limit is reached.

    Under SGD the step size must lie below 2 / (λ + the largest curvature of L).

    Args:
        objective: the proximal loss.
        optimizer: such as `optimizers.SGD`.
        limit: the most steps, at least 1; reaching it is no error, `Minimum.residual` says how far they got.
        tolerance: the residual at which to stop.

    Raises:
        InputError: if the limit is below 1 or the tolerance negative.
        DivergenceError: if a gradient is not finite.

    Source: Rajeswaran et al. 2019, Eqs. 3 and 4.
    """
    require(limit >= 1, f"limit is {limit}; the inner problem needs at least 1 step")
    require(tolerance >= 0, f"tolerance is {tolerance}; give a relative gradient norm of at least 0")
    phi, first = objective.center, norm_per_run(gradient(objective, objective.center))
    for taken, step in enumerate(steps([objective] * (limit + 1), phi, optimizer)):
        # A step's gradient is that of the weights before it: the last step is looked at, not taken.
        size = norm_per_run(step.g)
        if not size.isfinite().all():
            raise DivergenceError(
                f"the proximal inner problem left the finite numbers at step {taken}; "
                "choose a smaller alpha: below 2 / (λ + largest curvature)"
            )
        if taken == limit or bool((size <= tolerance * first).all()):
            break
        phi = step.phi
    return Minimum(phi, taken, torch.where(first > 0, size / first, size))


def implicit_gradient(
    loss: Loss,
    held_out: Loss,
    adapted: Params,
    strength: Factor,
    limit: int = 100,
    tolerance: float = 1e-6,
    damping: float = 0.0,
) -> Solution:
    """Return x = (I + L''(φ*) / λ)⁻¹ L_o'(φ*), with the steps and the residual of its conjugate gradients.

    Where φ* is a strict minimum of the proximal loss, λ I + L'' is positive definite and x exists.

    Args:
        loss: L, the loss that φ* was adapted on.
        held_out: L_o, the loss on the task's held-out data.
        adapted: φ*, a stack of R runs, such as `Minimum.phi`.
        strength: λ > 0, one number or one per run.
        limit: the most steps of conjugate gradients.
        tolerance: the relative residual at which they stop.
        damping: δ ≥ 0; (1 + δ) I takes the place of I, which biases x.

    Raises:
        InputError: if an argument is out of range.
        CurvatureError: if I + L''/λ shows a direction that is not curved upward.

    Source: Rajeswaran et al. 2019, Lemma 1 and Eqs. 6 and 7.
    """
    _require_strength(strength, adapted)
    g = gradient(held_out, adapted)

    def product(v: Params) -> Params:
        return add_scaled(v, hvp(loss, adapted, v), 1.0 / strength)

    return conjugate_gradients(product, g, limit, tolerance, damping)


def expand_implicit(loss: Loss, held_out: Loss, phi: Params) -> Expansion:
    """Expand the implicit gradient for strong λ: ḡ_o − (H̄_o ḡ + H̄ ḡ_o)/λ + O(1/λ²); take `at(1 / λ)`.

    φ* = φ − ḡ/λ + O(1/λ²) gives the first Hessian term, (I + H/λ)⁻¹ = I − H/λ + O(1/λ²) the second. To
    this order it is MAML after a single inner step of size α = 1/λ.

    Args:
        loss: L with gradient ḡ and Hessian H̄ at φ, the loss that is adapted on.
        held_out: L_o with ḡ_o and H̄_o.
        phi: φ, the initialization, a stack of R runs.

    Source: Rajeswaran et al. 2019, Lemma 1, expanded as in Nichol et al. 2018, section 5.1.
    """
    return expand_maml((loss, held_out), phi)


def _require_strength(strength: Factor, weights: Params) -> None:
    require_stack(weights, "the weights")
    values = torch.as_tensor(strength)
    runs = len(next(iter(weights.values())))
    require(
        bool(((values > 0) & values.isfinite()).all()),
        f"the proximal strength λ is {strength}; it must be finite and greater than 0",
    )
    require(
        values.ndim == 0 or values.shape == (runs,),
        f"λ has shape {tuple(values.shape)} for {runs} runs; give one number, or one per run",
    )
