"""Meta-gradients as pure functions of a `Trajectory`, so that methods are compared on the same steps.

Every first-order method of the paper is a weighted sum Σ c_i g_i of the inner gradients:

    joint training  c = (1, 0, …, 0)
    FOMAML          c = (0, …, 0, 1)
    Reptile         c = (1, 1, …, 1)

MAML alone needs second derivatives; it walks the same trajectory back.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from metalib.derivatives import hvp
from metalib.errors import require
from metalib.inner import Trajectory
from metalib.params import Factor, Params, add_scaled, scale, select, zeros_like

Weights = Sequence[float] | Tensor


def joint_weights(k: int) -> tuple[float, ...]:
    """Return c = e_1: a step on the expected loss (Nichol et al. 2018, Eqs. 6, 7)."""
    return (1.0,) + (0.0,) * (k - 1)


def fomaml_weights(k: int) -> tuple[float, ...]:
    """Return c = e_k: the last inner gradient (Nichol et al. 2018, Eq. 38)."""
    return (0.0,) * (k - 1) + (1.0,)


def reptile_weights(k: int) -> tuple[float, ...]:
    """Return c = (1, …, 1): the sum of the inner gradients (Nichol et al. 2018, Eq. 40)."""
    return (1.0,) * k


ALL = slice(None)


def combination(trajectory: Trajectory, weights: Weights, runs: slice = ALL) -> Params:
    """Return Σ c_i g_i.

    Args:
        trajectory: k inner steps.
        weights: c_1 … c_k, or for a stack one row of them per run, of shape [runs, k].
        runs: which runs of a stack; all by default.

    Raises:
        InputError: if there are not exactly k weights.

    Source: Nichol et al. 2018, Eqs. 38 and 40 and section 6.2.
    """
    return _weighted_sum(trajectory.g, weights, runs)


def combination_of_displacements(trajectory: Trajectory, weights: Weights, runs: slice = ALL) -> Params:
    """Return Σ c_i (φ_i − φ_{i+1}): α Σ c_i g_i under SGD, its counterpart under any other optimizer.

    This is what training moves against: with c = (1, …, 1) it is φ_1 − φ_{k+1}, Reptile's difference
    (Nichol et al. 2018, Algorithm 1 and Eq. 5).
    """
    if trajectory.optimizer.plain:
        alpha = trajectory.alpha
        chosen = alpha[runs] if isinstance(alpha, Tensor) and alpha.ndim else alpha
        return scale(combination(trajectory, weights, runs), chosen)
    return _weighted_sum([trajectory.displacement(i) for i in range(1, trajectory.k + 1)], weights, runs)


def fomaml(trajectory: Trajectory) -> Params:
    """Return g_k, the gradient at the end of the inner loop (Nichol et al. 2018, Eq. 38)."""
    return trajectory.g[-1]


def reptile(trajectory: Trajectory) -> Params:
    """Return Σ g_i, which under SGD is (φ_1 − φ_{k+1}) / α (Nichol et al. 2018, Eq. 40)."""
    return combination(trajectory, reptile_weights(trajectory.k))


def maml(trajectory: Trajectory) -> Params:
    """Return ∂L_k(φ_k)/∂φ_1 = (I − α L''_1(φ_1)) … (I − α L''_{k−1}(φ_{k−1})) g_k.

    The product is applied from the right: v ← g_k, then v ← v − α L''_j(φ_j) v for j = k−1, …, 1,
    one Hessian-vector product each. Steps of another optimizer than plain SGD are an `InputError`.

    Source: Nichol et al. 2018, Eqs. 17–21.
    """
    require(
        trajectory.optimizer.plain,
        f"maml got a trajectory of {type(trajectory.optimizer).__name__}; its product formula (Eq. 21) holds "
        "for plain SGD: use optimizers.SGD",
    )
    v = trajectory.g[-1]
    earlier = list(zip(trajectory.losses, trajectory.phi, strict=False))[: trajectory.k - 1]
    for loss, phi in reversed(earlier):
        v = add_scaled(v, hvp(loss, phi, v), -trajectory.alpha)
    return v


def _weighted_sum(terms: Sequence[Params], weights: Weights, runs: slice) -> Params:
    columns = _columns(weights, len(terms))
    used = [(term, c) for term, c in zip(terms, columns, strict=True) if isinstance(c, Tensor) or c != 0.0]
    if runs != ALL:
        used = [(select(term, runs), c[runs] if isinstance(c, Tensor) and c.ndim else c) for term, c in used]
    if not used:
        return zeros_like(select(terms[0], runs))
    first, c = used[0]
    result = first if isinstance(c, float) and c == 1.0 else scale(first, c)
    for term, c in used[1:]:
        result = add_scaled(result, term, c)
    return result


def _columns(weights: Weights, k: int) -> list[Factor]:
    """Return c_1 … c_k, each a number or a tensor of one number per run."""
    count = weights.shape[-1] if isinstance(weights, Tensor) else len(weights)
    require(count == k, f"got {count} weights for k = {k} inner gradients; give exactly one per inner step")
    if isinstance(weights, Tensor):
        return list(torch.unbind(weights, dim=-1))
    return [float(c) for c in weights]
