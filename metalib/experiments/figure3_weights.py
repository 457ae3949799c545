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

from metalib.experiments import Budget, Unit
from metalib.experiments.combinations import Combination, config, disjoint_family, record, unit
from metalib.experiments.fewshot import on_both_pools
from metalib.tasks.classes import ClassPool

DIAL = (-1.0, 0.0, 0.5, 1.0, 2.0)
CURVES = (
    *(Combination(f"dial{value:g}", f"λ = {value:g}", (1.0 - value, value)) for value in DIAL),
    Combination("difference", "g2 − g1", (-1.0, 1.0)),
    Combination("difference-4", "4 (g2 − g1)", (-4.0, 4.0)),
    Combination("start", "random weights", (0.0, 0.0)),
    Combination("4-last", "g4", (0.0, 0.0, 0.0, 1.0)),
    Combination("4-like-maml", "2 g4 − g1", (-1.0, 0.0, 0.0, 2.0)),
)
MAML = "maml"
BUDGETS = {
    "smoke": Budget(10, 4),
    "quick": Budget(200, 60),
    "laptop": Budget(2_000, 500),
    "paper": Budget(40_000, 10_000),
}


def _units(pool: Callable[[], ClassPool], budget: Budget, seeds: tuple[int, ...]) -> tuple[Unit, ...]:
    classes = pool()
    families = {k: disjoint_family(classes, k) for k in (2, 4)}
    units = []
    for seed in seeds:
        runs = {curve.name: config(curve.weights, budget.iterations, seed) for curve in CURVES}
        runs[MAML] = replace(runs["dial2"], algorithm="maml", weights=())
        units += [unit(name, families[run.k], run) for name, run in runs.items()]
    return tuple(units)


WEIGHTS, WEIGHTS_GLYPHS = on_both_pools(
    "figure3-weights", "weights that the paper did not try", BUDGETS, _units, record, keep_diverged=True
)
