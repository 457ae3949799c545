"""Leading-order expansions of inner gradients and meta-gradients (Nichol et al. 2018, section 5.1).

Everything is written at the initialization φ_1: ḡ_i = L'_i(φ_1) and H̄_i = L''_i(φ_1). Hessians enter
only through products H̄_i v. An `Expansion` holds its two terms apart from α, so that one set of
derivatives serves every step size. All functions take stacks: then every run has its own expansion.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from metalib.derivatives import Loss, gradient, hvp
from metalib.errors import require
from metalib.meta_gradients import fomaml_weights
from metalib.params import Factor, Params, add, add_scaled, scale, total, zeros_like

if TYPE_CHECKING:
    from jaxtyping import Float


@dataclass(frozen=True)
class Expansion:
    """zeroth − α · first + O(α²).

    Attributes:
        zeroth: the gradients at φ_1, such as ḡ_k.
        first: the Hessian terms at φ_1, such as H̄_k Σ_{j<k} ḡ_j, without their factor −α.
    """

    zeroth: Params
    first: Params

    def at(self, alpha: Factor, order: int = 1) -> Params:
        """Return the expansion for step size α: both terms, or with `order=0` the first alone."""
        require(order in (0, 1), f"order is {order}; the expansion knows orders 0 and 1")
        return add_scaled(self.zeroth, self.first, -alpha) if order == 1 else self.zeroth


def initial_gradients(losses: Sequence[Loss], phi: Params) -> tuple[Params, ...]:
    """Return ḡ_1 … ḡ_k, the gradient of every L_i at φ_1 (Nichol et al. 2018, Eq. 11)."""
    return tuple(gradient(loss, phi) for loss in losses)


def expand_combination(losses: Sequence[Loss], phi: Params, weights: Sequence[float]) -> Expansion:
    """Expand Σ c_i g_i: zeroth Σ c_i ḡ_i, first Σ c_i H̄_i Σ_{j<i} ḡ_j.

    Args:
        losses: L_1 … L_k.
        phi: φ_1.
        weights: c_1 … c_k.

    Raises:
        InputError: if there are not exactly k weights.

    Source: Nichol et al. 2018, Eq. 16, summed with weights.
    """
    k = len(losses)
    require(len(weights) == k, f"got {len(weights)} weights for k = {k} losses; give exactly one per loss")
    g_bar = initial_gradients(losses, phi)
    zeroth, first, travelled = zeros_like(phi), zeros_like(phi), zeros_like(phi)
    for loss, g, c in zip(losses, g_bar, weights, strict=True):
        if c != 0.0:
            zeroth = add_scaled(zeroth, g, c)
            first = add_scaled(first, hvp(loss, phi, travelled), c)
        travelled = add(travelled, g)
    return Expansion(zeroth, first)


def expand_fomaml(losses: Sequence[Loss], phi: Params) -> Expansion:
    """Expand g_k (Nichol et al. 2018, Eqs. 26 and 38)."""
    return expand_combination(losses, phi, fomaml_weights(len(losses)))


def expand_maml(losses: Sequence[Loss], phi: Params) -> Expansion:
    """Expand MAML's gradient: ḡ_k − α H̄_k Σ_{j<k} ḡ_j − α Σ_{j<k} H̄_j ḡ_k + O(α²).

    The second Hessian term is what the Jacobians of the k − 1 updates add to FOMAML.

    Source: Nichol et al. 2018, Eqs. 24, 25 and 36.
    """
    last = expand_fomaml(losses, phi)
    through_updates = [hvp(loss, phi, last.zeroth) for loss in losses[:-1]]
    return Expansion(last.zeroth, total([last.first, *through_updates]))


@dataclass(frozen=True)
class Coefficients:
    """E[g] ≈ avg_grad · AvgGrad + avg_grad_inner · AvgGradInner; one pair, or one per run."""

    avg_grad: Factor
    avg_grad_inner: Factor

    @property
    def ratio(self) -> Factor:
        """How much −AvgGradInner weighs against AvgGrad."""
        return -self.avg_grad_inner / self.avg_grad


def predicted_coefficients(weights: Sequence[float], alpha: float) -> Coefficients:
    """Return (Σ c_i, −α Σ c_i (i − 1)), the coefficients of E[Σ c_i g_i].

    FOMAML, c = e_k: (1, −(k−1)α). Reptile, c = (1, …, 1): (k, −½k(k−1)α). Joint training: (1, 0).

    >>> predicted_coefficients((1.0, 1.0, 1.0), 0.5)
    Coefficients(avg_grad=3.0, avg_grad_inner=-1.5)

    Source: Nichol et al. 2018, Eqs. 34, 35, 39 and 41; for general c the expectation of Eq. 16.
    """
    pairs = sum(c * earlier for earlier, c in enumerate(weights))
    return Coefficients(float(sum(weights)), -alpha * pairs)


def predicted_maml_coefficients(k: int, alpha: float) -> Coefficients:
    """Return (1, −2(k−1)α), the coefficients of E[g_MAML] (Nichol et al. 2018, Eqs. 33 and 37)."""
    return Coefficients(1.0, -2.0 * (k - 1) * alpha)


def fit_coefficients(g: Params, avg_grad: Params, avg_grad_inner: Params) -> Coefficients:
    """Recover by least squares how much of AvgGrad and of AvgGradInner is in g.

    Args:
        g: a stack of R vectors.
        avg_grad: AvgGrad, a stack of one.
        avg_grad_inner: AvgGradInner, a stack of one.

    Returns:
        One pair per run of `g`, each a tensor of shape [R].
    """
    columns = torch.stack([_rows(avg_grad)[0], _rows(avg_grad_inner)[0]], dim=1)
    # Columns of length 1: the step to normal size belongs to the numbers, not to the conditioning.
    lengths = columns.norm(dim=0)
    q, r = torch.linalg.qr(columns / lengths)
    solution = torch.linalg.solve_triangular(r, q.mT @ _rows(g).mT, upper=True) / lengths[:, None]
    return Coefficients(solution[0], solution[1])


def _rows(a: Params) -> Float[Tensor, "runs weights"]:
    return torch.cat([value.flatten(1) for value in a.values()], dim=1)


def half_gradient_of_inner_product(first: Loss, second: Loss, phi: Params) -> Params:
    """Return ½ ∂(ḡ_1·ḡ_2)/∂φ_1 by differentiating the inner product itself (Nichol et al. 2018, Eq. 32).

    Equal to ½ (H̄_2 ḡ_1 + H̄_1 ḡ_2) by the product rule; here no Hessian-vector product is called.
    """
    leaves = {name: value.detach().requires_grad_() for name, value in phi.items()}
    one, two = (
        torch.autograd.grad(loss(leaves).sum(), list(leaves.values()), create_graph=True)
        for loss in (first, second)
    )
    inner_product = torch.stack([(a * b).sum() for a, b in zip(one, two, strict=True)]).sum()
    if not inner_product.requires_grad:  # both losses are linear in the weights
        return zeros_like(phi)
    derivative = torch.autograd.grad(inner_product, list(leaves.values()), materialize_grads=True)
    return scale(dict(zip(leaves, derivative, strict=True)), 0.5)
