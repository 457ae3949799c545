"""The hyper-parameters of Reptile on sine waves, and the box in which they are searched.

A *setting* is searched by its logarithm: a step from 0.01 to 0.02 is as long as one from 0.02 to 0.04. The
coordinates of the search are the unit cube; 0 is the lower end of each range, 1 the upper one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from metalib.errors import require
from metalib.tasks.sine import Sine
from metalib.training import TrainingConfig

if TYPE_CHECKING:
    from jaxtyping import Float


@dataclass(frozen=True)
class Settings:
    """What is chosen for a run.

    Attributes:
        alpha: inner step size α, in training and in evaluation.
        epsilon: outer step size ε at the beginning; it falls linearly to 0.
        k: inner steps per task.
        tasks: tasks per outer iteration, n in Eq. 5.
        batch: points per inner step.
    """

    alpha: float
    epsilon: float
    k: int
    tasks: int
    batch: int


DEMO = Settings(alpha=0.02, epsilon=0.1, k=5, tasks=1, batch=10)
"""Those of the authors' demo; the paper gives none for sine waves."""
NAMES = tuple(field.name for field in fields(Settings))


@dataclass(frozen=True)
class Range:
    """Values from `low` to `high`, which are searched by their logarithms.

    Attributes:
        low: the smallest value, greater than 0.
        high: the largest.
        whole: whether only whole numbers count.

    Raises:
        InputError: if there is no such range.
    """

    low: float
    high: float
    whole: bool = False

    def __post_init__(self) -> None:
        right = 0 < self.low < self.high
        require(right, f"low is {self.low} and high {self.high}; a range needs 0 < low < high")

    def value(self, place: float) -> float:
        """Return low^(1 − u) high^u for a place u in [0, 1]; rounded if only whole numbers count.

        Raises:
            InputError: if the place lies outside [0, 1].

        >>> Range(0.25, 1.0).value(0.0), Range(1, 20, whole=True).value(0.5)
        (0.25, 4)
        """
        require(0 <= place <= 1, f"place is {place}; it must lie in [0, 1]")
        exact = float(np.exp((1 - place) * np.log(self.low) + place * np.log(self.high)))
        return round(exact) if self.whole else min(max(exact, self.low), self.high)

    def place(self, value: float) -> float:
        """Return the place u in [0, 1] of a value.

        Raises:
            InputError: if it lies outside the range.
        """
        inside = self.low <= value <= self.high
        require(inside, f"value is {value}; the range goes from {self.low} to {self.high}")
        return float(np.log(value / self.low) / np.log(self.high / self.low))


SPACE: Mapping[str, Range] = {
    "alpha": Range(0.001, 0.2),
    "epsilon": Range(0.02, 1.0),
    "k": Range(1, 20, whole=True),
    "tasks": Range(1, 10, whole=True),
    "batch": Range(2, 50, whole=True),
}
"""Set before any search was run: each spans a factor of 10 to 200, and holds the demo's value."""


def from_cube(point: Float[np.ndarray, " 5"]) -> Settings:
    """Return the settings at a point of the unit cube.

    Raises:
        InputError: if the point lies outside the cube.
    """
    values = {name: SPACE[name].value(float(u)) for name, u in zip(NAMES, point, strict=True)}
    return Settings(**values)  # type: ignore[arg-type]


def to_cube(settings: Settings) -> Float[np.ndarray, " 5"]:
    """Return the point of the unit cube at which settings lie.

    Raises:
        InputError: if one of them lies outside its range.
    """
    return np.array([SPACE[name].place(getattr(settings, name)) for name in NAMES])


def work_of(iterations: int) -> int:
    """Return the inner steps that the demo's settings take in so many outer iterations."""
    return iterations * DEMO.k * DEMO.tasks


def run(settings: Settings, work: int, seed: int) -> TrainingConfig:
    """Return a run that takes `work` inner steps: the more an outer iteration has, the fewer of these.

    Args:
        settings: what it trains with.
        work: inner steps of all tasks together.
        seed: of its initial weights and training tasks.
    """
    return TrainingConfig(
        alpha=settings.alpha,
        epsilon=settings.epsilon,
        k=settings.k,
        tasks=settings.tasks,
        iterations=max(1, round(work / (settings.k * settings.tasks))),
        seed=seed,
    )


def family(settings: Settings) -> Sine:
    """Return the sine waves with minibatches of that size."""
    return Sine(batch=settings.batch)
