"""Confidence intervals; always of 95 %."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import stats

from metalib.errors import require

if TYPE_CHECKING:
    from jaxtyping import Float

LEVEL = 0.95


class Interval(NamedTuple):
    """A mean with its 95 % confidence interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        """Write the mean and the half width, as in 0.105 ± 0.011."""
        return f"{self.mean:.3g} ± {(self.high - self.low) / 2:.2g}"


def interval(values: Float[np.ndarray, " n"]) -> Interval:
    """Return the mean of independent values with Student's interval, x̄ ± t_{n−1} s / √n.

    For three seeds, t is 4.30: three runs say little about their spread, and the interval says so.

    Raises:
        InputError: if there are fewer than two values, from which no spread can be estimated.

    >>> interval(np.array([1.0, 2.0, 3.0]))
    Interval(mean=2.0, low=-0.484..., high=4.484...)
    """
    require(len(values) >= 2, f"got {len(values)} value; an interval needs at least two")
    centre = float(np.mean(values))
    error = float(np.std(values, ddof=1)) / len(values) ** 0.5
    half = float(stats.t.ppf(0.5 + LEVEL / 2, df=len(values) - 1)) * error
    return Interval(centre, centre - half, centre + half)
