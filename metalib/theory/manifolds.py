"""Solution manifolds and the way Reptile moves between them (Nichol et al. 2018, section 5.2).

W_τ is the set of weights that solve task τ. Points are rows of tensors of shape [points, d], so that many
starts are moved at once. Every manifold here has an exact projection P(φ), its point closest to φ.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from metalib.errors import require
from metalib.inner import adapt
from metalib.optimizers import SGD
from metalib.params import Params

if TYPE_CHECKING:
    from jaxtyping import Float

NEWTON_STEPS = 8
SEARCH_POINTS = 601


class Manifold(Protocol):
    """A closed set of points with a projection onto it."""

    def project(self, phi: Float[Tensor, "points d"]) -> Float[Tensor, "points d"]:
        """Return P(φ) = argmin_{p ∈ W} ‖p − φ‖ for every point (Nichol et al. 2018, Eq. 44)."""
        ...


@dataclass(frozen=True)
class Affine:
    """W = {φ : A φ = b}: the solutions of a linear regression with fewer examples than weights.

    Attributes:
        matrix: A, shape [m, d], of full row rank.
        target: b, shape [m].
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


def half_squared_distance(manifold: Manifold, phi: Float[Tensor, "points d"]) -> Float[Tensor, " points"]:
    """Return ½ D(φ, W)², the quantity whose mean over tasks Eq. 42 minimizes."""
    return (phi - manifold.project(phi)).square().sum(1) / 2


def mean_half_squared_distance(
    manifolds: Sequence[Manifold], phi: Float[Tensor, "points d"]
) -> Float[Tensor, " points"]:
    """Return E_τ[½ D(φ, W_τ)²] over equally likely tasks (Nichol et al. 2018, Eq. 42)."""
    return torch.stack([half_squared_distance(manifold, phi) for manifold in manifolds]).mean(0)


def distance_gradient(manifold: Manifold, phi: Float[Tensor, "points d"]) -> Float[Tensor, "points d"]:
    """Return ∇ ½ D(φ, W)² = φ − P(φ) (Nichol et al. 2018, Eqs. 43, 44)."""
    return phi - manifold.project(phi)


def descend_distance(
    phi: Float[Tensor, "points d"], manifold: Manifold, alpha: float, k: int
) -> Float[Tensor, "points d"]:
    """Return φ after k gradient steps on ½ D(φ, W)².

    P(φ) does not change on the way, so k steps cover the share 1 − (1 − α)^k of the way to it.
    """
    for _ in range(k):
        phi = phi - alpha * distance_gradient(manifold, phi)
    return phi


def descend(
    phi: Float[Tensor, "points d"], loss: Callable[[Tensor], Tensor], alpha: float, k: int
) -> Float[Tensor, "points d"]:
    """Return U^k(φ): φ after k gradient steps on a loss of the points, by the library's inner loop."""

    def of_params(params: Params) -> Tensor:
        return loss(params["w"])

    return adapt([of_params] * k, {"w": phi}, SGD(alpha))["w"]


Update = Callable[[Tensor], Tensor]


def iterate(
    phi: Float[Tensor, "points d"], solve: Sequence[Update], order: Sequence[int], epsilons: Sequence[float]
) -> Float[Tensor, "steps points d"]:
    """Run Reptile's outer loop, φ ← φ + ε (U_τ(φ) − φ), and return every iterate, the start included.

    With an exact projection, U_τ = P_τ, a step is φ ← (1 − ε) φ + ε P_τ(φ): SGD on ½ D² (Eqs. 45–47).

    Args:
        phi: where to start.
        solve: U_τ for every task: an exact projection, or a few gradient steps.
        order: which task each step uses.
        epsilons: ε of each step.

    Source: Nichol et al. 2018, Algorithm 1; with projections, Eq. 47 and Fig. 2.
    """
    require(
        len(order) == len(epsilons),
        f"got {len(order)} tasks and {len(epsilons)} step sizes; give one of each per step",
    )
    path = [phi]
    for task, epsilon in zip(order, epsilons, strict=True):
        path.append(torch.lerp(path[-1], solve[task](path[-1]), epsilon))
    return torch.stack(path)


def batched(solve: Sequence[Update]) -> Update:
    """Return φ ↦ mean of U_τ(φ), with which one step of `iterate` serves all tasks (Eq. 5)."""
    return lambda phi: torch.stack([update(phi) for update in solve]).mean(0)


def closest_to_all(
    manifolds: Sequence[Manifold],
    phi: Float[Tensor, "points d"],
    tolerance: float = 1e-13,
    limit: int = 100_000,
) -> Float[Tensor, "points d"]:
    """Return a minimizer of E_τ[½ D²] near φ, by full-gradient steps of length 1: φ ← E_τ[P_τ(φ)].

    Raises:
        InputError: if the iteration has not settled after `limit` steps.
    """
    step = batched([manifold.project for manifold in manifolds])
    for _ in range(limit):
        following = step(phi)
        if float((following - phi).abs().max()) < tolerance:
            return following
        phi = following
    require(False, f"no least mean squared distance found within {limit} steps; start elsewhere")
    return phi
