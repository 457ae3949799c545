"""Wrong: a split of Omniglot that leaks. And how the leak, and the noise of a monitor, are measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from metalib.data.classes import Split
from metalib.rng import generator

if TYPE_CHECKING:
    from jaxtyping import Int

TURNS = 4


def split_after_rotating(characters: int, train: int, seed: int) -> Split:
    """Add the quarter turns first, then split: wrong, turns of one character fall on both sides.

    Args:
        characters: how many there are before turning.
        train: how many of them make the training set.
        seed: decides the split.
    """
    order = generator(seed, "split").permutation(TURNS * characters)
    return Split(order[: TURNS * train], order[TURNS * train :])


def leaked(split: Split, characters: int) -> float:
    """Return the share of test classes whose character is, upright or turned, in training."""
    known: Int[np.ndarray, " train"] = np.unique(split.train % characters)
    return float(np.isin(split.test % characters, known).mean())


def scatter(history: pd.DataFrame, value: str = "inductive", window: int = 10) -> tuple[float, float]:
    """Return how much a monitor's accuracy scatters late in training, in percentage points.

    Args:
        history: one row per curve, seed and measurement, in the order of iterations.
        value: the column to look at.
        window: measurements that are averaged.

    Returns:
        The standard deviation of single measurements, and of means over a window, in the last half of
        training: the median over runs.
    """
    late = history[history.iteration > history.iteration.max() / 2]
    runs = late.groupby(["curve", "seed"])[value]
    smooth = runs.apply(lambda run: run.rolling(window).mean()[window - 1 :: window].std())
    return float(runs.std().median()), float(smooth.median())
