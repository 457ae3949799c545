"""Conjugate gradients on weights: solve A x = b where A is known by its products alone.

A must be symmetric and positive definite. In a stack every run has a system of its own; all are
solved side by side, and a run that has converged stays where it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from metalib.errors import DivergenceError, MetalibError, require
from metalib.params import Params, add_scaled, dot_per_run, norm_per_run, subtract, zeros_like

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

Operator = Callable[[Params], Params]


class CurvatureError(MetalibError, ArithmeticError):
    """A matrix that must be positive definite curves downward somewhere."""


@dataclass(frozen=True)
class Solution:
    """What conjugate gradients found.

    Attributes:
        x: the solution, a stack.
        steps: how many steps each run took, one product with A each.
        residual: ‖b − A x‖ / ‖b‖ of each run, computed anew at x; 0 where b = 0.
        bent: the runs that stopped because A curves downward along their search direction.
    """

    x: Params
    steps: Int[Tensor, " runs"]
    residual: Float[Tensor, " runs"]
    bent: Bool[Tensor, " runs"]


def conjugate_gradients(
    product: Operator,
    b: Params,
    limit: int = 100,
    tolerance: float = 1e-6,
    damping: float = 0.0,
    truncate: bool = False,
) -> Solution:
    """Solve (A + δ I) x = b from x = 0 (Hestenes and Stiefel 1952).

    Every step takes one product; one more measures the residual at the end. Stopping at the limit is no
    error: `Solution.residual` says how far it got. An A that is not positive definite is noticed only
    if one of the search directions shows it.

    Args:
        product: v ↦ A v for stacks v of R runs.
        b: the right-hand side, a stack of R runs.
        limit: the most steps that any run may take, at least 1.
        tolerance: a run stops at ‖b − A x‖ ≤ tolerance · ‖b‖, or where roundoff would hide it.
        damping: δ ≥ 0, added to every eigenvalue of A; the residual is that of the damped system.
        truncate: whether a run whose search direction curves downward keeps what it has found, or b itself
            if that is nothing, instead of raising an error (Steihaug 1983). Then the x of a run whose b or A
            is not finite is not a number, and the other runs go on.

    Raises:
        InputError: if b is no stack, or the limit, the tolerance or the damping is out of range.
        CurvatureError: if a search direction p has pᵀ(A + δ I)p ≤ 0 and is not to be truncated.
        DivergenceError: likewise, if b or that is not finite.

    >>> double = lambda v: {"w": 2 * v["w"]}
    >>> conjugate_gradients(double, {"w": torch.tensor([[4.0, 6.0]])}).x
    {'w': tensor([[2., 3.]])}
    """
    require(limit >= 1, f"limit is {limit}; conjugate gradients need at least 1 step")
    require(tolerance >= 0, f"tolerance is {tolerance}; give a relative residual of at least 0")
    require(damping >= 0, f"damping is {damping}; it must be at least 0")
    require_stack(b, "b")

    def damped(v: Params) -> Params:
        return add_scaled(product(v), v, damping) if damping else product(v)

    x, r, p = zeros_like(b), b, b
    squared = dot_per_run(r, r)
    # Below roundoff the recursion's residual means nothing, and its directions shrink to zero.
    goal = max(tolerance, torch.finfo(squared.dtype).eps) ** 2 * squared
    steps = torch.zeros_like(squared, dtype=torch.int64)
    bent, lost = torch.zeros_like(squared, dtype=torch.bool), ~squared.isfinite()
    for _ in range(limit):
        active = ~(squared <= goal) & ~bent & ~lost
        if not active.any():
            break
        image = damped(p)
        curvature = dot_per_run(p, image)
        lost |= active & ~curvature.isfinite()
        active &= ~lost
        if truncate:
            bent |= active & (curvature <= 0)
            x = add_scaled(x, b, (bent & (steps == 0) & active).to(squared.dtype))
            active &= ~bent
        _require_positive(curvature, dot_per_run(p, p), active, damping)
        length = torch.where(active, squared / curvature, 0.0)
        x, r = add_scaled(x, p, length), add_scaled(r, image, -length)
        before, squared = squared, dot_per_run(r, r)
        p = add_scaled(r, p, torch.where(active, squared / before, 0.0))
        steps = steps + active
    if not truncate:
        _require_finite(lost)
    x = add_scaled(x, b, torch.where(lost, torch.nan, 0.0).to(squared.dtype)) if lost.any() else x
    # The residual of the recursion falls on where roundoff has long stopped the true one.
    left = norm_per_run(subtract(b, damped(x)))
    size = norm_per_run(b)
    return Solution(x, steps, torch.where(size == 0, 0.0, left / size), bent)


def require_stack(a: Params, name: str) -> None:
    """Raise `InputError` unless every tensor has a leading axis of runs, the same for all, and one more."""
    shapes = {key: tuple(value.shape) for key, value in a.items()}
    stacked = all(len(shape) >= 2 for shape in shapes.values())
    require(
        stacked and len({shape[0] for shape in shapes.values()}) == 1,
        f"{name}: the shapes are {shapes}; give a stack, all with the same leading axis of runs (1 if alone)",
    )


def _require_finite(lost: Tensor) -> None:
    if lost.any():
        raise DivergenceError(
            f"run {int(lost.nonzero()[0])}: its right-hand side or matrix is not finite; training has "
            "diverged before, so choose smaller step sizes"
        )


def _require_positive(curvature: Tensor, squared: Tensor, active: Tensor, damping: float) -> None:
    wrong = active & ~(curvature > 0)
    if not wrong.any():
        return
    run = int(wrong.nonzero()[0])
    quotient = float(curvature[run] / squared[run])
    raise CurvatureError(
        f"run {run} has curvature {quotient:.3g} along a search direction; conjugate gradients need a "
        "positive definite matrix: "
        f"give damping above {damping - quotient:.3g}, or raise the proximal strength λ"
    )
