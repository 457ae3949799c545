"""Controls of Figure 3: the same data per outer step, the same effective step, less noise, momentum.

data        a larger k also sees more images per outer step. Here every outer step sees 100 of them: four
            tasks with one minibatch of 25, two tasks with two, or one with four. As in Figure 3, sums go
            further than averages; "far" is g1 with the step of the sum of four. What still differs is over
            how many tasks a step averages.
pool        in Figure 3 a task has 5k images per class, so that the only minibatch at k = 1 holds exactly
            five of each class, and those at k > 1 hold five on average. Here every task has 20 images per
            class whatever k, and the minibatches of k = 1 and 2 are the first ones of k = 4, image by image.
step        g1 + g2 moves about twice as far as g2 at the same ε. Here ε of g2 is doubled.
noise       along the dial of `weights` the noise of a step grows with Σ c_i², to 5 at λ = −1 and 2.
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
from dataclasses import dataclass, replace
from functools import partial

from companion.budgets import BUDGETS, Budget
from companion.fewshot.settings import on_both_pools
from companion.inner_gradients.figure3 import LARGEST_K
from companion.inner_gradients.settings import EPSILON, config, disjoint_family, unit
from companion.inner_gradients.weights import DIAL
from companion.running.experiment import Unit
from metalib.data.classes import ClassPool
from metalib.meta_gradients import fomaml_weights, reptile_weights
from metalib.tasks.fewshot import FewShot
from metalib.training import TrainingConfig

MINIBATCHES = 4
STEPS = (0.125, 0.25, 0.5)
NOISE = 5
"""Σ c_i² at both ends of the dial."""
ADAM_ALPHA = 0.001
BETAS = (0.0, 0.9)


@dataclass(frozen=True)
class Control:
    """One run of a control.

    Attributes:
        control: "data", "alone", "pool", "step", "noise" or "momentum".
        detail: what its name says between control and kind, such as the number of minibatches.
        kind: "first", "sum", "average", "last", "far" or "dial".
        run: its configuration.
    """

    control: str
    detail: str
    kind: str
    run: TrainingConfig

    @property
    def facts(self) -> dict[str, str | float]:
        """What tells the run apart."""
        name = f"{self.control}-{self.detail}-{self.kind}"
        if self.kind == "dial":
            name = f"{self.control}-{self.kind}{self.detail}"
        known: dict[str, str | float] = {
            "curve": name,
            "control": self.control,
            "kind": self.kind,
            "k": self.run.k,
            "epsilon": self.run.epsilon,
            "beta1": self.run.beta1,
        }
        if self.kind == "dial":
            known["lambda"] = self.run.weights[-1]
        return known


def runs(iterations: int, seed: int) -> list[Control]:
    """Return the runs of one seed.

    Args:
        iterations: outer iterations.
        seed: of the runs.
    """
    new = partial(config, iterations=iterations, seed=seed)
    chosen = [
        Control("data", "1", "first", new((1.0,), tasks=MINIBATCHES)),
        Control("data", "1", "far", new((1.0,), tasks=MINIBATCHES, epsilon=MINIBATCHES * EPSILON)),
        Control("alone", "1", "first", new((1.0,))),
        Control("pool", "1", "first", new((1.0,))),
        Control("pool", "2", "sum", new(reptile_weights(2))),
        Control("pool", "2", "last", new(fomaml_weights(2))),
    ]
    for k in (2, 4):
        tasks = MINIBATCHES // k
        chosen += [
            Control("data", str(k), "sum", new(reptile_weights(k), tasks=tasks)),
            Control("data", str(k), "average", new((1.0 / k,) * k, tasks=tasks)),
            Control("data", str(k), "last", new(fomaml_weights(k), tasks=tasks)),
        ]
    for epsilon in STEPS:
        chosen += [
            Control("step", f"{epsilon:g}", "sum", new(reptile_weights(2), epsilon=epsilon)),
            Control("step", f"{epsilon:g}", "last", new(fomaml_weights(2), epsilon=2 * epsilon)),
        ]
    for value in DIAL:
        run = new((1.0 - value, value), epsilon=EPSILON / NOISE)
        chosen.append(Control("noise", f"{value:g}", "dial", run))
    for beta1 in BETAS:
        for kind, weights in (("sum", reptile_weights(4)), ("last", fomaml_weights(4))):
            run = replace(new(weights), inner="adam", alpha=ADAM_ALPHA, beta1=beta1)
            chosen.append(Control("momentum", f"{beta1:g}", kind, run))
    return chosen


def _units(
    pool: Callable[[], ClassPool], budget: Budget, seeds: tuple[int, ...]
) -> tuple[Unit[FewShot], ...]:
    classes = pool()
    families = {k: disjoint_family(classes, k) for k in (1, 2, 4)}
    return tuple(
        unit(
            one.facts,
            families[LARGEST_K if one.control == "pool" else one.run.k],
            one.run,
            budget.evaluation_tasks,
        )
        for seed in seeds
        for one in runs(budget.iterations, seed)
    )


CONTROLS, CONTROLS_GLYPHS = on_both_pools(
    "figure3-controls",
    "controls of Figure 3: data, pool, step size, noise, momentum",
    BUDGETS["figure3-controls"],
    _units,
    on_divergence="record",
)
