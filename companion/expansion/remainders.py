"""What the page on the expanded update computes: remainders, their orders, and where the series breaks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from torch.autograd import forward_ad

from companion.expansion.problems import Problem
from metalib.derivatives import Loss, gradient, hvp
from metalib.inner import Trajectory, inner_loop
from metalib.meta_gradients import fomaml, maml
from metalib.methods import FOMAML, MAML, REPTILE
from metalib.optimizers import SGD
from metalib.params import Params, add, add_scaled, norm, scale, subtract, total
from metalib.theory.taylor import expand_maml, initial_gradients

HALVINGS = 6

COMPARED = {method.look.label: method for method in (MAML, FOMAML, REPTILE)}
"""The methods that section 5 expands, by what readers call them."""


def remainders(problem: Problem, ks: Sequence[int], halvings: int = HALVINGS) -> pd.DataFrame:
    """Measure how far the expansions lie from the meta-gradients, while α is halved.

    Returns:
        A row per algorithm, k, α and order of the expansion (0: gradients only, 1: with the Hessian
        term), with the remainder ‖g − expansion‖ and the same relative to ‖g‖.
    """
    rows = []
    for k in ks:
        losses = problem.losses(k)
        expansions = {name: method.expand(losses, problem.phi) for name, method in COMPARED.items()}
        for alpha in problem.alpha * 0.5 ** np.arange(halvings + 1):
            trajectory = inner_loop(losses, problem.phi, SGD(float(alpha)))
            for name, method in COMPARED.items():
                g = method.gradient(trajectory)
                for order in (0, 1):
                    remainder = norm(subtract(g, expansions[name].at(float(alpha), order))).item()
                    rows.append((problem.name, name, k, order, alpha, remainder, remainder / norm(g).item()))
    columns = ["problem", "algorithm", "k", "order", "alpha", "remainder", "relative"]
    return pd.DataFrame(rows, columns=columns)


def slopes(table: pd.DataFrame) -> pd.DataFrame:
    """Fit log remainder = slope · log α + constant for every problem, algorithm, k and order."""
    keys = ["problem", "algorithm", "k", "order"]
    rows = [
        (*key, order_of(group["alpha"], group["remainder"]))
        for key, group in table.groupby(keys, sort=False)
        if isinstance(key, tuple)
    ]
    return pd.DataFrame(rows, columns=[*keys, "slope"])


def order_of(alpha: Sequence[float] | pd.Series, remainder: Sequence[float] | pd.Series) -> float:
    """Return the least-squares slope of log remainder against log α."""
    return float(np.polyfit(np.log(np.asarray(alpha)), np.log(np.asarray(remainder)), 1)[0])


def lines_of_the_derivation(problem: Problem, k: int, halvings: int = HALVINGS) -> pd.DataFrame:
    """Measure the order of what each line of Eqs. 14–16 (at i = k) and 22–24 leaves out.

    Returns:
        A row per equation: the largest relative remainder, and the fitted order in α.
    """
    losses, phi = problem.losses(k), problem.phi
    g_bar = initial_gradients(losses, phi)
    earlier = total(g_bar[:-1])
    alphas = [float(a) for a in problem.alpha * 0.5 ** np.arange(halvings + 1)]
    found: dict[str, list[float]] = {}
    for alpha in alphas:
        run = inner_loop(losses, phi, SGD(alpha))
        moved = subtract(run.phi[k - 1], phi)
        eq16 = add_scaled(g_bar[-1], hvp(losses[-1], phi, earlier), -alpha)
        lines = {
            "14": (fomaml(run), add(g_bar[-1], hvp(losses[-1], phi, moved))),
            "15": (fomaml(run), add_scaled(g_bar[-1], hvp(losses[-1], phi, total(run.g[:-1])), -alpha)),
            "16": (fomaml(run), eq16),
            "22": (maml(run), _product_at_start(losses, phi, eq16, alpha)),
            "23": (maml(run), _sum_at_start(losses, phi, eq16, alpha)),
            "24": (maml(run), _sum_at_start(losses, phi, g_bar[-1], alpha, add_to=eq16)),
        }
        for equation, (exact, line) in lines.items():
            found.setdefault(equation, []).append((norm(subtract(exact, line)) / norm(exact)).item())
    rows = [(equation, r[0], order_of(alphas, r)) for equation, r in found.items()]
    return pd.DataFrame(rows, columns=["equation", "relative remainder", "order"])


def _product_at_start(losses: Sequence[Loss], phi: Params, v: Params, alpha: float) -> Params:
    """Return Π_{j<k} (I − α H̄_j) v."""
    for loss in reversed(losses[:-1]):
        v = add_scaled(v, hvp(loss, phi, v), -alpha)
    return v


def _sum_at_start(
    losses: Sequence[Loss], phi: Params, v: Params, alpha: float, add_to: Params | None = None
) -> Params:
    """Return `add_to` (by default v) − α Σ_{j<k} H̄_j v."""
    products = total([hvp(loss, phi, v) for loss in losses[:-1]])
    return add_scaled(v if add_to is None else add_to, products, -alpha)


def maml_by_autograd(losses: Sequence[Loss], phi: Params, alpha: float) -> Params:
    """Return ∂L_k(φ_k)/∂φ_1 by differentiating through the unrolled inner loop (Nichol et al. 2018, Eq. 17).

    Uses nothing of `meta_gradients`: the graph of all k steps is kept and walked back by autograd.
    """
    start = {name: value.detach().requires_grad_() for name, value in phi.items()}
    point = start
    for loss in losses[:-1]:
        g = torch.autograd.grad(loss(point).sum(), list(point.values()), create_graph=True)
        point = {name: value - alpha * d for (name, value), d in zip(point.items(), g, strict=True)}
    derivative = torch.autograd.grad(losses[-1](point).sum(), list(start.values()))
    return dict(zip(start, derivative, strict=True))


def hvp_forward_over_reverse(loss: Loss, params: Params, vector: Params) -> Params:
    """Return L''(φ) v as the derivative of t ↦ L'(φ + t v) at t = 0 (Pearlmutter 1994).

    Forward mode is applied to the gradient: dual numbers φ + t v run through one backward pass, and no
    second graph is built. An independent route to the product of `hvp`, which the tests compare.
    """
    with forward_ad.dual_level():
        leaves = {
            name: forward_ad.make_dual(value.detach().requires_grad_(), vector[name])
            for name, value in params.items()
        }
        gradients = torch.autograd.grad(loss(leaves).sum(), list(leaves.values()))
        tangents = [forward_ad.unpack_dual(g).tangent for g in gradients]
    # A gradient that does not depend on the weights has no tangent: its rows of L'' are zero.
    return {
        name: torch.zeros_like(params[name]) if tangent is None else tangent.detach()
        for name, tangent in zip(leaves, tangents, strict=True)
    }


def maml_by_swapped_product(trajectory: Trajectory) -> Params:
    """Return (I − α L''_{k−1}(φ_{k−1})) … (I − α L''_1(φ_1)) g_k: Eq. 21 in the WRONG order.

    Matrices do not commute, and the Π of Eq. 21 does not say on which side the next factor goes; the
    chain rule (Eq. 19) does. This product exists to show that the order matters.
    """
    v = trajectory.g[-1]
    for loss, point in zip(trajectory.losses[:-1], trajectory.phi, strict=False):
        v = add_scaled(v, hvp(loss, point, v), -trajectory.alpha)
    return v


def product_formula(problem: Problem, ks: Sequence[int], alpha: float) -> pd.DataFrame:
    """Compare Eq. 21, in the right and in the swapped order, with autograd through the loop.

    Returns:
        A row per k with the relative distance of each from autograd, and of FOMAML for scale.
    """
    rows = []
    for k in ks:
        losses = problem.losses(k)
        run = inner_loop(losses, problem.phi, SGD(alpha))
        oracle = maml_by_autograd(losses, problem.phi, alpha)
        routes = (maml(run), maml_by_swapped_product(run), fomaml(run))
        rows.append((k, *((norm(subtract(g, oracle)) / norm(oracle)).item() for g in routes)))
    return pd.DataFrame(rows, columns=["k", "Eq. 21", "swapped order", "FOMAML"])


def relative_distance(a: Params, b: Params) -> float:
    """Return ‖a − b‖ / ‖a‖."""
    return (norm(subtract(a, b)) / norm(a)).item()


def exactness_on_quadratics(problem: Problem, alpha: float) -> dict[str, float]:
    """Return the relative remainders at k = 2 on a quadratic, where the expansions can end exactly.

    FOMAML and Reptile have none; MAML's is α² H̄_1 H̄_2 ḡ_1, whose own relative error is returned.
    """
    losses, phi = problem.losses(2), problem.phi
    run = inner_loop(losses, phi, SGD(alpha))
    found = {
        name: relative_distance(method.gradient(run), method.expand(losses, phi).at(alpha))
        for name, method in COMPARED.items()
    }
    left = subtract(maml(run), expand_maml(losses, phi).at(alpha))
    predicted = scale(hvp(losses[0], phi, hvp(losses[1], phi, gradient(losses[0], phi))), alpha**2)
    found["MAML minus its predicted remainder"] = (norm(subtract(left, predicted)) / norm(maml(run))).item()
    return found
