"""Confidence intervals; always of 95 %."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Sized
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from metalib.errors import require

if TYPE_CHECKING:
    from jaxtyping import Float

LEVEL = 0.95
NORMAL = 1.96
"""Standard errors on either side of a mean of many independent values."""
ONE_SEED = "one seed"


class Interval(NamedTuple):
    """A mean with its 95 % confidence interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        """Write the mean and the half width, as in 0.105 ± 0.011."""
        return f"{self.mean:.3g}{self._half('.2g')}"

    def __format__(self, spec: str) -> str:
        """Write both numbers as asked for; with up to two more decimals where a half width would look like 0.

        Args:
            spec: nothing, ".2f" for two decimals, or "+.2f" for a sign before the mean as well.

        >>> f"{Interval(4.9, 4.5, 5.3):.1f}", f"{Interval(4.9, 4.5, 5.3):+.1f}"
        ('4.9 ± 0.4', '+4.9 ± 0.4')
        >>> f"{Interval(0.12, 0.118, 0.122):.2f}", f"{Interval(1.0, 1.0, 1.0):.2f}"
        ('0.120 ± 0.002', '1.00 ± 0.00')
        >>> f"{interval(np.array([4.9])):+.1f}"
        '+4.9 (one seed)'
        """
        if not spec:
            return str(self)
        half, (sign, digits) = (self.high - self.low) / 2, spec.removesuffix("f").split(".")
        asked, *finer = (f".{int(digits) + more}f" for more in range(3))
        shown = next((one for one in (asked, *finer) if float(f"{half:{one}}") != 0), asked)
        return f"{self.mean:{sign}{shown}}{self._half(shown)}"

    def _half(self, spec: str) -> str:
        half = (self.high - self.low) / 2
        return f" ({ONE_SEED})" if np.isfinite(self.mean) and np.isnan(half) else f" ± {half:{spec}}"


UNMEASURED = Interval(float("nan"), float("-inf"), float("inf"))
"""Of what no run has measured: anything is possible."""


def difference(one: tuple[float, float], other: tuple[float, float]) -> Interval:
    """Return the difference of two independent means that are given with half their intervals.

    >>> f"{difference((3.0, 0.3), (1.0, 0.4)):.1f}"
    '2.0 ± 0.5'
    """
    mean = one[0] - other[0]
    half = float(np.hypot(one[1], other[1]))
    return Interval(mean, mean - half, mean + half)


def widened(found: Interval, error: float) -> Interval:
    """Return an interval over seeds with the error added that all seeds share, 1.96 σ, in quadrature.

    Args:
        found: an interval over seeds that were scored on the same tasks.
        error: the standard error σ that comes from the sampling of these tasks.
    """
    below, above = (
        float(np.hypot(half, NORMAL * error)) for half in (found.mean - found.low, found.high - found.mean)
    )
    return Interval(found.mean, found.mean - below, found.mean + above)


def over_tasks_alone(means: pd.Series, errors: pd.Series) -> Interval:
    """Return the mean over n runs, with the interval that the sampling of tasks alone leaves, 1.96 √Σσ² / n.

    It says nothing about other seeds, and is there for one run too.

    Args:
        means: that of each run over its tasks.
        errors: the standard error σ of each, from as many independent tasks.

    >>> f"{over_tasks_alone(pd.Series([4.0, 6.0]), pd.Series([0.3, 0.4])):.2f}"
    '5.00 ± 0.49'
    """
    mean = float(means.mean(skipna=False))  # a run that diverged is not left out silently
    half = NORMAL * float(np.sqrt(errors.pow(2).sum(skipna=False))) / len(errors)
    return Interval(mean, mean - half, mean + half)


