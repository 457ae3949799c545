"""Implicit MAML to leading order in α, so that it can stand beside MAML, FOMAML and Reptile.

Take k − 1 proximal steps on L_1 … L_{k−1} and judge on L_k, with the same minibatches as the other methods. A
pull λ that does not grow as α → 0 leaves no expansion in AvgGrad and AvgGradInner: (I + H/λ)⁻¹ stays what it
is. So λ = 1 / (sα) for a fixed number s, the *reach* of the inner problem in steps. Each step shrinks the
way made before it by r = 1 − αλ = 1 − 1/s:

    φ_k − φ_1 = −α Σ_{j<k} r^{k−1−j} ḡ_j + O(α²),
    g_k       = ḡ_k − α H̄_k Σ_{j<k} r^{k−1−j} ḡ_j + O(α²),
    (I + sα H̄)⁻¹ g_k = g_k − sα H̄ ḡ_k + O(α²),   with H̄ the mean of H̄_1 … H̄_{k−1}.

In expectation every product of a Hessian and another gradient is AvgGradInner. The first sum has the
weights 1 + r + … + r^{k−2} = s (1 − r^{k−1}), the second s, which together are s (2 − r^{k−1}).
"""

from __future__ import annotations

from collections.abc import Sequence

from metalib.derivatives import Loss, hvp
from metalib.errors import require
from metalib.params import Params, add, add_scaled, scale, total, zeros_like
from metalib.theory.taylor import Coefficients, Expansion, initial_gradients


def expand_steps(losses: Sequence[Loss], phi: Params, reach: float) -> Expansion:
    """Expand the implicit gradient after k − 1 proximal steps with λ = 1 / (reach · α).

    zeroth ḡ_k, first H̄_k Σ_{j<k} r^{k−1−j} ḡ_j + reach · H̄ ḡ_k, with r = 1 − 1/reach; take `at(alpha)`.

    Args:
        losses: L_1 … L_k; the last is held out.
        phi: φ_1.
        reach: 1 / (αλ) > 0.

    Raises:
        InputError: if the reach is not greater than 0, or there is no loss.

    Source: Rajeswaran et al. 2019, Lemma 1, expanded as in Nichol et al. 2018, section 5.1.
    """
    _require(len(losses), reach)
    gradients, kept = initial_gradients(losses, phi), 1.0 - 1.0 / reach
    if len(losses) == 1:
        return Expansion(gradients[0], zeros_like(phi))
    way = gradients[0]
    for g in gradients[1:-1]:
        way = add_scaled(g, way, kept)
    curved = total([hvp(loss, phi, gradients[-1]) for loss in losses[:-1]])
    first = add(hvp(losses[-1], phi, way), scale(curved, reach / (len(losses) - 1)))
    return Expansion(gradients[-1], first)


def predicted_implicit_coefficients(k: int, alpha: float, strength: float) -> Coefficients:
    """Return (1, −(2 − (1 − αλ)^{k−1}) / λ) for k > 1, and (1, 0) for k = 1, where nothing is adapted.

    Long inner loops tend to (1, −2/λ), the exact solution of the proximal problem. With λ = 1 / ((k − 1) α)
    that is MAML's −2(k − 1)α, and k − 1 steps reach 2 − (1 − 1/(k−1))^{k−1}, about 1.63, of its factor 2.

    >>> predicted_implicit_coefficients(2, 0.5, 2.0)
    Coefficients(avg_grad=1.0, avg_grad_inner=-1.0)

    Args:
        k: inner steps, the held-out minibatch included.
        alpha: α.
        strength: λ.

    Raises:
        InputError: if k is below 1, or α or λ is not greater than 0.
    """
    require(alpha > 0 and strength > 0, f"alpha is {alpha}, λ is {strength}; give numbers greater than 0")
    _require(k, 1.0 / (alpha * strength))
    inner = (2.0 - (1.0 - alpha * strength) ** (k - 1)) / strength if k > 1 else 0.0
    return Coefficients(1.0, -inner)


def _require(k: int, reach: float) -> None:
    require(k >= 1, f"k is {k}; there must be at least one loss")
    require(reach > 0, f"reach is {reach}; 1 / (αλ) is greater than 0")
