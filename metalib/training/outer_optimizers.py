"""How the mean displacement of the tasks moves the initialization."""

from __future__ import annotations

from dataclasses import dataclass

from metalib.optimizers import SGD, Adam, Nesterov, Optimizer


@dataclass(frozen=True)
class OuterOptimizer:
    """An optimizer of the outer loop; ε is its step size.

    Attributes:
        rule: turns what it is given into a direction; its own step size is not used.
        per_alpha: whether it is given the mean displacement divided by α, the natural gradient to hand to
            another optimizer (Nichol et al. 2018, section 3), or the displacement itself.
    """

    rule: Optimizer
    per_alpha: bool


OUTER_OPTIMIZERS = {
    "interpolate": OuterOptimizer(SGD(1.0), per_alpha=False),
    "adam": OuterOptimizer(Adam(1.0, beta1=0.9), per_alpha=True),
    "nesterov": OuterOptimizer(Nesterov(1.0), per_alpha=False),
}
"""Outer optimizers by name; "interpolate" is Algorithm 1 and Eq. 5, "nesterov" moves by ε (Δ + β v)."""
