"""Polynomial losses: every derivative is a closed form, so the theory can be checked without autograd.

    L(φ) = b·φ + ½ φᵀ A φ + ⅙ Σ T_{abc} φ_a φ_b φ_c,   A symmetric, T symmetric in all three indices,
    L'(φ) = b + A φ + ½ T[φ, φ],   L''(φ) = A + T[φ].

On quadratics (T = 0) the Hessian is constant and the expansions of section 5 can end exactly; on
cubics (T ≠ 0) every remainder of the theory is present.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from metalib.errors import require
from metalib.params import Params
from metalib.rng import generator

if TYPE_CHECKING:
    from jaxtyping import Float, Int

DEGREES = (2, 3)


@dataclass(frozen=True)
class PolynomialLoss:
    """A stack of R polynomial losses in d dimensions; the weights are `{"w": [R, d]}`.

    Attributes:
        linear: b, shape [R, d].
        quadratic: A, shape [R, d, d], symmetric.
        cubic: T, shape [R, d, d, d], symmetric in its three indices; zero for a quadratic loss.
    """

    linear: Float[Tensor, "runs d"]
    quadratic: Float[Tensor, "runs d d"]
    cubic: Float[Tensor, "runs d d d"]

    def __call__(self, params: Params) -> Float[Tensor, " runs"]:
        """Return L(φ), one number per run."""
        w = params["w"]
        return (
            torch.einsum("ra,ra->r", self.linear, w)
            + torch.einsum("rab,ra,rb->r", self.quadratic, w, w) / 2
            + torch.einsum("rabc,ra,rb,rc->r", self.cubic, w, w, w) / 6
        )

    def gradient(self, params: Params) -> Params:
        """Return L'(φ) = b + A φ + ½ T[φ, φ] in closed form."""
        w = params["w"]
        curved = torch.einsum("rab,rb->ra", self.quadratic, w)
        return {"w": self.linear + curved + torch.einsum("rabc,rb,rc->ra", self.cubic, w, w) / 2}

    def hessian(self, params: Params) -> Float[Tensor, "runs d d"]:
        """Return L''(φ) = A + T[φ] in closed form."""
        return self.quadratic + torch.einsum("rabc,rc->rab", self.cubic, params["w"])

    def select(self, runs: slice | Int[Tensor, " selected"]) -> PolynomialLoss:
        """Return the losses of the chosen runs only."""
        return PolynomialLoss(self.linear[runs], self.quadratic[runs], self.cubic[runs])


def sample_polynomials(
    seed: int, tasks: int, minibatches: int, dimension: int, degree: int = 3, spread: float = 0.5
) -> PolynomialLoss:
    """Draw minibatch losses of several tasks: each task has a polynomial, its minibatches scatter around it.

    Args:
        seed: at least 0.
        tasks: number of tasks T.
        minibatches: number of minibatches N of each task.
        dimension: d, the number of weights.
        degree: 2 or 3.
        spread: how far a minibatch's coefficients lie from its task's, relative to their size.

    Returns:
        A stack of T·N losses in float64; run τN + n is minibatch n of task τ. The Hessian at a point
        of norm about 1 has eigenvalues of order 1, so that α is comparable across dimensions.

    Raises:
        InputError: if a count is below 1 or the degree is neither 2 nor 3.
    """
    require(degree in DEGREES, f"degree is {degree}; choose 2 (quadratic) or 3 (cubic)")
    counts = {"tasks": tasks, "minibatches": minibatches, "dimension": dimension}
    for name, count in counts.items():
        require(count >= 1, f"{name} is {count}; draw at least one")
    rng = generator(seed, "poly")

    def coefficients(order: int) -> Tensor:
        shape = (dimension,) * order
        common = rng.normal(size=(tasks, 1, *shape))
        scatter = rng.normal(size=(tasks, minibatches, *shape))
        return torch.from_numpy((common + spread * scatter).reshape(tasks * minibatches, *shape))

    quadratic = coefficients(2) / dimension**0.5
    cubic = coefficients(3) / dimension if degree == 3 else torch.zeros(1).double()
    return PolynomialLoss(
        linear=coefficients(1),
        quadratic=(quadratic + quadratic.mT) / 2,
        cubic=_symmetrize(cubic) if degree == 3 else cubic.expand(tasks * minibatches, *(dimension,) * 3),
    )


def sample_point(seed: int, dimension: int) -> Params:
    """Draw φ_1 from a Gaussian of expected squared norm 1, as a stack of one in float64."""
    rng = generator(seed, "point")
    return {"w": torch.from_numpy(rng.normal(size=(1, dimension)) / dimension**0.5)}


def _symmetrize(cubic: Float[Tensor, "runs d d d"]) -> Float[Tensor, "runs d d d"]:
    orders = ((1, 2, 3), (1, 3, 2), (2, 1, 3), (2, 3, 1), (3, 1, 2), (3, 2, 1))
    return torch.stack([cubic.permute(0, *order) for order in orders]).mean(0)
