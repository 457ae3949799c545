"""Stored sweeps of section 6.3, put together."""

from __future__ import annotations

import pandas as pd

from companion.intervals import over_seeds, plus_minus
from companion.overlap.settings import METHODS


def summary(accuracy: pd.DataFrame, mode: str = "inductive") -> pd.DataFrame:
    """Return mean and interval over the seeds for every point of a sweep.

    Args:
        accuracy: the table of that name.
        mode: the mode of evaluation.

    Returns:
        Per `method` and `value` of what is swept: `mean`, `low`, `high`, and how many runs `diverged`.
    """
    chosen = accuracy[accuracy["mode"] == mode]
    return over_seeds(chosen, ["method", "value"], "accuracy")


def as_table(points: pd.DataFrame, swept: str) -> pd.DataFrame:
    """Return a sweep as texts, one method per row; `swept` names its columns."""
    titles = {method.name: method.label for method in METHODS}
    cells = points.assign(text=plus_minus(points), method=points.method.map(titles))
    wide = cells.pivot(index="method", columns="value", values="text")
    shown = [titles[method.name] for method in METHODS if titles[method.name] in wide.index]
    wide.columns = pd.Index([f"{swept} = {value:g}" for value in wide.columns])
    return wide.loc[shown].fillna("").reset_index(names="accuracy (%)")
