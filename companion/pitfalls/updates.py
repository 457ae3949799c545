"""Wrong: updates of the initialization that look right. Nothing else in the companion uses them."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from metalib.derivatives import Loss
from metalib.params import Params, add_scaled, scale, subtract, total


def divided_by_steps(phi: Params, ends: Sequence[Params], k: int, epsilon: float) -> Params:
    """Return φ + ε/k Σ (φ̃_i − φ): wrong, batched Reptile divides by the n tasks (Nichol et al. 2018, Eq. 5).

    Args:
        phi: the initialization.
        ends: the adapted weights φ̃_1 … φ̃_n of n tasks.
        k: inner steps.
        epsilon: outer step size ε.
    """
    return add_scaled(phi, total([subtract(end, phi) for end in ends]), epsilon / k)


def detached_maml(losses: Sequence[Loss], phi: Params, alpha: float) -> Params:
    """Return what automatic differentiation through the inner loop gives if its gradients have no graph.

    Wrong: without `create_graph` the inner gradients are constants, the Jacobian of Eq. 4 becomes the
    identity, and this is FOMAML (Nichol et al. 2018, section 2). Nothing complains.

    Args:
        losses: L_1 … L_k.
        phi: φ_1.
        alpha: inner step size α.
    """
    leaves = {name: value.detach().requires_grad_() for name, value in phi.items()}
    weights: Params = dict(leaves)
    for loss in losses[:-1]:
        gradients = torch.autograd.grad(loss(weights).sum(), list(weights.values()))
        step = scale(dict(zip(weights, gradients, strict=True)), alpha)
        weights = subtract(weights, step)
    value = losses[-1](weights).sum()
    return dict(zip(leaves, torch.autograd.grad(value, list(leaves.values())), strict=True))
