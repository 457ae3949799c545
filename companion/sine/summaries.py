"""Stored runs of section 4, put together: what the page draws, and what its claims rest on."""

from __future__ import annotations

import numpy as np
import pandas as pd

from companion.intervals import over_seeds
from companion.results import Result

BY_RUN = ["unit", "activation", "outer", "algorithm"]
CONSTANT, MATCHED = "ε = 0.1", "ε = 0.5 / k"
"""Two ways to choose ε for every k: the same, or the same step along AvgGrad."""


def scored(result: Result, points: str) -> pd.DataFrame:
    """Return the rows of one setting of evaluation.

    Args:
        result: one of the sine experiments.
        points: "whole", or "half" for the half of the interval where nothing was seen.
    """
    adaptation = result.tables["adaptation"]
    return adaptation[adaptation.points == points]


def by_step(figure_1: Result) -> pd.DataFrame:
    """Return the mean squared error per run and gradient step of Figure 1, over the seeds."""
    return over_seeds(scored(figure_1, "whole"), [*BY_RUN, "step"])


def beyond_by_step(figure_1: Result) -> pd.DataFrame:
    """Return the median squared error where nothing was seen, per run and gradient step, over the seeds."""
    return over_seeds(scored(figure_1, "half"), [*BY_RUN, "step"], "median")


def above_zero_function(figure_1: Result) -> pd.DataFrame:
    """Return the error before adapting minus that of the zero function on the same tasks, over the seeds."""
    whole = scored(figure_1, "whole")
    return over_seeds(whole[whole.step == 0], ["unit", "algorithm"], "excess")


def by_inner_steps(inner_steps: Result) -> pd.DataFrame:
    """Return the error after 10 gradient steps per `rule` for ε and number of inner `steps`."""
    whole = scored(inner_steps, "whole")
    chosen = whole[(whole.step == 10) & (whole.algorithm == "combination")]
    constant, matched = chosen.epsilon == 0.1, np.isclose(chosen.epsilon * chosen.steps, 0.5)
    both = [chosen[constant].assign(rule=CONSTANT), chosen[matched].assign(rule=MATCHED)]
    return over_seeds(pd.concat(both), ["rule", "steps"])


def by_schedule(meta_batch: Result) -> pd.DataFrame:
    """Return the error of Reptile after 1, 10, 32 steps per `schedule`, serial or batched, over the seeds."""
    whole = scored(meta_batch, "whole")
    chosen = whole[(whole.algorithm == "reptile") & whole.step.isin((1, 10, 32))]
    return over_seeds(chosen, ["schedule", "step"])
