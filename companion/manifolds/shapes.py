"""Solution manifolds with exact projections: affine sets, spheres, and curves in the plane.

Points are rows of tensors of shape [points, d]. Each is a `companion.manifolds.distance.Manifold`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from metalib.errors import require

if TYPE_CHECKING:
    from jaxtyping import Float

NEWTON_STEPS = 8
SEARCH_POINTS = 601


@dataclass(frozen=True)
class Affine:
    """W = {φ : A φ = b}: the solutions of a linear regression with fewer examples than weights.

    Attributes:
        matrix: A, shape [m, d], of full row rank.
        target: b, shape [m].

    Raises:
        InputError: if A is not of full row rank.
    """

    matrix: Float[Tensor, "m d"]
    target: Float[Tensor, " m"]

    def __post_init__(self) -> None:
        rows = self.matrix.shape[0]
        rank = int(torch.linalg.matrix_rank(self.matrix))
        require(
            rank == rows, f"matrix has rank {rank} and {rows} rows; drop the rows that follow from others"
        )

    def project(self, phi: Float[Tensor, "points d"]) -> Float[Tensor, "points d"]:
        """Return φ − Aᵀ (A Aᵀ)⁻¹ (A φ − b)."""
        residual = phi @ self.matrix.T - self.target
        return phi - torch.linalg.solve(self.matrix @ self.matrix.T, residual.T).T @ self.matrix

    def loss(self, phi: Float[Tensor, "points d"]) -> Float[Tensor, " points"]:
        """Return ½ ‖A φ − b‖², the regression's loss, whose minimizers are W."""
        return (phi @ self.matrix.T - self.target).square().sum(1) / 2


@dataclass(frozen=True)
class Sphere:
    """W = {φ : ‖φ − center‖ = radius}; a circle in the plane. The center itself has no unique projection."""

    center: Float[Tensor, " d"]
    radius: float

    def project(self, phi: Float[Tensor, "points d"]) -> Float[Tensor, "points d"]:
        """Return the point of the sphere on the ray from the center through φ."""
        ray = phi - self.center
        return self.center + self.radius * ray / ray.norm(dim=1, keepdim=True)


@dataclass(frozen=True)
class Graph:
    """W = {(x, f(x))}, a curve in the plane, given with two derivatives of f.

    Attributes:
        f: the function.
        slope: f'.
        curvature: f''.
        low: left end of the stretch of x that is searched for the closest point.
        high: its right end.
    """

    f: Callable[[Tensor], Tensor]
    slope: Callable[[Tensor], Tensor]
    curvature: Callable[[Tensor], Tensor]
    low: float = -6.0
    high: float = 6.0

    def point(self, x: Float[Tensor, " points"]) -> Float[Tensor, "points 2"]:
        """Return (x, f(x))."""
        return torch.stack([x, self.f(x)], dim=1)

    def project(self, phi: Float[Tensor, "points 2"]) -> Float[Tensor, "points 2"]:
        """Return the closest point: the best of a grid, polished by Newton's method to roundoff.

        At the closest point the connection to φ is perpendicular to the curve:
        (x − φ_1) + (f(x) − φ_2) f'(x) = 0. Newton solves that; the grid decides which solution.
        """
        grid = torch.linspace(self.low, self.high, SEARCH_POINTS, dtype=phi.dtype)
        x = grid[torch.cdist(phi, self.point(grid)).argmin(dim=1)]
        for _ in range(NEWTON_STEPS):
            gap, slope = self.f(x) - phi[:, 1], self.slope(x)
            off_perpendicular = (x - phi[:, 0]) + gap * slope
            x = x - off_perpendicular / (1.0 + slope.square() + gap * self.curvature(x))
        return self.point(x)


def parabola(scale: float, height: float = 0.0) -> Graph:
    """Return the curve φ_2 = height + scale · φ_1²."""
    return Graph(
        f=lambda x: height + scale * x.square(),
        slope=lambda x: 2.0 * scale * x,
        curvature=lambda x: torch.full_like(x, 2.0 * scale),
    )


def sine_curve(height: float = 0.0) -> Graph:
    """Return the curve φ_2 = height + sin φ_1."""
    return Graph(f=lambda x: height + x.sin(), slope=torch.cos, curvature=lambda x: -x.sin())
