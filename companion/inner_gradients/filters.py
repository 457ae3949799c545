"""Exact filters: what an update makes of every direction of curvature, to all orders in α.

Let all minibatches of a task have the same quadratic loss L(φ) = ½ (φ − φ*)ᵀ H (φ − φ*). A step then maps
g_1 = H (φ_1 − φ*) to g_2 = H (φ_1 − α g_1 − φ*) = (I − αH) g_1, and so g_i = (I − αH)^{i−1} g_1, exactly.
Every update of the paper is g_1 seen through a polynomial in αH. Along an eigenvector of curvature h, with
x = αh, it multiplies g_1 by

    Σ c_i g_i            Σ c_i (1 − x)^{i−1}
    joint training       1
    FOMAML   (Eq. 38)    (1 − x)^{k−1}
    MAML     (Eq. 21)    (1 − x)^{2(k−1)}          k − 1 factors from g_k, k − 1 from the Jacobians
    Reptile  (Eq. 40)    (1 − (1 − x)^k) / x       the sum, not the mean, of the g_i; k where x = 0

To first order in x these are Σ c_i − x Σ c_i (i − 1), which Eqs. 37, 39 and 41 say of AvgGrad and
AvgGradInner. Where a filter is negative, the update climbs the loss that it was made to descend.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from companion.inner_gradients.weights import CURVES, MAML, MAML_K
from metalib.errors import require
from metalib.meta_gradients import fomaml_weights, reptile_weights

if TYPE_CHECKING:
    from jaxtyping import Float

    Filter = Callable[[Float[np.ndarray, "*shape"]], Float[np.ndarray, "*shape"]]


def combination_filter(
    weights: Sequence[float], x: Float[np.ndarray, "*shape"]
) -> Float[np.ndarray, "*shape"]:
    """Return Σ c_i (1 − x)^{i−1}: what Σ c_i g_i is of g_1 along a direction with αh = x.

    Args:
        weights: c_1 … c_k.
        x: inner step size times curvature, of any shape.

    >>> combination_filter((-1.0, 2.0), np.array([0.0, 0.5, 1.0]))
    array([ 1.,  0., -1.])
    """
    return np.polynomial.polynomial.polyval(1.0 - np.asarray(x, float), np.asarray(weights, float))


def fomaml_filter(k: int, x: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """Return (1 − x)^{k−1} (of Nichol et al. 2018, Eq. 38)."""
    return (1.0 - np.asarray(x, float)) ** (k - 1)


def maml_filter(k: int, x: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """Return (1 − x)^{2(k−1)}, which is never negative (of Nichol et al. 2018, Eq. 21)."""
    return (1.0 - np.asarray(x, float)) ** (2 * (k - 1))


def reptile_filter(k: int, x: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """Return (1 − (1 − x)^k) / x, and its limit k at x = 0 (of Nichol et al. 2018, Eq. 40)."""
    x = np.asarray(x, float)
    # log(1 − x) is only there for x < 1; the geometric sum has no hole at 0 and loses no digits near it.
    return np.polynomial.polynomial.polyval(1.0 - x, np.ones(k))


def first_uphill(curve: Filter, until: float = 2.0, points: int = 20_001) -> float:
    """Return the least x in (0, until] from which on a filter is negative; infinite if it never is.

    Args:
        curve: the filter.
        until: the inner loop itself diverges above x = 2.
        points: at which it is looked at; the zero between two of them is found by interpolation.

    Raises:
        InputError: if the filter is negative at 0.

    >>> first_uphill(lambda x: combination_filter((-1.0, 2.0), x))
    0.5
    """
    x = np.linspace(0.0, until, points)
    y = curve(x)
    negative = np.flatnonzero(y < 0)
    if not len(negative):
        return np.inf
    j = int(negative[0])
    require(j > 0, "the filter is negative at curvature 0: the update climbs everywhere")
    return round(float(x[j - 1] + (x[j] - x[j - 1]) * y[j - 1] / (y[j - 1] - y[j])), 6)


def filters() -> dict[str, Filter]:
    """Return the filter of every curve of `weights`, by its name; and of sum and last of two and four."""
    named: dict[str, Filter] = {
        curve.name: lambda x, c=curve.weights: combination_filter(c, x)  # type: ignore[misc]
        for curve in CURVES
        if any(curve.weights)
    }
    named[MAML] = lambda x: maml_filter(MAML_K, x)
    for k in (2, 4):
        named[f"{k}-sum"] = lambda x, k=k: combination_filter(reptile_weights(k), x)  # type: ignore[misc]
        named[f"{k}-last"] = lambda x, k=k: combination_filter(fomaml_weights(k), x)  # type: ignore[misc]
    return named
