"""What was said of share and size of α before it was measured (`share`), and what came of it."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from companion.inner_gradients.share import ALPHAS, BOUND
from companion.intervals import Interval, interval, or_diverged
from companion.results import Result
from companion.verdicts import FAILS, HOLDS, OPEN, each, every
from metalib.tasks.sine import GRID_POINTS

ACTIVATIONS = ("tanh", "relu")
FEW = 10
TITLES = {"share": "share λα fixed", "lambda": "λ = 2 fixed", "maml": "MAML"}


def before_adaptation(result: Result) -> pd.DataFrame:
    """Return the error of every trained run before its first step on a task."""
    table = result.tables["adaptation"]
    return table[(table.step == 0) & (table.points == "whole") & (table.algorithm != "random")]


def learned(result: Result) -> pd.Series:
    """Return of how many `seeds`, out of all, the error before adaptation ends below `BOUND`.

    Args:
        result: that of `share.SHARE_OR_SIZE`. A run whose loss is not finite any more is above.

    Returns:
        The share of the seeds, by `activation`, `batch`, `kind` and `alpha`. The runs of λ = 2 at the largest
        α are those of fixed share.
    """
    rows = before_adaptation(result)
    same = rows[(rows.kind == "share") & np.isclose(rows.alpha, ALPHAS[0])].assign(kind="lambda")
    rows = pd.concat([rows, same])
    below = rows.mse < BOUND
    return below.groupby([rows[name] for name in ("activation", "batch", "kind", "alpha")]).mean()


def alike(shares: Iterable[float]) -> str:
    """Return the verdict on the claim that all seeds of all cases end on the same side of the bound."""
    found = set(shares)
    return HOLDS if found in ({0.0}, {1.0}) else FAILS if {0.0, 1.0} <= found else OPEN


def all_learn(share: float) -> str:
    """Return the verdict on the claim that all seeds end below the bound."""
    return {1.0: HOLDS, 0.0: FAILS}.get(share, OPEN)


def rise(result: Result, activation: str) -> Interval:
    """Return how much higher the error before adaptation ends at the smallest α than at the largest.

    At fixed share, with 10 points; paired by seed, and not a number where runs have diverged.
    """
    rows = before_adaptation(result)
    chosen = rows[(rows.activation == activation) & (rows.batch == FEW) & (rows.kind == "share")]
    errors = chosen.pivot(index="seed", columns="alpha", values="mse")
    return interval((errors[ALPHAS[-1]] - errors[ALPHAS[0]]).to_numpy())


def endings(result: Result) -> pd.DataFrame:
    """Return how many seeds end below the bound, as texts: a row per kind and activation and batch."""
    found, seeds = learned(result), len(result.provenance["config"]["seeds"])
    rows = [
        (
            f"{title}, {activation}, {batch} points",
            *(f"{found[activation, batch, kind, alpha] * seeds:.0f} of {seeds}" for alpha in ALPHAS),
        )
        for kind, title in TITLES.items()
        for activation in ACTIVATIONS
        for batch in (FEW, GRID_POINTS)
    ]
    return pd.DataFrame(rows, columns=["seeds that stay", *(f"α = {alpha:g}" for alpha in ALPHAS)])


def foretold(result: Result) -> pd.DataFrame:
    """Return what was said before the run, what was measured, and the verdict on it: a row per sentence."""
    found, seeds = learned(result), len(result.provenance["config"]["seeds"])

    def counts(kind: str, alphas: Iterable[float], batch: int) -> str:
        parts = []
        for activation in ACTIVATIONS:
            numbers = [f"{found[activation, batch, kind, alpha] * seeds:.0f}" for alpha in alphas]
            parts.append(f"{activation} {', '.join(numbers)}")
        return f"{batch} points: {'; '.join(parts)}"

    whole, smallest = GRID_POINTS, ALPHAS[-1:]
    rises = [rise(result, activation) for activation in ACTIVATIONS]
    rows = [
        (
            "at a fixed share, with 50 points, a smaller α changes no outcome",
            counts("share", ALPHAS, whole),
            every(*(alike(found[a, whole, "share", alpha] for alpha in ALPHAS) for a in ACTIVATIONS)),
        ),
        (
            "at λ = 2 the smallest α cures",
            "; ".join(counts("lambda", smallest, batch) for batch in (FEW, whole)),
            every(
                *(all_learn(found[a, b, "lambda", smallest[0]]) for a in ACTIVATIONS for b in (FEW, whole))
            ),
        ),
        (
            "MAML stays at every α",
            "; ".join(counts("maml", ALPHAS, batch) for batch in (FEW, whole)),
            every(
                *(
                    all_learn(found[a, b, "maml", alpha])
                    for a in ACTIVATIONS
                    for b in (FEW, whole)
                    for alpha in ALPHAS
                )
            ),
        ),
        (
            "at a fixed share, with 10 points, a smaller α ends higher",
            "; ".join(f"{a} {or_diverged(one, '.2f')}" for a, one in zip(ACTIVATIONS, rises, strict=True)),
            each(rises, above=0),
        ),
    ]
    told = pd.DataFrame(rows, columns=["said before", f"seeds that stay, of {seeds}, or rise", "it"])
    return told if seeds > 1 else told.assign(it=OPEN)  # all of one seed is no evidence
