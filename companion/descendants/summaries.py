"""What the stored runs say about which layers move, with the verdicts of the margins fixed before them."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from companion.descendants.moving_layers import MARGIN, REUSED
from companion.intervals import Interval, counted, over_seeds, plus_minus
from companion.results import Result

NAMES = {"reptile": "Reptile", "maml": "MAML"}
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


def accuracies(accuracy: pd.DataFrame) -> pd.DataFrame:
    """Return the accuracy by what moved, mean and interval over seeds.

    Args:
        accuracy: the table of that name of `moving_layers.MOVING_LAYERS`.
    """
    return over_seeds(accuracy, ["method", "moved"], "accuracy")


def report(accuracy: pd.DataFrame, layers: pd.DataFrame) -> list[pd.DataFrame]:
    """Return all that was measured as tables to be shown: accuracy, what freezing costs, CKA with verdicts.

    Args:
        accuracy: the table of that name of `moving_layers.MOVING_LAYERS`.
        layers: the table of that name.
    """
    right, cost = accuracies(accuracy), costs(accuracy)
    alike, control = similarity(layers), similarity(layers, "cka_untrained")
    wide = right.assign(text=plus_minus(right)).pivot(index="method", columns="moved", values="text")
    wide = wide.loc[list(right.method.unique()), list(right.moved.unique())]
    adapting = wide.rename(index=NAMES).rename_axis("accuracy (%) if these layers adapt").reset_index()
    freezing = {"frozen": cost.frozen, "points lost": plus_minus(cost), f"margin {MARGIN:g}": cost.verdict}
    texts = {
        "before and after adapting": [_text(row) for _, row in alike.iterrows()],
        f"reused above {REUSED:g}": alike.verdict,
        "trained and untrained": [_text(row) for _, row in control.iterrows()],
    }
    return [
        adapting,
        pd.DataFrame({"method": cost.method.map(NAMES), **freezing}),
        pd.DataFrame({"CKA": alike.method.map(NAMES), "layer": alike.layer, **texts}),
    ]


def _text(row: pd.Series) -> str:
    return f"{Interval(row['mean'], row.low, row.high):.2f}"


def quoted(accuracy: pd.DataFrame, layers: pd.DataFrame) -> dict[str, str]:
    """Return the numbers that the page's text quotes, by name.

    Args:
        accuracy: the table of that name of `moving_layers.MOVING_LAYERS`.
        layers: the table of that name.
    """
    cost, alike = costs(accuracy), similarity(layers)
    told = {
        f"{row.method}_{row.frozen}": text
        for (_, row), text in zip(cost.iterrows(), plus_minus(cost), strict=True)
    }
    fourth = alike[alike.layer == "conv 4"]
    return told | {f"{row.method}_conv4": _text(row) for _, row in fourth.iterrows()}


def tables(runs: Sequence[Result]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the tables `accuracy` and `layers` of several results, one below the other.

    Args:
        runs: results of `moving_layers.MOVING_LAYERS` and of its like for MAML.
    """
    return tuple(  # type: ignore[return-value]
        pd.concat([result.tables[name] for result in runs], ignore_index=True)
        for name in ("accuracy", "layers")
    )


def amount(runs: Sequence[Result]) -> str:
    """Return in a line what the stored runs are.

    Args:
        runs: as in `tables`.
    """
    configs = [(result.provenance["config"], result.tables["accuracy"].iloc[0]) for result in runs]
    trained = ", ".join(
        f"{NAMES[row.method]} {config['budget']['iterations']:,} outer iterations" for config, row in configs
    )
    seeds = " and ".join(dict.fromkeys(counted(config["seeds"]) for config, _ in configs))
    row = configs[0][1]
    return f"5-way {row.shots}-shot, {seeds}, {row.tasks} test tasks each; {trained}"
