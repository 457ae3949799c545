"""What was said of tails seen in part before they were trained on (`tails`), and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import pandas as pd

from companion.inner_gradients.summaries import contrast, final_accuracies
from companion.intervals import Interval, counted, over_seeds, plus_minus
from companion.overlap.tails import MARGIN, SHARES
from companion.results import Result
from companion.verdicts import decide, each

NEW, SEEN = "own-0", "own-1"
"""The curves whose last minibatch holds new images alone, and none."""
LENGTHS = {"own": "its own length", "rescaled": "the length of a gradient on new images"}


def budget(result: Result) -> str:
    """Return how long the runs are."""
    config = result.provenance["config"]
    return f"{config['budget']['iterations']:,} iterations, {counted(config['seeds'])}"


def points(result: Result, weights: Mapping[str, float]) -> Interval:
    """Return a weighted sum of the final accuracies of curves, paired by seed."""
    return contrast(result.tables["accuracy"], weights)


def lost(result: Result) -> Interval:
    """Return by how much a tail seen before ends below a new one."""
    return points(result, {NEW: 1, SEEN: -1})


def won_back(result: Result) -> Interval:
    """Return what the length of a new gradient adds where all images were seen."""
    return points(result, {"rescaled-1": 1, SEEN: -1})


def made_good(result: Result) -> Interval:
    """Return what the length of a new gradient adds where all images were seen, over half of what is lost."""
    return points(result, {"rescaled-1": 1, SEEN: -0.5, NEW: -0.5})


def curves(result: Result) -> pd.DataFrame:
    """Return final accuracy against the share of images seen before.

    Returns:
        Per `length` ("own" or "rescaled") and `seen`: `mean`, `low`, `high`. A gradient on new images alone
        has the length that the others are rescaled to, so it stands in both.
    """
    accuracy = result.tables["accuracy"]
    chosen = accuracy[accuracy["mode"] == "inductive"]
    shared = chosen[chosen.curve == NEW].assign(length="rescaled")
    return over_seeds(pd.concat([chosen, shared]), ["length", "seen"], "accuracy").sort_values(
        ["length", "seen"], ignore_index=True
    )


def as_table(result: Result) -> pd.DataFrame:
    """Return accuracies and what rescaling adds, as texts: a row per share of images seen before."""
    final = final_accuracies(result.tables["accuracy"])
    text = dict(zip(final.curve, plus_minus(final), strict=True))
    rows = [
        (
            f"{share:.0%}",
            text[f"own-{share:g}"],
            text.get(f"rescaled-{share:g}", ""),
            f"{points(result, {f'rescaled-{share:g}': 1, f'own-{share:g}': -1}):.1f}" if share else "",
        )
        for share in SHARES
    ]
    return pd.DataFrame(rows, columns=["seen before", *LENGTHS.values(), "difference"])


def foretold(result: Result) -> pd.DataFrame:
    """Return what was said before the run, what was measured, and the verdict on it: a row per sentence.

    Args:
        result: that of `tails.TAILS`.
    """
    steps = [points(result, {f"own-{a:g}": 1, f"own-{b:g}": -1}) for a, b in pairwise(SHARES)]
    quarter = points(result, {"own-0.25": 1, NEW: -1})
    rows = [
        (
            "the larger the share, the lower",
            "from one share to the next lower by " + ", ".join(f"{step:.1f}" for step in steps),
            each(steps, above=0),
        ),
        (
            f"all seen ends more than {MARGIN:g} points below all new",
            f"{lost(result):.1f} below",
            decide(lost(result), above=MARGIN),
        ),
        (
            "with all seen, rescaling makes good less than half of what is lost",
            f"{made_good(result):.1f} points more than half",
            decide(made_good(result), below=0),
        ),
        (
            f"a quarter seen is within {MARGIN:g} points of none",
            f"{quarter:.1f}",
            decide(quarter, above=-MARGIN, below=MARGIN),
        ),
    ]
    return pd.DataFrame(rows, columns=["said before", "measured", "it"])
