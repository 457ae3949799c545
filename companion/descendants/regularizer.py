"""The implicit regularizer of SGD and AvgGradInner: two roads to one second-order term.

One epoch: k steps, one on each of the k minibatches of a pool, in random order. With ḡ_i and H̄_i at φ_1, with
C the mean loss, and the mean taken over all k! orders,

    E[φ_{k+1}] = φ_1 − k α ∇C + α² · ½ k (k−1) AvgGradInner + O(α³)          (Nichol et al. 2018, Eq. 41)
               = φ_1 − k α ∇C + α² · ¼ ∇( k² ‖∇C‖² − Σ_i ‖∇L_i‖² ) + O(α³)   (Smith et al. 2021)

since ½ k (k−1) AvgGradInner = ½ Σ_{i≠j} H̄_i ḡ_j = ½ (k² C'' ∇C − Σ_i H̄_i ḡ_i). The bracket's first term is
what gradient flow on C does in time k α by itself. The rest is flow on the regularized loss
C + α/(4k) Σ_i ‖∇L_i‖².

Fish (Shi et al. 2022) takes the same steps, but minibatch i comes from domain i.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from companion.expansion.polynomial import PolynomialLoss
from companion.expansion.problems import Problem
from companion.expansion.remainders import order_of
from metalib.derivatives import Loss, gradient
from metalib.errors import InputError
from metalib.params import Params, add_scaled, dot, repeat, scale, subtract, total
from metalib.theory.expectations import Pool, average_run, avg_grad, avg_grad_inner


def mean_epoch(pool: Pool, phi: Params, alpha: float) -> Params:
    """Return E[φ_{k+1}] over all k! orders of the k minibatches of a pool, exactly.

    Args:
        pool: k minibatches of one task; or one minibatch of each of k domains.
        phi: φ_1, a stack of one.
        alpha: step size α.
    """
    draws = pool.ordered_draws(pool.minibatches, replacement=False)
    return average_run(pool.run(phi, alpha, draws).phi[-1])


@dataclass(frozen=True)
class SquaredNorms:
    """The gradients of the two squared norms that the regularizer is made of.

    Attributes:
        of_mean: ∇‖∇C‖².
        sum_of_each: ∇ Σ_i ‖∇L_i‖².
    """

    of_mean: Params
    sum_of_each: Params


def squared_norms(pool: Pool, phi: Params) -> SquaredNorms:
    """Return both by differentiating the squared norms themselves; no Hessian-vector product is called."""
    leaves = {name: value.detach().requires_grad_() for name, value in phi.items()}
    names, k = list(leaves), pool.minibatches
    each = [
        torch.autograd.grad(
            pool.losses.select(slice(i, i + 1))(leaves).sum(), list(leaves.values()), create_graph=True
        )
        for i in range(k)
    ]
    of_mean = torch.stack([(sum(parts) / k).square().sum() for parts in zip(*each, strict=True)]).sum()
    of_each = torch.stack([part.square().sum() for g in each for part in g]).sum()
    found = []
    for number in (of_mean, of_each):
        derivative = torch.autograd.grad(number, list(leaves.values()), retain_graph=True)
        found.append(dict(zip(names, derivative, strict=True)))
    return SquaredNorms(*found)


def by_avg_grad_inner(pool: Pool, phi: Params) -> Params:
    """Return ½ k (k−1) AvgGradInner, pairs of different minibatches (Nichol et al. 2018, Eqs. 29, 41)."""
    k = pool.minibatches
    return scale(avg_grad_inner(pool, phi, replacement=False), k * (k - 1) / 2)


def by_regularizer(pool: Pool, phi: Params) -> Params:
    """Return ¼ ∇( k² ‖∇C‖² − Σ_i ‖∇L_i‖² ) (Smith et al. 2021)."""
    norms = squared_norms(pool, phi)
    return scale(subtract(scale(norms.of_mean, pool.minibatches**2), norms.sum_of_each), 0.25)


def second_order_term(pool: Pool, phi: Params, alphas: Sequence[float]) -> Params:
    """Return the coefficient of α² in E[φ_{k+1}], from epochs at several step sizes.

    On quadratic losses E[φ_{k+1}] is a polynomial of degree k in α, which k distinct step sizes and φ_1 at
    α = 0 determine: then the coefficient is exact up to roundoff.

    Args:
        pool: k minibatches of one task.
        phi: φ_1, a stack of one.
        alphas: k step sizes.
    """
    powers = torch.tensor(np.vander(alphas, len(alphas) + 1, increasing=True)[:, 1:])
    moved = [subtract(mean_epoch(pool, phi, alpha), phi) for alpha in alphas]
    rows = torch.linalg.inv(powers)[1]
    return total([scale(way, float(row)) for way, row in zip(moved, rows, strict=True)])


def recovered(problem: Problem, alphas: Sequence[float]) -> tuple[float, float]:
    """Return how much of ∇‖∇C‖² and of ∇Σ‖∇L_i‖² is in the α² term, by least squares: k²/4 and −1/4.

    Args:
        problem: quadratic losses; its pool holds the k minibatches of an epoch.
        alphas: k step sizes.
    """
    norms = squared_norms(problem.pool, problem.phi)
    columns = torch.stack([_flat(norms.of_mean), _flat(norms.sum_of_each)], dim=1)
    target = _flat(second_order_term(problem.pool, problem.phi, alphas))
    solution = torch.linalg.lstsq(columns, target[:, None]).solution.flatten()
    return float(solution[0]), float(solution[1])


def flow_orders(problem: Problem, alphas: Sequence[float]) -> tuple[float, float]:
    """Return the order in α at which E[φ_{k+1}] leaves gradient flow, on C and on the regularized loss.

    On quadratic losses both flows are solved exactly, by an exponential of the Hessian. Theory says 2 and 3.

    Args:
        problem: quadratic losses; its pool holds the k minibatches of an epoch.
        alphas: step sizes to fit the order over.

    Raises:
        InputError: if the losses have no closed form.
    """
    pool, phi = problem.pool, problem.phi
    gaps: dict[bool, list[float]] = {False: [], True: []}
    for alpha in alphas:
        epoch = mean_epoch(pool, phi, alpha)
        for regularized, found in gaps.items():
            strength = alpha / (4 * pool.minibatches) if regularized else 0.0
            end = _flow(pool, phi, strength, time=pool.minibatches * alpha)
            found.append(float((_flat(epoch) - end).norm()))
    return order_of(alphas, gaps[False]), order_of(alphas, gaps[True])


def _flow(pool: Pool, phi: Params, strength: float, time: float) -> Tensor:
    """Follow −∇(C + strength · Σ‖∇L_i‖²) for time t: φ + A⁻¹(e^{−At} − I) b, b and A its derivatives."""
    losses = pool.losses
    if not isinstance(losses, PolynomialLoss):
        raise InputError("gradient flow is solved in closed form; give quadratic losses")
    stack = repeat(phi, pool.minibatches)
    h, g = losses.hessian(stack), losses.gradient(stack)["w"]
    slope = g.mean(0) + strength * 2 * torch.einsum("nij,nj->i", h, g)
    curvature = h.mean(0) + strength * 2 * torch.einsum("nij,njk->ik", h, h)
    values, vectors = torch.linalg.eigh(curvature)
    return _flat(phi) + vectors @ (torch.expm1(-values * time) / values * (vectors.mT @ slope))


def fish(domains: Sequence[Loss], phi: Params, alpha: float, epsilon: float) -> Params:
    """Return φ after one step of Fish: one inner step on each domain, then φ ← φ + ε (θ − φ).

    Args:
        domains: the loss on a minibatch of each domain, in the order in which they are visited.
        phi: where it starts.
        alpha: inner step size.
        epsilon: outer step size.

    Source: Shi et al. 2022, the algorithm Fish.
    """
    theta = phi
    for loss in domains:
        theta = add_scaled(theta, gradient(loss, theta), -alpha)
    return add_scaled(phi, subtract(theta, phi), epsilon)


def gradient_of_matching(pool: Pool, phi: Params) -> Params:
    """Return ∇ of the mean inner product ḡ_i·ḡ_j of different domains, by differentiating it.

    Source: Shi et al. 2022, the inter-domain term of their objective, up to the number of pairs.
    """
    norms, k = squared_norms(pool, phi), pool.minibatches
    return scale(subtract(scale(norms.of_mean, k**2), norms.sum_of_each), 1 / (k * (k - 1)))


def fish_beyond_joint(problem: Problem, alpha: float) -> float:
    """Return what Fish does beyond joint training, along ∇ of the matching term, over the prediction.

    Δ = E[θ − φ] + k α ∇C is compared with ¼ k (k−1) α² ∇GIP. 1 up to O(α), and exactly 1 on quadratic losses
    with two domains.

    Args:
        problem: its pool holds one minibatch of each of k domains.
        alpha: inner step size.
    """
    pool, phi, k = problem.pool, problem.phi, problem.pool.minibatches
    beyond = add_scaled(subtract(mean_epoch(pool, phi, alpha), phi), avg_grad(pool, phi), k * alpha)
    matching = gradient_of_matching(pool, phi)
    return float(dot(beyond, matching) / (k * (k - 1) / 4 * alpha**2 * dot(matching, matching)))


def _flat(a: Params) -> Tensor:
    return torch.cat([value.flatten() for value in a.values()])
