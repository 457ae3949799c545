"""Slow, literal counterparts of what metalib computes; nothing here is clever, and nothing is shared."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from metalib.derivatives import Loss
from metalib.params import Params
from metalib.tasks.sine import Sine


def sine_losses(k: int, seed: int = 0, runs: int = 1, activation: str = "tanh") -> tuple[list[Loss], Params]:
    """k losses on the minibatches of one sine wave per run, and initial weights, in float64."""
    family = Sine(activation=activation, dtype="float64")
    sampled = [family.sample(seed + r, 0, 1, k) for r in range(runs)]
    losses = [
        family.loss(
            {name: torch.stack([torch.from_numpy(d[name][0, 0, i]) for d in sampled]) for name in "xy"}
        )
        for i in range(k)
    ]
    starts = [family.initialize(seed + r) for r in range(runs)]
    return losses, {name: torch.cat([start[name] for start in starts]) for name in starts[0]}


def unrolled_maml(losses: Sequence[Loss], phi: Params, alpha: float) -> Params:
    """∂L_k(φ_k)/∂φ_1 by differentiating through the whole unrolled inner loop."""
    leaves = {name: value.clone().requires_grad_() for name, value in phi.items()}
    current = leaves
    for loss in losses[:-1]:
        g = torch.autograd.grad(loss(current).sum(), list(current.values()), create_graph=True)
        current = {name: value - alpha * gi for (name, value), gi in zip(current.items(), g, strict=True)}
    result = torch.autograd.grad(losses[-1](current).sum(), list(leaves.values()))
    return dict(zip(leaves, result, strict=True))


def dense_hessian(loss: Loss, phi: Params) -> Tensor:
    """L''(φ) as a matrix over the flattened weights."""
    return torch.autograd.functional.hessian(lambda v: loss(unflatten(v, phi)).sum(), flatten(phi))


def relative_error(a: Params, b: Params) -> float:
    """‖a − b‖ / ‖b‖."""
    return float((flatten(a) - flatten(b)).norm() / flatten(b).norm())


def flatten(a: Params) -> Tensor:
    """Return all weights as one vector, in the order of the names."""
    return torch.cat([value.reshape(-1) for value in a.values()])


def unflatten(vector: Tensor, like: Params) -> Params:
    """Undo `flatten`: cut `vector` into the shapes of `like`."""
    pieces = vector.split([value.numel() for value in like.values()])
    return {name: piece.view_as(like[name]) for (name, piece) in zip(like, pieces, strict=True)}
