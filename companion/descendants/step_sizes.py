"""One step size per weight: Meta-SGD, and ANIL and BOIL as masks (φ_{i+1} = φ_i − a ∘ g_i)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from companion.fewshot.pretraining import HEAD
from metalib.derivatives import Loss, hvp
from metalib.errors import InputError
from metalib.inner import Trajectory
from metalib.optimizers import Optimizer, State
from metalib.params import Params, subtract, zeros_like


@dataclass(frozen=True)
class PerWeight(Optimizer):
    """Gradient descent with a step size for every weight, φ_{i+1} = φ_i − a ∘ g_i.

    Attributes:
        sizes: a, in the shapes of the weights.

    Source: Li et al. 2017, section 3.
    """

    sizes: Params
    alpha = 1.0

    def direction(self, g: Params, state: State) -> tuple[Params, State]:
        """Return a ∘ g."""
        return times(self.sizes, g), state


@dataclass(frozen=True)
class MetaGradient:
    """The derivatives of L_k(φ_k), which MAML descends.

    Attributes:
        phi: with respect to the initialization φ_1.
        sizes: with respect to the step sizes a, which Meta-SGD learns as well.
    """

    phi: Params
    sizes: Params


def meta_gradient(trajectory: Trajectory) -> MetaGradient:
    """Return ∂L_k(φ_k)/∂φ_1 = Π_j (I − L''_j(φ_j) diag a) g_k, and ∂L_k(φ_k)/∂a.

    MAML's walk back (Nichol et al. 2018, Eq. 21) with the vector a in the place of α: from v = g_k, for
    j = k−1, …, 1, the step sizes collect −g_j ∘ v and v ← v − L''_j(φ_j)(a ∘ v). With a = α this is MAML.
    With a = 0 on all weights but the head it is ANIL, on the head BOIL.

    Args:
        trajectory: k steps of `PerWeight`.

    Raises:
        InputError: if another optimizer took the steps.

    Source: Li et al. 2017, Algorithm 1; Raghu et al. 2020, section 4; Oh et al. 2021, section 3.
    """
    inner = trajectory.optimizer
    if not isinstance(inner, PerWeight):
        raise InputError(f"got a trajectory of {type(inner).__name__}; take its steps with PerWeight")
    v, of_sizes = trajectory.g[-1], zeros_like(trajectory.g[-1])
    earlier = list(zip(trajectory.losses, trajectory.phi, trajectory.g, strict=False))[: trajectory.k - 1]
    for loss, phi, g in reversed(earlier):
        of_sizes = subtract(of_sizes, times(g, v))
        v = subtract(v, hvp(loss, phi, times(inner.sizes, v)))
    return MetaGradient(v, of_sizes)


def by_autograd(losses: Sequence[Loss], phi: Params, sizes: Params) -> MetaGradient:
    """Return the same by automatic differentiation through the whole inner loop.

    Args:
        losses: L_1 … L_k.
        phi: φ_1.
        sizes: a.
    """
    names = list(phi)
    start, a = ([w.clone().requires_grad_() for w in those.values()] for those in (phi, sizes))
    current = start
    for loss in losses[:-1]:
        value = loss(dict(zip(names, current, strict=True))).sum()
        g = torch.autograd.grad(value, current, create_graph=True)
        current = [w - size * slope for w, size, slope in zip(current, a, g, strict=True)]
    last = losses[-1](dict(zip(names, current, strict=True))).sum()
    found = torch.autograd.grad(last, [*start, *a])
    both = found[: len(names)], found[len(names) :]
    return MetaGradient(*(dict(zip(names, part, strict=True)) for part in both))


def only(phi: Params, part: str, alpha: float) -> Params:
    """Return step sizes that are α on a part of the network and 0 elsewhere.

    Args:
        phi: the weights, by name.
        part: "head" (ANIL), "body" (BOIL) or "all" (MAML).
        alpha: the step size of what moves.
    """
    moves = {name: part == "all" or (name in HEAD) == (part == "head") for name in phi}
    return {name: torch.full_like(value, alpha if moves[name] else 0.0) for name, value in phi.items()}


def times(a: Params, b: Params) -> Params:
    """Return a ∘ b, weight by weight."""
    return {name: a[name] * b[name] for name in a}
