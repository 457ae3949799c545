"""What the search found, and which settings matter: stored runs, and what was said before them."""

from __future__ import annotations

from collections.abc import Iterable
from math import exp, isnan, log

import numpy as np
import pandas as pd

from companion.intervals import ONE_SEED, Interval, interval
from companion.results import Result
from companion.sine.one_at_a_time import CHANGES, UNCHANGED
from companion.sine.search import LONGER
from companion.sine.settings import DEMO, NAMES, Settings
from companion.verdicts import FAILS, HOLDS, decide, each, every, negated

MARGIN = (0.8, 1.25)
"""Ratios of errors that we call alike, as on the rest of the page."""
SYMBOLS = {"alpha": "α", "epsilon": "ε", "k": "k", "tasks": "n", "batch": "batch"}


def as_ratio(found: Interval) -> str:
    """Write the interval of a logarithm as a ratio.

    >>> as_ratio(Interval(0.0, -0.6931, 0.6931))
    '1.00 (0.50 to 2.00)'
    """
    ends = ONE_SEED if isnan(found.low) else f"{exp(found.low):.2f} to {exp(found.high):.2f}"
    return f"{exp(found.mean):.2f} ({ends})"


def leads(search: Result, longer: int = 1) -> pd.Series:
    """Return log(demo's error / error of what is found) of every search: the mean over its fresh seeds.

    It is not a number if one of the runs diverged: to drop that one would flatter.

    Args:
        search: that of `search.SEARCH`.
        longer: 1 for runs as long as the candidates, `LONGER` for those that are longer.
    """
    rows = search.tables["test"]
    wide = rows[rows.longer == longer].pivot(index=["search", "seed"], columns="settings", values="mse")
    ratios = (wide.demo / wide.found).transform("log")
    return ratios.groupby("search").agg(lambda runs: runs.mean(skipna=False))


def lead(search: Result, longer: int = 1) -> Interval:
    """Return the mean of `leads` and its interval over searches."""
    return interval(leads(search, longer).to_numpy())


def spelled(logarithms: pd.Series) -> list[str]:
    """Write ratios whose logarithms are given, such as 2.10; where there is none, a run diverged."""
    return ["diverged" if np.isnan(one) else f"{exp(one):.2f}" for one in logarithms]


def chosen(search: Result) -> pd.DataFrame:
    """Return the settings that each search found best on validation tasks, a row per search, as `NAMES`."""
    rows = search.tables["test"]
    rows = rows[(rows.settings == "found") & (rows.longer == 1)].groupby("search").first()
    return rows.rename(columns={"per_step": "tasks"})[list(NAMES)]


def settings_found(search: Result) -> pd.DataFrame:
    """Return the demo's settings and those that each search found, as a table, and how far these lead.

    The last two columns hold the demo's error over that of what is found, on test tasks.
    """
    best = chosen(search)
    rows = [("demo", DEMO)]
    rows += [
        (f"search {one}", Settings(**{name: best.loc[one, name] for name in NAMES})) for one in best.index
    ]
    table = pd.DataFrame(
        [
            {"settings": title, **{SYMBOLS[name]: f"{getattr(one, name):.2g}" for name in NAMES}}
            for title, one in rows
        ]
    )
    leading = {f"lead, {LONGER} × longer" if longer > 1 else "lead": longer for longer in (1, LONGER)}
    return table.assign(**{title: ["1", *spelled(leads(search, n))] for title, n in leading.items()})


def candidates(search: Result) -> pd.DataFrame:
    """Return all candidates of all searches, with their error over that of the demo's settings.

    Both are taken on the same validation tasks, after training from the same seed. The column `ratio` holds
    it, `best` the least one up to the end of a generation.
    """
    rows = search.tables["candidates"]
    demo = rows[rows.generation == 0].set_index("search").error
    tried = rows[rows.generation > 0].copy()
    tried["ratio"] = tried.error / tried.search.map(demo)
    least = tried.groupby(["search", "generation"]).ratio.min().groupby("search").cummin().rename("best")
    return tried.join(least, on=["search", "generation"])


def effects(one: Result) -> pd.DataFrame:
    """Return log(error after a change / error without it) per seed: a row per `changed` setting and `value`.

    Args:
        one: that of `one_at_a_time.ONE_AT_A_TIME`.
    """
    rows = one.tables["error"]
    wide = rows.pivot(index=["changed", "value"], columns="seed", values="mse")
    without = wide.xs(UNCHANGED, level="changed").iloc[0]
    ratios = wide.drop(index=UNCHANGED, level="changed") / without
    return ratios.transform("log")


