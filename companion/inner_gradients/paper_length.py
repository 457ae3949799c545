"""Figure 3 at the paper's own length: what was said of it before any run was finished, and what came of it.

Known when this was written: the same runs at a quarter of the length. There all but `g1` end between 89 and
96 %, the sum of four gradients first; whether the last gradient gains from two minibatches to four is open.
"""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from companion.inner_gradients.claims import Evidence, gains_more
from companion.inner_gradients.figure3 import CURVES
from companion.inner_gradients.summaries import contrast, final_accuracies
from companion.inner_gradients.two_steps import MARGIN
from companion.intervals import (
    Interval,
    interval,
    listed,
    lowest,
    or_diverged,
    over_tasks,
    paired,
    plus_minus,
)
from companion.verdicts import decide, each

FIRST, LEADER = "1-first", "4-sum"
QUARTERS = 4


def over_test_tasks(accuracy: pd.DataFrame) -> pd.DataFrame:
    """Return what every curve reaches, of which even one network has an interval.

    Args:
        accuracy: the table of that name of Figure 3.

    Returns:
        One row per `curve`: the `mean` over all tasks of all seeds in percent, inductive, `low` and `high`
        of its 95 % interval over the tasks. The interval says nothing about other seeds.
    """
    return over_tasks(accuracy[accuracy["mode"] == "inductive"], ["curve"])


def beside_shorter(full: Evidence, shorter: Evidence) -> pd.DataFrame:
    """Return every curve of the long runs beside that of the shorter ones, as text in percent.

    Args:
        full: with Figure 3 at the paper's length; its intervals are over seeds, or of one seed over tasks.
        shorter: with Figure 3 at a quarter of it; its intervals are over seeds.

    Returns:
        One row per `curve`, in the order of the stored runs.
    """
    several = full.accuracy.seed.nunique() > 1
    reached = final_accuracies(full.accuracy) if several else over_test_tasks(full.accuracy)
    before = final_accuracies(shorter.accuracy)
    known = dict(zip(before.curve, plus_minus(before), strict=True))
    return pd.DataFrame(
        {
            "curve": reached.curve,
            f"{shorter.budget} (%)": [known[curve] for curve in reached.curve],
            f"{full.budget} (%)": plus_minus(reached),
        }
    )


def expected(full: Evidence, shorter: Evidence) -> pd.DataFrame:
    """Return what was said of the long runs, what was measured over the seeds, and the verdicts.

    Args:
        full: with Figure 3 at the paper's length.
        shorter: with Figure 3 at a quarter of it, on the same seeds.
    """
    others = [curve for curve in full.final.index if curve != FIRST]
    behind = {curve: contrast(full.accuracy, {LEADER: 1, curve: -1}) for curve in others if curve != LEADER}
    longer = {curve: gained(full, shorter, curve) for curve in full.final.index}
    up = {curve: longer[curve] for curve in others}
    two, last = contrast(full.accuracy, {"2-last": 1, "2-sum": -1}), full.gain("last")
    kinds = {kind: gains_more(full, kind) for kind in ("sum", "average")}
    rows = [
        ("the sum of four gradients leads all others", _closest(behind), each(behind.values(), above=0)),
        ("all but $g_1$ end above the shorter runs", _closest(up), each(up.values(), above=0)),
        ("$g_1$ ends below its shorter run", f"{longer[FIRST]:+.1f}", decide(longer[FIRST], below=0)),
        (f"$g_2$ leads $g_1 + g_2$ by more than {MARGIN:g}", f"{two:+.1f}", decide(two, above=MARGIN)),
        ("$g_4$ leads $g_2$", f"{last:+.1f}", decide(last, above=0)),
        (
            "from two minibatches to four, sum and average gain more than the last gradient",
            listed(kinds),
            each(kinds.values(), above=0),
        ),
    ]
    return pd.DataFrame(rows, columns=["statement", "measured (points)", "verdict"])


def lead_through_training(full: Evidence, leader: str, others: Mapping[str, str]) -> pd.DataFrame:
    """Return by how much a curve leads others in every quarter of the training, as text in points.

    Of every run the accuracies on unseen classes that were measured within a quarter are averaged, and are
    not a number once it diverged. Differences of these means are paired by seed; intervals are over seeds.

    Args:
        full: with Figure 3 at the paper's length.
        leader: a curve.
        others: what it is compared with: curves, and the titles of their columns.

    Returns:
        One row per quarter.
    """
    history = full.figure3.tables["history"].query("iteration > 0")
    length = history.iteration.max() // QUARTERS
    quarter = ((history.iteration - 1) // length).rename("quarter")
    grouped = history.groupby(["curve", quarter, "seed"]).inductive
    means = grouped.agg(lambda measured: measured.mean(skipna=False)).unstack("seed")
    leads = {title: (means.xs(leader) - means.xs(other)).to_numpy() for other, title in others.items()}
    rows = [
        {
            "outer iterations": f"{part * length + 1:,} to {(part + 1) * length:,}",
            **{title: or_diverged(interval(lead[part]), "+.1f") for title, lead in leads.items()},
        }
        for part in range(QUARTERS)
    ]
    return pd.DataFrame(rows)


def gained(full: Evidence, shorter: Evidence, curve: str) -> Interval:
    """Return what one curve gains by longer training, paired by seed."""
    return interval(paired(*(_by_seed(evidence.accuracy, curve) for evidence in (full, shorter))))


def _by_seed(accuracy: pd.DataFrame, curve: str) -> pd.Series:
    rows = accuracy[(accuracy.curve == curve) & (accuracy["mode"] == "inductive")]
    return rows.set_index("seed").accuracy


def _closest(found: dict[str, Interval]) -> str:
    least = lowest(found.values())
    (label,) = (curve.label for curve in CURVES if found.get(curve.name) is least)
    return f"least certain: {listed({label: least})}"
