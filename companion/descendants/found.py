"""What is measured of a descendant: distances that theory says are zero, and what is not zero."""

from __future__ import annotations

from dataclasses import dataclass, field

ALPHA = 0.02
EPSILON = 0.5
SAME = 1e-10
"""Relative distance in float64 below which two routes are said to agree."""


@dataclass(frozen=True)
class Found:
    """What was measured of one descendant.

    Attributes:
        same: relative distances that theory says are zero.
        apart: relative distances that are not zero, where something is left out.
        numbers: coefficients and orders.
    """

    same: dict[str, float]
    apart: dict[str, float] = field(default_factory=dict)
    numbers: dict[str, float] = field(default_factory=dict)

    @property
    def holds(self) -> bool:
        """Whether every distance that should vanish is below `SAME`."""
        return all(abs(value) < SAME for value in self.same.values())

    @property
    def percent(self) -> list[str]:
        """The distances that are not zero, as the text of the page quotes them."""
        return [f"{100 * value:.2g} %" for value in self.apart.values()]

    @property
    def brief(self) -> str:
        """How the comparison ended, in a table's cell."""
        ended = f"{len(self.same)} × equal" if self.holds else "NOT EQUAL"
        return "; ".join([ended, *(f"{name}: {_apart(value)}" for name, value in self.apart.items())])

    @property
    def rows(self) -> list[tuple[str, str]]:
        """Every comparison with how it ended; distances that vanish are not told digit by digit."""
        rows = [(name, "equal" if abs(v) < SAME else f"{v:.2g} apart") for name, v in self.same.items()]
        rows += [(name, _apart(value)) for name, value in self.apart.items()]
        return rows + [(name, f"{value:.3f}") for name, value in self.numbers.items()]


def _apart(value: float) -> str:
    return f"{100 * value:.2g} % apart"
