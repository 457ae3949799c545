"""Five-way Reptile at the paper's own length: what was said of it before it was scored, and what came of it.

Known when this was written: Table 2 at a tenth of the length, three seeds. There the four cells end 1.4 to
8.3 points below the paper, and transduction gains 4.5 points with one shot and 1.4 with five.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from companion.fewshot import table2
from companion.intervals import difference, intervals_of, listed, over_tasks
from companion.verdicts import each

CELLS = {f"{shots}-shot {mode}": (shots, mode) for shots in (1, 5) for mode in ("transductive", "inductive")}
GAINS = ("1-shot difference", "5-shot difference")


def test_accuracy(accuracy: pd.DataFrame) -> pd.DataFrame:
    """Return what these networks reach on unseen test tasks, of which even one network has an interval.

    Args:
        accuracy: the table of that name of `table2.FIVE_WAYS`.

    Returns:
        One row per `ways`, `shots` and `mode`, "difference" among them (transductive minus inductive, paired
        by task): the `mean` over all tasks of all seeds in percent, `low` and `high` of its 95 % interval
        over the tasks, and the `paper`'s accuracy. The interval says nothing about other seeds.
    """
    found = over_tasks(accuracy[accuracy.classes == "test"], ["ways", "shots", "mode"])
    cells = found[["ways", "shots", "mode"]].itertuples(index=False, name=None)
    return found.assign(paper=[table2.PAPER.get(cell, (np.nan, np.nan))[0] for cell in cells])


def expected(accuracy: pd.DataFrame, shorter: pd.DataFrame) -> pd.DataFrame:
    """Return what was said of the long run, what was measured, and the verdicts.

    The verdicts are about the networks that were trained: the intervals of the long run are over tasks, not
    over seeds.

    Args:
        accuracy: the table of that name of `table2.FIVE_WAYS`.
        shorter: that of `table2.TABLE_2`, after shorter training.
    """
    reached = _cells(test_accuracy(accuracy))
    known = [table2.compare(shorter), table2.transduction(shorter).assign(mode="difference")]
    before = _cells(pd.concat(known).query("ways == 5"))
    paper = {name: table2.PAPER[(5, shots, mode)] for name, (shots, mode) in CELLS.items()}
    gaps = {name: difference(reached[name], paper[name]) for name in CELLS}
    rises = {name: difference(reached[name], before[name]) for name in CELLS}
    helps = {name: difference(reached[name], before[name]) for name in GAINS}
    rows = [
        (
            f"all four cells end within {table2.REPRODUCED:g} point of the paper",
            listed(gaps),
            each(gaps.values(), above=-table2.REPRODUCED, below=table2.REPRODUCED),
        ),
        ("all four cells end above the shorter runs", listed(rises), each(rises.values(), above=0.0)),
        (
            "transduction gains less than in the shorter runs, with one shot and with five",
            listed(helps),
            each(helps.values(), below=0.0),
        ),
    ]
    return pd.DataFrame(rows, columns=["statement", "measured (points)", "verdict"])


def _cells(summary: pd.DataFrame) -> dict[str, tuple[float, float]]:
    """Every row's mean and half its interval, by name of the cell."""
    names = [f"{row['shots']}-shot {row['mode']}" for _, row in summary.iterrows()]
    return {
        name: (one.mean, (one.high - one.low) / 2)
        for name, one in zip(names, intervals_of(summary), strict=True)
    }
