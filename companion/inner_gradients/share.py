"""Is it the share of AvgGradInner that fails λ = 2, or the size of α? On sine waves, with tanh and ReLU.

A smaller α at the same weights (1 − λ, λ) makes the share λα smaller as well. Here the two are taken apart,
at k = 2 and with the outer step as long as it was, ε α fixed by weights that grow as α falls:

share   α falls and λ = `SHARE` / α rises: the share stays.
lambda  α falls and λ = 2 stays: the share falls along, as in the run on the page.
maml    MAML at the same α, whose share is 2α.

A minibatch holds 10 of a task's points, or all 50. With all, both steps see the same loss, and nothing is
noise.

Said before this was run. On a quadratic the update is (1 − λαh) g_1, which knows α only through the share. So

1. with 50 points, at a fixed share a smaller α cures nothing: whether the loss before adaptation ends above
   `BOUND` is the same at all three α, with tanh and with ReLU;
2. at λ = 2, the loss of the smallest α ends below `BOUND`, for both activations and batches;
3. MAML ends below `BOUND` at every α: its filter is a square;
4. with 10 points the runs of fixed share end higher at a smaller α, since the noise of a step grows with λ².

(Then a smoke run of 200 iterations and one seed was looked at: with ReLU five of the six runs of fixed share
had diverged, with tanh none. The four sentences stay as they were.)
"""

from __future__ import annotations

from companion.budgets import BUDGETS, Budget
from companion.running.experiment import Experiment, Unit
from companion.sine.scores import RecordAdaptation
from metalib.tasks.sine import GRID_POINTS, Sine, zero_function_error
from metalib.training import TrainingConfig

ALPHA = 0.02
SHARE = 2 * ALPHA
ALPHAS = (ALPHA, ALPHA / 4, ALPHA / 16)
EPSILON = 0.05
"""At the largest α; small enough that ε grows to less than 1 for the smallest, for MAML."""
BOUND = 10 * zero_function_error()
KINDS = ("share", "lambda", "maml")


def weights(kind: str, alpha: float) -> tuple[float, ...]:
    """Return c_1, c_2 of a run, times `ALPHA` / α so that the outer step keeps its length.

    >>> [tuple(round(c, 9) for c in weights(kind, 0.005)) for kind in ("share", "lambda", "maml")]
    [(-28.0, 32.0), (-4.0, 8.0), ()]
    """
    if kind == "maml":
        return ()
    value = SHARE / alpha if kind == "share" else SHARE / ALPHA
    return ((1.0 - value) * ALPHA / alpha, value * ALPHA / alpha)


def run(kind: str, alpha: float, iterations: int, seed: int) -> TrainingConfig:
    """Return a run; MAML, which has no weights to scale, takes its longer step by ε."""
    return TrainingConfig(
        algorithm="maml" if kind == "maml" else "combination",
        weights=weights(kind, alpha),
        k=2,
        alpha=alpha,
        epsilon=EPSILON * ALPHA / alpha if kind == "maml" else EPSILON,
        iterations=iterations,
        seed=seed,
    )


def _units(budget: Budget, seeds: tuple[int, ...]) -> tuple[Unit[Sine], ...]:
    return tuple(
        Unit(
            f"{activation}-{batch}-{kind}-alpha-{alpha:g}",
            Sine(activation=activation, batch=batch),
            tuple(run(kind, alpha, budget.iterations, seed) for seed in seeds),
            RecordAdaptation(budget.evaluation_tasks),
            facts={"activation": activation, "batch": batch, "kind": kind, "alpha": alpha},
        )
        for activation in ("tanh", "relu")
        for batch in (10, GRID_POINTS)
        for kind in KINDS
        for alpha in ALPHAS
        if not (kind == "lambda" and alpha == ALPHA)  # the same as "share"
    )


SHARE_OR_SIZE = Experiment(
    "sine-share",
    "the share of AvgGradInner against the size of α, on sine waves",
    BUDGETS["sine-share"],
    _units,
    on_divergence="record",
)
