"""Every method with 20 and with 50 inner steps: what was said before these runs, and what came of it.

Known when this was written: the same runs with k = 1 to 10, and shorter ones of MAML and Reptile with k = 20
(`sine-costs`), where MAML errs four times as much as Reptile.
"""

from __future__ import annotations

import pandas as pd

from companion.intervals import Interval, or_diverged
from companion.results import Result
from companion.sine.summaries import ahead, one
from companion.verdicts import decide, each

MARGIN = 0.1
"""Mean squared error that counts as no worse; the zero function has 4.25. Chosen before the runs."""
MANY = (20, 50)
STATEMENT = ["statement", "measured", "verdict"]


def expected(same_k: Result) -> pd.DataFrame:
    """Return what was said of many inner steps, what was measured, and the verdicts.

    Errors are those after ten gradient steps on unseen tasks; differences are paired by seed.

    Args:
        same_k: that of `sine.experiments.EQUAL_K`.
    """
    behind = {
        f"{label} at {k}": _less(same_k, ("reptile", k), (name, k))
        for name, label in (("maml", "MAML"), ("fomaml", "FOMAML"))
        for k in MANY
    }
    rises = {
        f"{label} from {few} to {many}": _less(same_k, (name, few), (name, many))
        for name, label in (("maml", "MAML"), ("fomaml", "FOMAML"))
        for few, many in ((10, 20), (20, 50))
    }
    reptile = _less(same_k, ("reptile", 10), ("reptile", 50))
    rows = [
        (
            "at k = 20 and 50 Reptile errs less than MAML and FOMAML",
            _told(behind),
            each(behind.values(), above=0),
        ),
        (
            "with k from 10 to 20 to 50, MAML and FOMAML err more",
            _told(rises),
            each(rises.values(), above=0),
        ),
        (
            f"from k = 10 to 50, Reptile's error rises by less than {MARGIN:g}",
            or_diverged(reptile, "+.2f"),
            decide(reptile, below=MARGIN),
        ),
    ]
    return pd.DataFrame(rows, columns=STATEMENT)


def _less(same_k: Result, better: tuple[str, int], worse: tuple[str, int]) -> Interval:
    """Return by how much the first of two methods, each with its k, errs less than the second."""
    rows = (one(same_k, 10, algorithm=name, steps=k) for name, k in (better, worse))
    return ahead(*rows)


def _told(found: dict[str, Interval]) -> str:
    return ", ".join(f"{name} {or_diverged(one, '+.2f')}" for name, one in found.items())
