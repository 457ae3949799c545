"""What was said of curvature before it was measured (`spectra`), and what came of it."""

from __future__ import annotations

import numpy as np
import pandas as pd

from companion.inner_gradients import spectra
from companion.inner_gradients.filters import filters
from companion.inner_gradients.settings import BATCH
from companion.inner_gradients.weights import CURVES, MAML
from companion.intervals import Interval, interval
from companion.results import Result
from companion.verdicts import decide, each, every

FAILING = ("dial2", "difference", "4-like-maml")
LEARNING = ("dial0.5", "dial1", "4-last", MAML)
CHANCE = float(np.log(5))
"""Nats per image that a network loses which guesses among five classes: the plateau of training."""


def at_look(result: Result, curve: str, iteration: int, measure: str) -> np.ndarray:
    """Return a measure of every seed, in their order; at iteration 0 all curves share random weights."""
    table = result.tables["history" if iteration else "start"]
    rows = table[table.iteration == iteration]
    return (
        rows[rows.curve == (curve if iteration else spectra.FOLLOWED[0])]
        .sort_values("seed")[measure]
        .to_numpy()
    )


def filtered(result: Result, curve: str, iteration: int) -> Interval:
    """Return the filter of a curve at αh_1, over its share of AvgGrad: where it is negative, it climbs."""
    return interval(filters()[curve](at_look(result, curve, iteration, "alpha_h_1")))


def foretold(result: Result) -> pd.DataFrame:
    """Return what was said before the run, what was measured, and the verdict on it: a row per sentence.

    Args:
        result: that of `spectra.SPECTRA`.
    """
    looks = sorted(set(result.tables["history"].iteration))
    top, slope = (at_look(result, MAML, 0, name) for name in ("alpha_h_1", "slope_1"))
    off = interval(slope - (1.0 - top))
    level = at_look(result, MAML, 100, "alpha_h_1")
    ahead = {c: at_look(result, c, 100, "alpha_h_1") - level for c in FAILING}
    uphill = {(c, i): filtered(result, c, i) for c in FAILING for i in (0, *looks)}
    downhill = {c: filtered(result, c, looks[-1]) for c in LEARNING}
    rows = [
        (
            "αh₁ at random weights between ½ and 2",
            f"{interval(top):.1f}",
            decide(interval(top), above=0.5, below=2),
        ),
        (
            f"the slope of g₂ on g₁ along v₁ within {spectra.MARGIN:g} of 1 − αh₁",
            f"{interval(slope):.2f}, off by {off:.1f}",
            decide(off, above=-spectra.MARGIN, below=spectra.MARGIN),
        ),
        (
            "αh₁ of each failing run above MAML's after 100 iterations",
            "; ".join(f"{c} {interval(d):.1f}" for c, d in ahead.items()),
            each((interval(d) for d in ahead.values()), above=0),
        ),
        (
            "filter negative at αh₁ in failing runs at every look, not negative in learning runs at the last",
            f"negative at {sum(f.high < 0 for f in uphill.values())} of {len(uphill)} looks; not negative in "
            f"{sum(f.low >= 0 for f in downhill.values())} of {len(downhill)} runs",
            every(each(uphill.values(), below=0), each(downhill.values(), above=0)),
        ),
    ]
    return pd.DataFrame(rows, columns=["said before", "measured", "it"])


def left_the_plateau(result: Result) -> pd.DataFrame:
    """Return where the loss of every run is at its last look, and whether that is below chance.

    Args:
        result: that of `spectra.SPECTRA`.

    Returns:
        One row per run: its `update`, the loss on the last minibatch of an inner loop, before the step on
        it, in nats per image (mean and 95 % interval over seeds), and the verdict.
    """
    last = int(result.tables["history"].iteration.max())
    labels = {curve.name: curve.label for curve in CURVES} | {MAML: "MAML"}
    losses = {
        label: interval(at_look(result, name, last, "loss_after") / BATCH)
        for name, label in labels.items()
        if name in (*spectra.FOLLOWED, MAML)
    }
    return pd.DataFrame(
        {
            "update": list(losses),
            "loss (nats per image)": [f"{loss:.2f}" for loss in losses.values()],
            f"below {CHANCE:.2f}": [decide(loss, below=CHANCE) for loss in losses.values()],
        }
    )
