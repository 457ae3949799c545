"""Table 2 from longer runs, one seed each: what was said before they were scored, and what came of it.

Known when this was written: Table 2 at 10,000 outer iterations with five ways and at 3,000 with twenty,
three seeds. There the 5-way cells end 1.4 to 8.3 points below the paper and the 20-way cells 13 to 28. With
five ways transduction gains 4.5 points with one shot, and 1.4 with five.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from companion.fewshot import table2
from companion.intervals import Interval, difference, intervals_of, listed, over_tasks, plus_minus
from companion.verdicts import each

COLUMNS = ["statement", "measured (points)", "verdict"]


def test_accuracy(accuracy: pd.DataFrame) -> pd.DataFrame:
    """Return what these networks reach on unseen test tasks, of which even one network has an interval.

    Args:
        accuracy: the table of that name of `table2.FIVE_WAYS` or `table2.TWENTY_WAYS`.

    Returns:
        One row per `ways`, `shots` and `mode`, "difference" among them (transductive minus inductive, paired
        by task): the `mean` over all tasks of all seeds in percent, `low` and `high` of its 95 % interval
        over the tasks, and the `paper`'s accuracy. The interval says nothing about other seeds.
    """
    found = over_tasks(accuracy[accuracy.classes == "test"], ["ways", "shots", "mode"])
    cells = found[["ways", "shots", "mode"]].itertuples(index=False, name=None)
    return found.assign(paper=[table2.PAPER.get(cell, (np.nan, np.nan))[0] for cell in cells])


def beside_shorter(accuracy: pd.DataFrame, shorter: pd.DataFrame) -> pd.DataFrame:
    """Return every cell of longer runs beside that of the shorter runs and of the paper, as text in percent.

    Args:
        accuracy: the table of that name of `table2.FIVE_WAYS`, of `table2.TWENTY_WAYS`, or both.
        shorter: that of `table2.TABLE_2`.
    """
    keys = ["ways", "shots", "mode"]
    reached, before = test_accuracy(accuracy), table2.compare(shorter)
    known = before.assign(shorter=plus_minus(before)).set_index(keys).shorter
    cells = reached.assign(longer=plus_minus(reached)).dropna(subset="paper").join(known, on=keys)
    return pd.DataFrame(
        {
            **{key: cells[key] for key in keys},
            "shorter runs (%)": cells.shorter,
            "longer run (%)": cells.longer,
            "paper (%)": [f"{published:.2f}" for published in cells.paper],
        }
    )


def expected_of_five_ways(accuracy: pd.DataFrame, shorter: pd.DataFrame) -> pd.DataFrame:
    """Return what was said of 5-way runs of the paper's length, what was measured, and the verdicts.

    The verdicts are about the networks that were trained: the intervals of the longer runs are over tasks,
    not over seeds.

    Args:
        accuracy: the table of that name of `table2.FIVE_WAYS`.
        shorter: that of `table2.TABLE_2`.
    """
    gaps, rises, helps = changes(accuracy, shorter)
    near = table2.REPRODUCED
    rows = [
        (
            f"all four cells end within {near:g} point of the paper",
            listed(gaps),
            each(gaps.values(), above=-near, below=near),
        ),
        ("all four cells end above the shorter runs", listed(rises), each(rises.values(), above=0.0)),
        (
            "transduction gains less than in the shorter runs, with one shot and with five",
            listed(helps),
            each(helps.values(), below=0.0),
        ),
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def expected_of_twenty_ways(accuracy: pd.DataFrame, shorter: pd.DataFrame) -> pd.DataFrame:
    """Return what was said of 20-way runs of 10,000 outer iterations, in the same form.

    Args:
        accuracy: the table of that name of `table2.TWENTY_WAYS`.
        shorter: that of `table2.TABLE_2`.
    """
    gaps, rises, _ = changes(accuracy, shorter)
    rows = [
        ("all four cells end above the shorter runs", listed(rises), each(rises.values(), above=0.0)),
        ("all four cells end below the paper", listed(gaps), each(gaps.values(), below=0.0)),
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


class Changes(NamedTuple):
    """Differences of the longer runs in points, by name of the cell.

    Attributes:
        beyond_paper: from the paper's accuracies.
        risen: from those of the shorter runs.
        helps: by how much transduction adds more than in the shorter runs.
    """

    beyond_paper: dict[str, Interval]
    risen: dict[str, Interval]
    helps: dict[str, Interval]


def changes(accuracy: pd.DataFrame, shorter: pd.DataFrame) -> Changes:
    """Return how far longer runs, all with as many ways, are from the paper and from the shorter runs."""
    reached = test_accuracy(accuracy)
    (ways,) = set(reached.ways)
    known = pd.concat([table2.compare(shorter), table2.transduction(shorter).assign(mode="difference")])
    after, before = _cells(reached), _cells(known[known.ways == ways])
    paper = {f"{shots}-shot {mode}": cell for (n, shots, mode), cell in table2.PAPER.items() if n == ways}
    risen = {name: difference(after[name], before[name]) for name in after}
    return Changes(
        {name: difference(after[name], cell) for name, cell in paper.items()},
        {name: rise for name, rise in risen.items() if name in paper},
        {name: rise for name, rise in risen.items() if name not in paper},
    )


def _cells(summary: pd.DataFrame) -> dict[str, tuple[float, float]]:
    """Every row's mean and half its interval, by name of the cell."""
    names = [f"{row['shots']}-shot {row['mode']}" for _, row in summary.iterrows()]
    return {
        name: (one.mean, (one.high - one.low) / 2)
        for name, one in zip(names, intervals_of(summary), strict=True)
    }
