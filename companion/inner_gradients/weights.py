"""Weights of the inner gradients that the paper did not try and its theory speaks about (section 5.1).

To leading order E[Σ c_i g_i] = (Σ c_i) AvgGrad − α (Σ c_i (i − 1)) AvgGradInner. With Σ c_i = 1 the pull
towards the joint minimum is the same for all, and in expectation λ = Σ c_i (i − 1) alone tells them apart;
at k = 2, c = (1 − λ, λ) turns λ like a dial. MAML at k = 2 has λ = 2, like c = (−1, 2), but pays for a
Hessian. The noise of a step differs too, in proportion to Σ c_i²: 5, 1, ½, 1, 5 for λ = −1, 0, ½, 1, 2.
Pairs of equal noise are −1 and 2, and 0 and 1.

Said before running it: λ = 2 beats λ = −1, and λ = 1 beats λ = 0, because a higher λ is better at equal
noise; λ = −1 is worse than λ = 0, by its sign as well as by its noise. (−1, 2) is no better than MAML,
whose noise is that of one gradient. The differences (−1, 1) and (−4, 4), without AvgGrad, beat random
weights, if AvgGradInner is enough to learn from; `start` is those weights.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from companion.budgets import BUDGETS, Budget
from companion.fewshot.settings import on_both_pools
from companion.inner_gradients.settings import Combination, config, disjoint_family, unit
from companion.running.experiment import Facts, Unit
from metalib.data.classes import ClassPool
from metalib.methods import METHODS
from metalib.tasks.fewshot import FewShot

DIAL = (-1.0, 0.0, 0.5, 1.0, 2.0)
CURVES = (
    *(Combination(f"dial{value:g}", f"λ = {value:g}", (1.0 - value, value), "dial") for value in DIAL),
    Combination("difference", "g2 − g1", (-1.0, 1.0), "difference"),
    Combination("difference-4", "4 (g2 − g1)", (-4.0, 4.0), "difference"),
    Combination("start", "random weights", (0.0, 0.0), "start"),
    Combination("4-last", "g4", (0.0, 0.0, 0.0, 1.0), "last"),
    Combination("4-like-maml", "2 g4 − g1", (-1.0, 0.0, 0.0, 2.0), "like-maml"),
)
MAML = "maml"
MAML_K = 2
MAML_FACTS: Facts = {
    "curve": MAML,
    "kind": MAML,
    "k": MAML_K,
    "lambda": float(METHODS[MAML].coefficients(MAML_K, 1.0).ratio),
}


def _units(
    pool: Callable[[], ClassPool], budget: Budget, seeds: tuple[int, ...]
) -> tuple[Unit[FewShot], ...]:
    classes, units = pool(), []
    families = {k: disjoint_family(classes, k) for k in (2, 4)}
    for seed in seeds:
        runs = [(curve.facts, config(curve.weights, budget.iterations, seed)) for curve in CURVES]
        maml = replace(runs[0][1], algorithm=MAML, weights=(), k=MAML_K)
        for facts, run in [*runs, (MAML_FACTS, maml)]:
            units.append(unit(facts, families[run.k], run, budget.evaluation_tasks))
    return tuple(units)


WEIGHTS, WEIGHTS_GLYPHS = on_both_pools(
    "figure3-weights",
    "weights that the paper did not try",
    BUDGETS["figure3-weights"],
    _units,
    on_divergence="record",
)