def effect(one: Result, name: str, value: float) -> Interval:
    """Return the mean and interval over seeds of one of the `effects`."""
    return interval(_of(one, name, value).to_numpy())


def _of(one: Result, name: str, value: float) -> pd.Series:
    """Return one row of the `effects`, by seed."""
    return effects(one).T[name, value]


def matters_little(one: Result, name: str) -> str:
    """Return the verdict on the claim that a setting matters little: all its changes leave errors alike."""
    low, high = MARGIN
    return each((effect(one, name, value) for value in CHANGES[name]), above=log(low), below=log(high))


def little(one: Result) -> list[str]:
    """Return the settings that matter little."""
    return [name for name in CHANGES if matters_little(one, name) == HOLDS]


def in_short(one: Result, name: str) -> str:
    """Write by what the changes of a setting multiply the error, without intervals, as in "1.31 and 0.80"."""
    return " and ".join(f"{exp(effect(one, name, value).mean):.2f}" for value in CHANGES[name])


def factors(short: Result, long: Result) -> pd.DataFrame:
    """Return by what every change multiplies the error, as a table: a row per change, a column per budget."""
    titles = [f"{one.provenance['config']['budget']['iterations']:,} iterations" for one in (short, long)]
    return pd.DataFrame(
        [
            (
                SYMBOLS[name],
                f"{getattr(DEMO, name):g}",
                f"{value:g}",
                *(as_ratio(effect(one, name, value)) for one in (short, long)),
            )
            for name, values in CHANGES.items()
            for value in values
        ],
        columns=["setting", "demo", "changed to", *titles],
    )


def shrinks(short: Result, long: Result, name: str, value: float) -> Interval:
    """Return by how much less a change counts in long runs than in short ones, paired by seed.

    The logarithm of the factor, in the direction that it has in short runs.
    """
    before, after = (_of(one, name, value) for one in (short, long))
    return interval((np.sign(before.mean()) * (before - after)).to_numpy())


def _all_or(found: Iterable[bool]) -> str:
    return HOLDS if all(found) else FAILS


def foretold(search: Result, short: Result, long: Result) -> pd.DataFrame:
    """Return what was said before the runs, what was measured, and the verdict on it: a row per sentence."""
    best, high = chosen(search), MARGIN[1]
    after = interval((leads(search) - leads(search, LONGER)).to_numpy())
    lengths = best.epsilon * best.alpha
    said_to_matter = ("alpha", "epsilon", "tasks")
    of_epsilon = [shrinks(short, long, "epsilon", value) for value in CHANGES["epsilon"]]
    rows = [
        (
            "CMA-ES finds settings that err less than the demo's, by more than the margin",
            f"demo's error over that of what is found: {', '.join(spelled(leads(search)))}",
            decide(lead(search), above=log(high)),
        ),
        (
            f"with {LONGER} times as many iterations the lead is smaller",
            f"then it is {', '.join(spelled(leads(search, LONGER)))}",
            decide(after, above=0),
        ),
        (
            "every search ends at a larger ε α than the demo's",
            f"{lengths.min() / (DEMO.epsilon * DEMO.alpha):.1f} to "
            f"{lengths.max() / (DEMO.epsilon * DEMO.alpha):.1f} times as large",
            _all_or(lengths > DEMO.epsilon * DEMO.alpha),
        ),
        (
            "no search ends at k = 1",
            f"k = {', '.join(str(k) for k in best.k)}",
            _all_or(best.k > 1),
        ),
        (
            "after few iterations α, ε and n matter",
            "; ".join(f"{SYMBOLS[name]} {in_short(short, name)}" for name in said_to_matter),
            every(*(negated(matters_little(short, name)) for name in said_to_matter)),
        ),
        (
            "the size of the minibatch matters little, after few and many",
            "; ".join(in_short(one, "batch") for one in (short, long)),
            every(*(matters_little(one, "batch") for one in (short, long))),
        ),
        (
            "after many iterations ε counts for less than after few",
            "less by a factor of " + " and ".join(as_ratio(found) for found in of_epsilon),
            each(of_epsilon, above=0),
        ),
    ]
    return pd.DataFrame(rows, columns=["said before", "measured", "it"])
