"""What the page on AvgGradInner computes: its four forms, recovered coefficients, degenerate draws."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist

import pandas as pd
import torch
from torch import Tensor

from companion.expansion.problems import Problem
from companion.inner_gradients.figure3 import CURVES, LARGEST_K
from metalib.derivatives import gradient, hvp
from metalib.meta_gradients import combination, fomaml_weights, maml, reptile_weights
from metalib.params import Params, add, add_scaled, norm, repeat, scale, select, subtract, total
from metalib.theory.expectations import (
    average_run,
    avg_grad,
    avg_grad_inner,
    expectation,
    expected_gradients,
    initial_gradients_of_pool,
)
from metalib.theory.taylor import (
    Coefficients,
    fit_coefficients,
    half_gradient_of_inner_product,
    predicted_coefficients,
    predicted_maml_coefficients,
)

CURVES_OF_FIGURE_3 = {
    curve.label.replace(" ", ""): curve.weights + (0.0,) * (LARGEST_K - curve.k) for curve in CURVES
}
"""The ten combinations of inner gradients of section 6.2, as weights c_1 … c_4."""


def four_forms(problem: Problem, replacement: bool = True) -> dict[str, Params]:
    """Return AvgGradInner four times: Eqs. 29, 30, 31 and 32, each by its own route."""
    pool = problem.pool
    draws = pool.ordered_draws(2, replacement)
    phi = repeat(problem.phi, len(draws))
    first, second = pool.losses_for(draws)
    eq29 = hvp(second, phi, gradient(first, phi))
    eq30 = hvp(first, phi, gradient(second, phi))
    eq32 = half_gradient_of_inner_product(first, second, phi)
    forms = {"29": eq29, "30": eq30, "31": scale(add(eq29, eq30), 0.5), "32": eq32}
    return {name: average_run(form) for name, form in forms.items()}


def distances_between_forms(problem: Problem, replacement: bool = True) -> dict[str, float]:
    """Return the relative distance of Eqs. 30, 31 and 32 from Eq. 29, in expectation; then pair by pair."""
    forms = four_forms(problem, replacement)
    found = {
        f"Eq. {name}": (norm(subtract(form, forms["29"])) / norm(forms["29"])).item()
        for name, form in forms.items()
        if name != "29"
    }
    pool = problem.pool
    draws = pool.ordered_draws(2, replacement=False)
    phi = repeat(problem.phi, len(draws))
    one, two = pool.losses_for(draws)
    h2g1, h1g2 = hvp(two, phi, gradient(one, phi)), hvp(one, phi, gradient(two, phi))
    half_sum, size = scale(add(h2g1, h1g2), 0.5), norm(h2g1)
    identity = half_gradient_of_inner_product(one, two, phi)
    found["pairs: Eq. 32 − Eq. 31"] = (norm(subtract(identity, half_sum)) / size).item()
    found["pairs: Eq. 30 − Eq. 29"] = (norm(subtract(h1g2, h2g1)) / size).item()
    return found


def measured_coefficients(
    problem: Problem, ks: Sequence[int], alphas: Sequence[float], replacement: bool = True
) -> pd.DataFrame:
    """Recover both coefficients of E[g] by least squares and set them beside the prediction.

    One enumeration of all draws of max(ks) minibatches serves every first-order method and every
    smaller k, because E[g_i] does not depend on later draws; MAML is enumerated for each k.

    Returns:
        A row per method, k and α: `avg_grad` and `inner` = −(coefficient of AvgGradInner) / α, as
        measured and as predicted, and `unexplained`, the part of ‖E[g]‖ outside the two directions.
    """
    pool, phi, longest = problem.pool, problem.phi, max(ks)
    basis = avg_grad(pool, phi), avg_grad_inner(pool, phi, replacement)
    rows = []
    for alpha in alphas:
        g = expected_gradients(pool, phi, alpha, pool.ordered_draws(longest, replacement))
        found: list[tuple[str, int, Params, Coefficients]] = []
        for k in ks:
            for name, c in (("FOMAML", fomaml_weights(k)), ("Reptile", reptile_weights(k))):
                found.append((name, k, _weighted(g, c), predicted_coefficients(c, alpha)))
            second_order = expectation(maml, pool, phi, alpha, pool.ordered_draws(k, replacement))
            found.append(("MAML", k, second_order, predicted_maml_coefficients(k, alpha)))
        if longest >= LARGEST_K:
            for name, c in CURVES_OF_FIGURE_3.items():
                found.append((name, LARGEST_K, _weighted(g, c), predicted_coefficients(c, alpha)))
        rows += [_row(name, k, alpha, vector, basis, expected) for name, k, vector, expected in found]
    return pd.DataFrame(rows)


def _row(
    name: str, k: int, alpha: float, g: Params, basis: tuple[Params, Params], expected: Coefficients
) -> dict[str, float | str]:
    fit = fit_coefficients(g, *basis)
    explained = add(scale(basis[0], fit.avg_grad), scale(basis[1], fit.avg_grad_inner))
    return {
        "method": name,
        "k": k,
        "alpha": alpha,
        "avg_grad": float(fit.avg_grad),
        "avg_grad predicted": float(expected.avg_grad),
        "inner": -float(fit.avg_grad_inner) / alpha,
        "inner predicted": -float(expected.avg_grad_inner) / alpha,
        "unexplained": (norm(subtract(g, explained)) / norm(g)).item(),
    }


def sampled_coefficients(
    problem: Problem, method: str, k: int, alpha: float, draws: Tensor, paired: bool = True
) -> pd.DataFrame:
    """Estimate both coefficients of E[g] from sampled draws, with standard errors and 99 % intervals.

    Args:
        problem: the pool and φ_1; AvgGrad and AvgGradInner of the pool are exact.
        method: "MAML", "FOMAML" or "Reptile".
        k: inner steps.
        alpha: the inner step size α.
        draws: independent draws of k minibatches, from `Pool.sampled_draws`.
        paired: subtract from every sample what is known to be zero on average, Σ c_i (ḡ_i − AvgGrad).
            Without it the scatter of ḡ_i, of order 1, drowns a coefficient of order α.

    Returns:
        A row per coefficient (`avg_grad`, `inner` as in `measured_coefficients`): estimate, standard
        error, interval, prediction, and whether the prediction lies inside.
    """
    weights = reptile_weights(k) if method == "Reptile" else fomaml_weights(k)
    expected = (
        predicted_maml_coefficients(k, alpha) if method == "MAML" else predicted_coefficients(weights, alpha)
    )
    pool, phi = problem.pool, problem.phi
    basis = avg_grad(pool, phi), avg_grad_inner(pool, phi)
    run = pool.run(phi, alpha, draws)
    g = maml(run) if method == "MAML" else combination(run, weights)
    if paired:
        g_bar = initial_gradients_of_pool(pool, phi)
        for c, column in zip(weights, draws.unbind(1), strict=True):
            noise = subtract(select(g_bar, column), repeat(basis[0], len(draws)))
            g = add_scaled(g, noise, -c)
    fit = fit_coefficients(g, *basis)
    samples = {
        "avg_grad": torch.as_tensor(fit.avg_grad),
        "inner": -torch.as_tensor(fit.avg_grad_inner) / alpha,
    }
    predicted = {"avg_grad": expected.avg_grad, "inner": -expected.avg_grad_inner / alpha}
    half_width = NormalDist().inv_cdf(0.995)
    rows = []
    for name, values in samples.items():
        mean, error = float(values.mean()), float(values.std()) / len(values) ** 0.5
        low, high = mean - half_width * error, mean + half_width * error
        inside = low <= float(predicted[name]) <= high
        rows.append((method, k, name, mean, error, low, high, float(predicted[name]), inside))
    columns = ["method", "k", "coefficient", "estimate", "error", "low", "high", "predicted", "inside"]
    return pd.DataFrame(rows, columns=columns)


def coverage(problem: Problem, method: str, k: int, alpha: float, samples: int, repetitions: int) -> float:
    """Return how often the 99 % interval of the inner coefficient holds the prediction."""
    hits = 0
    for seed in range(repetitions):
        draws = problem.pool.sampled_draws(k, samples, seed)
        table = sampled_coefficients(problem, method, k, alpha, draws)
        hits += int(table["inside"].iloc[-1])
    return hits / repetitions


def _weighted(g: Sequence[Params], weights: Sequence[float]) -> Params:
    return total([scale(vector, c) for vector, c in zip(g, weights, strict=False)])
