"""Stored runs of section 4, put together: what the page draws, and what its claims rest on."""

from __future__ import annotations

import numpy as np
import pandas as pd

from companion.intervals import Interval, interval, or_diverged, over_seeds, widened
from companion.results import Result
from companion.sine.scores import median_of_zero_function

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
    """Return the error before adapting minus that of the zero function on the same tasks, as text.

    Returns:
        A row per `unit` and `algorithm` with the `excess`, as that function returns it.
    """
    whole = scored(figure_1, "whole")
    rows = [
        (*key, or_diverged(excess(group), "+.2f"))
        for key, group in whole[whole.step == 0].groupby(["unit", "algorithm"], sort=False)
    ]
    return pd.DataFrame(rows, columns=["unit", "algorithm", "excess"])


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


def excess(adaptation: pd.DataFrame) -> Interval:
    """Return the error minus that of the zero function on the same tasks, of one configuration.

    All seeds are scored on the same tasks, so their spread says nothing of how these were sampled; the
    standard error over tasks is added.

    Args:
        adaptation: a row per seed, as `one` chooses them.
    """
    return widened(interval(adaptation.excess.to_numpy()), float(adaptation.excess_standard_error.mean()))


def one(result: Result, step: int, **facts: object) -> pd.DataFrame:
    """Return the rows of one configuration after some gradient steps, one per seed, scored everywhere."""
    rows = scored(result, "whole")
    for fact, value in {"step": step, **facts}.items():
        rows = rows[rows[fact] == value]
    return rows.set_index("seed")


def ahead(better: pd.DataFrame, worse: pd.DataFrame) -> Interval:
    """Return by how much less one configuration errs than another, paired by seed.

    Args:
        better: its rows, as `one` chooses them.
        worse: those of the other.

    Returns:
        Mean and interval over the seeds, widened by the standard errors over tasks of both. Both err on the
        same tasks, and adding the two is the most that these can do.
    """
    error = better.mse_standard_error.mean() + worse.mse_standard_error.mean()
    return widened(interval((worse.mse - better.mse).to_numpy()), float(error))


def log_ratio(above: pd.DataFrame, below: pd.DataFrame) -> Interval:
    """Return the logarithm of the ratio of two errors, paired by seed; widened as in `ahead`."""
    error = sum((rows.mse_standard_error / rows.mse).mean() for rows in (above, below))
    return widened(interval(np.log((above.mse / below.mse).to_numpy())), float(error))


def below_zero_function(result: Result, unit: str, algorithm: str, step: int) -> Interval:
    """Return how far the median error lies below that of the zero function, where nothing was seen.

    The standard error of a median over tasks is not stored: this interval is over seeds alone.
    """
    rows = scored(result, "half")
    runs = rows[(rows.unit == unit) & (rows.algorithm == algorithm) & (rows.step == step)]
    return interval(zero_function_median(result) - runs["median"].to_numpy())


def zero_function_median(result: Result) -> float:
    """Return the median error of the zero function over the tasks of a result, where nothing was seen."""
    return median_of_zero_function(result.provenance["config"]["budget"]["evaluation_tasks"])


def zero_function_mean(rows: pd.DataFrame) -> float:
    """Return the mean error of the zero function on the tasks of some rows, from which `excess` is taken."""
    return float((rows.mse - rows.excess).mean())
