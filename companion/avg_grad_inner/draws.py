"""What the way of drawing minibatches does to the term: fresh, reused, once each, or full batch."""

from __future__ import annotations

import pandas as pd

from companion.expansion.problems import Problem
from metalib.errors import require
from metalib.params import Params, add, add_scaled, cosine, norm, scale, subtract, total
from metalib.theory.expectations import (
    Pool,
    average_run,
    avg_grad,
    avg_grad_inner,
    expected_gradients,
    hessian_gradient_products,
)
from metalib.theory.taylor import fit_coefficients


def gradient_norm_term(pool: Pool, phi: Params) -> Params:
    """Return ½ ∂/∂φ_1 E‖ḡ_1‖² = E[H̄_1 ḡ_1]: what AvgGradInner becomes if all steps reuse one minibatch."""
    return average_run(hessian_gradient_products(pool, phi, pool.repeated_draws(2)))


def reused_minibatches(problem: Problem, k: int, alpha: float) -> pd.DataFrame:
    """Explain E[g_k] of fresh and of reused minibatches by AvgGrad and each candidate second direction.

    Fresh minibatches are all different here (draws without replacement), so that "fresh" means fresh.

    Returns:
        Rows fresh and reused; for each candidate (AvgGradInner, ½∇E‖ḡ‖²) the recovered coefficient
        −(…)/α of the second direction and the part of E[g_k − g_1] that it leaves unexplained.

    Raises:
        InputError: if k is larger than the pool.
    """
    pool, phi = problem.pool, problem.phi
    require(k <= pool.minibatches, f"k is {k}; fresh minibatches are at most {pool.minibatches}")
    mean = avg_grad(pool, phi)
    candidates = {
        "AvgGradInner": avg_grad_inner(pool, phi, replacement=False),
        "gradient norm": gradient_norm_term(pool, phi),
    }
    rows = []
    for name, draws in (
        ("fresh", pool.ordered_draws(k, replacement=False)),
        ("reused", pool.repeated_draws(k)),
    ):
        g = expected_gradients(pool, phi, alpha, draws)[-1]
        change = subtract(g, mean)
        row: dict[str, float | str] = {"minibatches": name}
        for label, direction in candidates.items():
            fit = fit_coefficients(g, mean, direction)
            predicted = scale(direction, -(k - 1) * alpha)
            row[f"{label}: coefficient"] = -float(fit.avg_grad_inner) / alpha
            row[f"{label}: unexplained"] = (norm(subtract(change, predicted)) / norm(change)).item()
        rows.append(row)
    return pd.DataFrame(rows)


def plain_sgd(problem: Problem, alpha: float) -> pd.DataFrame:
    """Measure the term in one epoch of SGD on a single task, no meta-learning in sight (section 7).

    Compares k = N steps on all orders of the N minibatches, k independent minibatches, and k
    full-batch steps.

    Returns:
        A row per way of stepping: the measured coefficients of the mean gradient (k predicted) and of
        the Hessian term that belongs to it (½k(k−1) predicted), and that term's cosine with the AvgGradInner
        of different minibatches.

    Raises:
        InputError: if the pool holds several tasks.
    """
    pool, phi = problem.pool, problem.phi
    require(pool.tasks == 1, f"the pool holds {pool.tasks} tasks; plain SGD is measured on one")
    k = pool.minibatches
    mean = avg_grad(pool, phi)
    different, independent = (avg_grad_inner(pool, phi, replacement) for replacement in (False, True))
    epoch = total(expected_gradients(pool, phi, alpha, pool.ordered_draws(k, replacement=False)))
    fresh = total(expected_gradients(pool, phi, alpha, pool.ordered_draws(k)))
    point, full = phi, scale(mean, 0.0)
    for _ in range(k):
        g = avg_grad(pool, point)
        point, full = add_scaled(point, g, -alpha), add(full, g)
    rows = []
    for name, g, term in (
        ("one epoch, every minibatch once", epoch, different),
        ("independent minibatches", fresh, independent),
        ("full batch", full, independent),
    ):
        fit = fit_coefficients(g, mean, term)
        inner = -float(fit.avg_grad_inner) / alpha
        rows.append((name, float(fit.avg_grad), inner, cosine(term, different).item()))
    return pd.DataFrame(rows, columns=["steps", "mean gradient", "Hessian term", "cosine"])
