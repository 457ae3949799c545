"""Controls of Figure 3: the same data per outer step, the same effective step, less noise, momentum.

data        a larger k also sees more images per outer step. Here every outer step sees 100 of them: four
            tasks with one minibatch of 25, two tasks with two, or one with four. As in Figure 3, sums go
            further than averages; "far" is g1 with the step of the sum of four. What still differs is over
            how many tasks a step averages.
pool        in Figure 3 a task has 5k images per class, so that the only minibatch at k = 1 holds exactly
            five of each class, and those at k > 1 hold five on average. Here every task has 20 images per
            class whatever k, and the minibatches of k = 1 and 2 are the first ones of k = 4, image by image.
step        g1 + g2 moves about twice as far as g2 at the same ε. Here ε of g2 is doubled.
noise       along the dial of `figure3_weights` the noise of a step grows with Σ c_i², to 5 at λ = −1 and 2.
            Here ε is a fifth, so that at these ends the noise gathered per distance is that of λ = 0 and 1
            at the full ε. Said before running it: if noise is why λ = 2 fails there, it now beats λ = 0.
            The other reason it could have is exact on a quadratic of curvature h, where the update is
            (1 − λαh) g_1: uphill as soon as λαh > 1. MAML's, (1 − αh)² g_1, never is. Then λ = 2 runs away
            here as well, only later.
momentum    Adam in the inner loop, with and without a running mean of gradients; β1 > 0 mixes earlier
            gradients into later steps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from metalib.config import TrainingConfig
from metalib.experiments import Budget, Unit
from metalib.experiments.combinations import EPSILON, config, disjoint_family, record, unit
from metalib.experiments.fewshot import on_both_pools
from metalib.experiments.figure3 import LARGEST_K
from metalib.experiments.figure3_weights import BUDGETS, DIAL
from metalib.meta_gradients import fomaml_weights, reptile_weights
from metalib.tasks.classes import ClassPool

MINIBATCHES = 4
STEPS = (0.125, 0.25, 0.5)
NOISE = 5
"""Σ c_i² at both ends of the dial."""
ADAM_ALPHA = 0.001
BETAS = (0.0, 0.9)


def runs(iterations: int, seed: int) -> dict[str, TrainingConfig]:
    """Return the runs of one seed by name."""
    new = partial(config, iterations=iterations, seed=seed)
    chosen = {
        "data-1-first": new((1.0,), tasks=MINIBATCHES),
        "data-1-far": new((1.0,), tasks=MINIBATCHES, epsilon=MINIBATCHES * EPSILON),
        "alone-1-first": new((1.0,)),
        "pool-1-first": new((1.0,)),
        "pool-2-sum": new(reptile_weights(2)),
        "pool-2-last": new(fomaml_weights(2)),
    }
    for k in (2, 4):
        average = tuple(1.0 / k for _ in range(k))
        chosen[f"data-{k}-sum"] = new(reptile_weights(k), tasks=MINIBATCHES // k)
        chosen[f"data-{k}-average"] = new(average, tasks=MINIBATCHES // k)
        chosen[f"data-{k}-last"] = new(fomaml_weights(k), tasks=MINIBATCHES // k)
    for epsilon in STEPS:
        chosen[f"step-{epsilon:g}-sum"] = new(reptile_weights(2), epsilon=epsilon)
        chosen[f"step-{epsilon:g}-last"] = new(fomaml_weights(2), epsilon=2 * epsilon)
    for value in DIAL:
        chosen[f"noise-dial{value:g}"] = new((1.0 - value, value), epsilon=EPSILON / NOISE)
    for beta1 in BETAS:
        for name, weights in (("sum", reptile_weights(4)), ("last", fomaml_weights(4))):
            run = replace(new(weights), inner="adam", alpha=ADAM_ALPHA, beta1=beta1)
            chosen[f"momentum-{beta1:g}-{name}"] = run
    return chosen


def _units(pool: Callable[[], ClassPool], budget: Budget, seeds: tuple[int, ...]) -> tuple[Unit, ...]:
    classes = pool()
    families = {k: disjoint_family(classes, k) for k in (1, 2, 4)}
    return tuple(
        unit(name, families[LARGEST_K if name.startswith("pool-") else run.k], run)
        for seed in seeds
        for name, run in runs(budget.iterations, seed).items()
    )


CONTROLS, CONTROLS_GLYPHS = on_both_pools(
    "figure3-controls",
    "controls of Figure 3: data, pool, step size, noise, momentum",
    BUDGETS,
    _units,
    record,
    keep_diverged=True,
)
