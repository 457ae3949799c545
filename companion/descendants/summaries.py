"""What the stored runs say about which layers move, with the verdicts of the margins fixed before them."""

from __future__ import annotations

import pandas as pd

from companion.descendants.moving_layers import MARGIN, REUSED
from companion.intervals import over_seeds

FROZEN = {"body": "head", "head": "body"}
"""What moves while a part is frozen."""


def costs(accuracy: pd.DataFrame) -> pd.DataFrame:
    """Return what freezing each part costs, in points of accuracy: all layers moving minus the rest moving.

    Args:
        accuracy: the table of that name of `moving_layers.MOVING_LAYERS`.

    Returns:
        Per `method` and `frozen` part: `mean`, `low`, `high` over seeds, paired by seed, and the `verdict`.
    """
    keys = ["method", "seed"]
    moved = accuracy.pivot_table(index=keys, columns="moved", values="accuracy", sort=False)
    parts = [
        (moved["all"] - moved[moving]).rename("cost").reset_index().assign(frozen=part)
        for part, moving in FROZEN.items()
    ]
    summary = over_seeds(pd.concat(parts), ["method", "frozen"], "cost")
    return summary.assign(verdict=[_cost(row.low, row.high) for _, row in summary.iterrows()])


def _cost(low: float, high: float) -> str:
    if low > -MARGIN and high < MARGIN:
        return "no cost"
    return "a cost" if low > MARGIN else "a gain" if high < -MARGIN else "not decided"


def similarity(layers: pd.DataFrame, measure: str = "cka") -> pd.DataFrame:
    """Return how alike the features of every layer are, mean and interval over seeds, and the verdict.

    Args:
        layers: the table of that name of `moving_layers.MOVING_LAYERS`.
        measure: "cka", before and after adapting; or "cka_untrained", before adapting and before training.
    """
    summary = over_seeds(layers, ["method", "layer"], measure)
    return summary.assign(verdict=[_reuse(row.low, row.high) for _, row in summary.iterrows()])


def _reuse(low: float, high: float) -> str:
    if low > REUSED:
        return "reused"
    return "changed" if high < REUSED else "not decided"
