"""How much of AvgGradInner implicit MAML has, beside the three methods of the paper."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd

from companion.expansion.problems import sine_problem
from companion.implicit.expansion import predicted_implicit_coefficients
from companion.implicit.training import Proximal, implicit_of
from metalib.inner import Trajectory, inner_loop
from metalib.meta_gradients import fomaml, fomaml_weights, maml, reptile, reptile_weights
from metalib.optimizers import SGD, Optimizer
from metalib.params import Params, repeat
from metalib.theory.expectations import average_run, avg_grad, avg_grad_inner
from metalib.theory.taylor import (
    Coefficients,
    fit_coefficients,
    predicted_coefficients,
    predicted_maml_coefficients,
)

ALPHA = 2.0**-17
"""So small that what the expansions leave out does not show in three digits."""
SOLVER_STEPS = 20


def shares(ks: Sequence[int], tasks: int = 3, minibatches: int = 4, seed: int = 0) -> pd.DataFrame:
    """Return AvgGradInner per AvgGrad in units of −α, as derived and as recovered from exact expectations.

    Implicit MAML has λ = 1 / ((k − 1) α) and takes k − 1 proximal steps.

    Args:
        ks: numbers of inner steps, from 2 on.
        tasks: sine waves in the pool.
        minibatches: of each; all ordered draws of k of them are run.
        seed: decides tasks and weights.

    Returns:
        One row per method and k: `derived`, `measured`.
    """
    problem = sine_problem(tasks=tasks, minibatches=minibatches, seed=seed)
    pool, phi = problem.pool, problem.phi
    basis = avg_grad(pool, phi), avg_grad_inner(pool, phi)
    rows = []
    for k in ks:
        strength = 1.0 / ((k - 1) * ALPHA)
        draws = pool.ordered_draws(k)
        losses, start = pool.losses_for(draws), repeat(phi, len(draws))
        for name, (optimizer, gradient, predicted) in _methods(k, strength).items():
            mean = average_run(gradient(inner_loop(losses, start, optimizer)))
            found = fit_coefficients(mean, *basis)
            rows.append((name, k, float(predicted.ratio) / ALPHA, float(found.ratio) / ALPHA))
    return pd.DataFrame(rows, columns=["method", "k", "derived", "measured"])


def _methods(
    k: int, strength: float
) -> dict[str, tuple[Optimizer, Callable[[Trajectory], Params], Coefficients]]:
    def implicit(trajectory: Trajectory) -> Params:
        return implicit_of(trajectory, strength, SOLVER_STEPS, 1e-13).x

    return {
        "MAML": (SGD(ALPHA), maml, predicted_maml_coefficients(k, ALPHA)),
        "implicit MAML": (
            Proximal(ALPHA, strength),
            implicit,
            predicted_implicit_coefficients(k, ALPHA, strength),
        ),
        "FOMAML": (SGD(ALPHA), fomaml, predicted_coefficients(fomaml_weights(k), ALPHA)),
        "Reptile": (SGD(ALPHA), reptile, predicted_coefficients(reptile_weights(k), ALPHA)),
    }