def over_tasks(table: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Return mean and interval over the tasks alone (`over_tasks_alone`), for every combination of `by`.

    Args:
        table: one row per run and combination, with its `accuracy` over tasks and the `standard_error`.
        by: the columns that name a combination; their order of appearance is kept.

    Returns:
        A table with the columns of `by`, then `mean`, `low`, `high`.
    """
    rows = [
        (*key, *over_tasks_alone(group.accuracy, group.standard_error))
        for key, group in table.groupby(list(by), sort=False)
    ]
    return pd.DataFrame(rows, columns=[*by, "mean", "low", "high"])


def interval(values: Float[np.ndarray, " n"]) -> Interval:
    """Return the mean of independent values with Student's interval, x̄ ± t_{n−1} s / √n.

    For three seeds, t is 4.30: three runs say little about their spread, and the interval says so. A single
    one says nothing: the ends are then not numbers, and such an interval decides nothing.

    Raises:
        InputError: if there are no values.

    >>> interval(np.array([1.0, 2.0, 3.0]))
    Interval(mean=2.0, low=-0.484..., high=4.484...)
    >>> interval(np.array([1.0]))
    Interval(mean=1.0, low=nan, high=nan)
    """
    from scipy import stats  # here, so that machines that only train need no SciPy

    require(len(values) >= 1, "there are no values to take the mean of")
    center = float(np.mean(values))
    if len(values) == 1:
        return Interval(center, np.nan, np.nan)
    error = float(np.std(values, ddof=1)) / len(values) ** 0.5
    half = float(stats.t.ppf(0.5 + LEVEL / 2, df=len(values) - 1)) * error
    return Interval(center, center - half, center + half)


def counted(seeds: Sized) -> str:
    """Write how many seeds there are.

    >>> counted([0, 1, 2]), counted([0])
    ('3 seeds', 'one seed')
    """
    return ONE_SEED if len(seeds) == 1 else f"{len(seeds)} seeds"


def paired(one: pd.Series, other: pd.Series) -> Float[np.ndarray, " seeds"]:
    """Return one minus the other, seed by seed, for the seeds that both were run with.

    A seed that one of them lacks is left out. A run that diverged was run: it stays, as not a number.

    >>> paired(pd.Series([3.0, 5.0, np.nan]), pd.Series([1.0, 1.0], index=[1, 2]))
    array([ 4., nan])
    """
    both = one.index.intersection(other.index)
    return (one.loc[both] - other.loc[both]).to_numpy()


def lowest(found: Iterable[Interval]) -> Interval:
    """Return the one whose lower end is lowest; of single seeds, which have none, the one of lowest mean.

    What has neither, as where a run diverged, comes before all others.
    """
    ends = ((one.mean if np.isnan(one.low) else one.low, one) for one in found)
    return min(ends, key=lambda end: -np.inf if np.isnan(end[0]) else end[0])[1]


def over_seeds(table: pd.DataFrame, by: Sequence[str], value: str = "mse") -> pd.DataFrame:
    """Return mean and interval over the seeds, for every combination of the columns `by`.

    Args:
        table: one row per seed and combination.
        by: the columns that name a combination; their order of appearance is kept.
        value: the column to average.

    Returns:
        A table with the columns of `by`, then `mean`, `low`, `high`, the number of `seeds` they come
        from, and the number that `diverged` and are left out. A single run has a mean and no interval; one
        that is left of several has neither.
    """
    rows = []
    for key, group in table.groupby(list(by), sort=False, dropna=False):
        finite = group[value].to_numpy()[np.isfinite(group[value])]
        several = len(finite) >= 2 or len(finite) == len(group)
        center = interval(finite) if several else (np.nan, np.nan, np.nan)
        rows.append((*key, *center, len(finite), len(group) - len(finite)))
    return pd.DataFrame(rows, columns=[*by, "mean", "low", "high", "seeds", "diverged"])


def intervals_of(summary: pd.DataFrame) -> list[Interval]:
    """Return the rows of a summary as intervals for verdicts: unmeasured where a run `diverged`."""
    return [
        UNMEASURED if row.get("diverged", 0) else Interval(row["mean"], row.low, row.high)
        for _, row in summary.iterrows()
    ]


def or_diverged(found: Interval, spec: str) -> str:
    """Write an interval as `spec` asks for; in words if a run that it needs has diverged.

    >>> or_diverged(Interval(4.9, 4.5, 5.3), "+.1f"), or_diverged(interval(np.array([4.9, np.nan])), "+.1f")
    ('+4.9 ± 0.4', 'diverged')
    """
    return format(found, spec) if np.isfinite(found.mean) else "diverged"


def listed(found: Mapping[str, Interval]) -> str:
    """Write named differences in one line, with their signs.

    >>> listed({"1-shot": Interval(4.9, 4.5, 5.3), "5-shot": Interval(-1.0, -2.0, 0.0)})
    '1-shot +4.9 ± 0.4, 5-shot -1.0 ± 1.0'
    """
    return ", ".join(f"{name} {one:+.1f}" for name, one in found.items())


def plus_minus(summary: pd.DataFrame, digits: int = 1) -> pd.Series:
    """Write the `mean` and half the interval from `low` to `high` of every row, as in 97.1 ± 0.3.

    Where runs `diverged` the text says how many are left, or that none is, since dropping a run flatters.
    """
    return pd.Series([_text(row, digits) for _, row in summary.iterrows()], summary.index, dtype=object)


def _text(row: pd.Series, digits: int) -> str:
    lost = int(row.get("diverged", 0))
    text = f"{Interval(row['mean'], row.low, row.high):.{digits}f}"
    if not lost:
        return text
    left, runs = int(row.seeds), int(row.seeds) + lost
    if left >= 2:
        return f"{text} ({left} of {runs} seeds)"
    return "diverged" if left == 0 else f"diverged (but for {left} of {runs} seeds)"
