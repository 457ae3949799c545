"""Solution manifolds and the way Reptile moves between them (Nichol et al. 2018, section 5.2).

W_τ is the set of weights that solve task τ. Points are rows of tensors of shape [points, d], so that many
starts are moved at once. A manifold is known by its projection P(φ), its point closest to φ.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from metalib.errors import require

if TYPE_CHECKING:
    from jaxtyping import Float


class Manifold(Protocol):
    """A closed set of points with a projection onto it."""

    def project(self, phi: Float[Tensor, "points d"]) -> Float[Tensor, "points d"]:
        """Return P(φ) = argmin_{p ∈ W} ‖p − φ‖ for every point (Nichol et al. 2018, Eq. 44)."""
        ...


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

    Raises:
        InputError: if there is not one ε per step.

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
