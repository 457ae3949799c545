"""Implicit MAML beside Reptile on its own inner problem, min over φ' of L(φ') + λ/2 ‖φ' − φ‖².

At the minimum φ* the gradient vanishes, so that Reptile's displacement is a gradient:

    φ − φ* = L'(φ*) / λ = ∇M(φ) / λ,   M(φ) = min over φ' of L(φ') + λ/2 ‖φ' − φ‖²,

with M the Moreau envelope of L. Implicit MAML, judged on the loss that it adapted on, multiplies the same
L'(φ*) by (I + L''(φ*)/λ)⁻¹.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from companion.expansion.polynomial import PolynomialLoss
from companion.expansion.problems import Problem
from companion.implicit.meta_gradient import implicit_gradient
from metalib.derivatives import gradient, hvp
from metalib.errors import InputError
from metalib.params import Params, add_scaled, norm, scale, subtract


@dataclass(frozen=True)
class Proximal:
    """Relative distances between what is the same by theory; all 0 up to roundoff.

    Attributes:
        displacement: λ (φ − φ*) from L'(φ*).
        envelope: λ (φ − φ*) from the gradient of the Moreau envelope, by automatic differentiation.
        implicit: (I + L''/λ) x from λ (φ − φ*), where x is implicit MAML's gradient.
        apart: how far x itself lies from λ (φ − φ*); not 0.
    """

    displacement: float
    envelope: float
    implicit: float
    apart: float


def minimum(loss: PolynomialLoss, phi: Tensor, strength: float) -> Tensor:
    """Return φ* = (A + λ I)⁻¹ (λ φ − b), the minimum for a quadratic loss b·φ + ½ φᵀ A φ; [d]."""
    identity = torch.eye(len(phi), dtype=phi.dtype)
    return torch.linalg.solve(loss.quadratic[0] + strength * identity, strength * phi - loss.linear[0])


def compare(problem: Problem, strength: float) -> Proximal:
    """Compare Reptile's displacement, the envelope's gradient and implicit MAML on one quadratic loss.

    Args:
        problem: its pool holds a single quadratic loss.
        strength: λ, so large that A + λ I is positive definite.

    Raises:
        InputError: if the loss has no closed form.
    """
    loss, phi = problem.pool.losses, problem.phi
    if not isinstance(loss, PolynomialLoss):
        raise InputError("the proximal minimum is computed in closed form; give a quadratic loss")
    center = phi["w"][0].clone().requires_grad_()
    star = minimum(loss, center, strength)
    away = star - center
    envelope = loss({"w": star[None]}).sum() + strength / 2 * (away * away).sum()
    slope = {"w": torch.autograd.grad(envelope, center)[0][None]}
    adapted = {"w": star.detach()[None]}
    reptile = scale(subtract(phi, adapted), strength)
    implicit = implicit_gradient(loss, loss, adapted, strength, limit=1000, tolerance=1e-14).x
    back = add_scaled(implicit, hvp(loss, adapted, implicit), 1 / strength)
    return Proximal(*(_relative(one, reptile) for one in (gradient(loss, adapted), slope, back, implicit)))


def _relative(a: Params, b: Params) -> float:
    return float(norm(subtract(a, b)) / norm(b))
