"""Stored runs of sections 6.2 and 6.3, put together: curves, final accuracies and their differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from companion.budgets import FIGURE_3
from companion.inner_gradients.settings import BATCH
from companion.intervals import Interval, counted, interval, over_seeds, paired, plus_minus
from companion.results import Result

FACTS = ("curve", "kind", "k", "lambda")


def stated_budget(result: Result, watched: int = 0) -> str:
    """Return how long the runs of a stored result are, as a figure should say of itself.

    Args:
        result: the stored runs.
        watched: of how many tasks every accuracy is that the figure shows, if not of those that score a run
            at its end.
    """
    ran, full = result.provenance["config"], FIGURE_3["paper"].iterations
    iterations, unit = ran["budget"]["iterations"], ran["units"][0]
    text = f"{iterations:,} outer iterations (paper: {full:,}), {counted(ran['seeds'])}"
    if "scoring" not in unit["record"]:
        return f"{text}; {unit['record']['tasks']} tasks each"
    scored, alpha = unit["record"]["scoring"], unit["runs"][0]["alpha"]
    tasks = f"{watched} tasks a measurement" if watched else f"scored on {scored['tasks']:,} tasks each"
    return f"{text}; {tasks}, after {scored['steps']} steps of {scored['batch']} images with α = {alpha:g}"


def at_iteration(history: pd.DataFrame, curve: str, iteration: int) -> pd.Series:
    """Return what was measured of a curve at one iteration, without smoothing: means over the seeds.

    They are not finite if a run has diverged by then.
    """
    rows = history[(history.curve == curve) & (history.iteration == iteration)]
    return rows[["loss_before", "loss_after", "transductive", "inductive"]].mean(skipna=False)


def paired_table(
    accuracy: pd.DataFrame, asked: Mapping[str, tuple[str, str]], title: str = "difference in points"
) -> pd.DataFrame:
    """Return differences of accuracies, paired by seed, as texts under the questions that they answer.

    Args:
        accuracy: the table of that name.
        asked: the two curves of every question; the first minus the second.
        title: of the column of differences.
    """
    found = differences(accuracy, list(asked.values()))
    return pd.DataFrame({"question": list(asked), title: list(plus_minus(found))})


def facts_of(table: pd.DataFrame) -> list[str]:
    """Return which columns of a table tell its curves apart."""
    return [fact for fact in FACTS if fact in table.columns]


def learning_curves(history: pd.DataFrame, window: int = 10, value: str = "inductive") -> pd.DataFrame:
    """Smooth the learning curves, and average them over the seeds.

    Args:
        history: the table of that name, one row per curve, seed and iteration.
        window: measurements to average, the one at the iteration and those before it.
        value: the mode of evaluation.

    Returns:
        Per curve and iteration `mean`, `low` and `high` over the seeds. Where a window is not full, it is
        as long as it can be.
    """
    ordered = history.sort_values(["curve", "seed", "iteration"])
    smooth = ordered.groupby(["curve", "seed"])[value].transform(
        lambda accuracy: accuracy.rolling(window, min_periods=1).mean()
    )
    # The mean of a window skips what is not finite, and a run that has diverged would live on in it.
    smooth = smooth.where(np.isfinite(ordered[value]))
    return over_seeds(ordered.assign(smooth=smooth), [*facts_of(history), "iteration"], "smooth")


def late_losses(history: pd.DataFrame) -> pd.DataFrame:
    """Return the training losses at the end of training, in nats per image, for minibatches of 25.

    Args:
        history: the table of that name, one row per curve, seed and iteration.

    Returns:
        Per curve `loss_before`, L_1(φ_1), and `loss_after`, L_k(φ_k): medians over the seeds and the last
        fifth of training. Runs that have diverged count as infinitely large.
    """
    late = history[history.iteration > 0.8 * history.iteration.max()].set_index("curve")
    losses = late[["loss_before", "loss_after"]].fillna(np.inf)
    return losses.groupby(level="curve").median() / BATCH


def final_accuracies(accuracy: pd.DataFrame, mode: str = "inductive") -> pd.DataFrame:
    """Return the accuracy of every curve after training: mean and interval over the seeds."""
    return over_seeds(accuracy[accuracy["mode"] == mode], facts_of(accuracy), "accuracy")


def differences(
    accuracy: pd.DataFrame, pairs: Sequence[tuple[str, str]], mode: str = "inductive"
) -> pd.DataFrame:
    """Return by how much the first curve of each pair is more accurate than the second, paired by seed.

    Runs of one seed share initial weights, split and evaluation tasks, so that what they have in common
    drops out of the difference.

    Args:
        accuracy: the table of that name.
        pairs: names of curves.
        mode: the mode of evaluation.

    Returns:
        Per pair `first` and `second`, then `mean`, `low` and `high` of the difference over the seeds.
    """
    cells = accuracy[accuracy["mode"] == mode].set_index(["curve", "seed"]).accuracy
    parts = [
        pd.DataFrame({"difference": paired(cells[first], cells[second])}).assign(first=first, second=second)
        for first, second in pairs
    ]
    return over_seeds(pd.concat(parts), ["first", "second"], "difference")


def contrast(accuracy: pd.DataFrame, weights: Mapping[str, float], mode: str = "inductive") -> Interval:
    """Return mean and interval over the seeds (`interval`) of a weighted sum of accuracies, paired by seed.

    With weights 1, −1, −1 and 1 it is a difference of differences: how much more one curve gains than
    another.

    Args:
        accuracy: the table of that name.
        weights: what each curve is multiplied by; curves are named.
        mode: the mode of evaluation.
    """
    chosen = accuracy[accuracy["mode"] == mode]
    chosen = chosen[chosen.curve.isin(list(weights))]
    cells = chosen.pivot(index="seed", columns="curve", values="accuracy")
    # Seeds that only some curves were run with are left out; one that diverged was run, and is not a number.
    everywhere = chosen.groupby("seed").curve.nunique() == len(weights)
    cells = cells.loc[everywhere[everywhere].index]
    return interval(cells[list(weights)].to_numpy() @ np.array(list(weights.values())))
