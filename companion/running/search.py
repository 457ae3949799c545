"""A search with CMA-ES, as in the paper's appendix A, that goes on where it was interrupted.

CMA-ES (Hansen 2006) draws a population of points from a normal distribution, has all of them scored, and
moves and reshapes the distribution towards the better half. Only the order of the scores counts.

The package `cmaes` does it. It needs NumPy alone; Optuna's sampler of that name calls the same package, and
brings a database along. Its state is not stored: it follows from its seed and from the scores, which are. A
search that goes on is replayed first, and ends bit for bit where it would have ended.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from companion.running.experiment import Checkpoint
from metalib.errors import StoreError, optional_module, require
from metalib.rng import generator
from metalib.store import load_arrays, save_arrays

if TYPE_CHECKING:
    from jaxtyping import Float

    Points = Float[np.ndarray, "population dimensions"]
    Scores = Float[np.ndarray, " population"]

SIGMA = 0.25
"""Standard deviation of the first generation in every dimension of the unit cube."""
MIDDLE = (0.25, 0.75)
"""Where in every dimension the first mean lies; the seed draws it."""


@dataclass(frozen=True)
class Plan:
    """How long to search, and from where.

    Attributes:
        dimensions: of the unit cube [0, 1]^d that is searched.
        generations: populations that are scored one after the other.
        population: points of a generation, at least 4: CMA-ES averages the better half.
        seed: decides where the search begins, and its random numbers.

    Raises:
        InputError: if there is nothing to search, or too few points to compare.
    """

    dimensions: int
    generations: int
    population: int
    seed: int

    def __post_init__(self) -> None:
        require(self.dimensions >= 1, f"dimensions is {self.dimensions}; search at least one")
        require(self.generations >= 1, f"generations is {self.generations}; search at least one")
        require(self.population >= 4, f"population is {self.population}; CMA-ES needs at least 4 points")


@dataclass(frozen=True)
class Searched:
    """What a search has seen.

    Attributes:
        points: of every generation, [generations, population, dimensions].
        values: their scores, [generations, population], `inf` where there was no number; the less the better.
        seconds: wall time spent, earlier attempts included.
    """

    points: Float[np.ndarray, "generations population dimensions"]
    values: Float[np.ndarray, "generations population"]
    seconds: float = 0.0

    @property
    def best(self) -> Float[np.ndarray, " dimensions"]:
        """The point with the smallest score; of equal ones, the first."""
        best: np.ndarray = self.points.reshape(-1, self.points.shape[-1])[np.argmin(self.values)]
        return best


def minimize(
    score: Callable[[Points], Scores],
    plan: Plan,
    checkpoint: Checkpoint | None = None,
    callback: Callable[[int], None] | None = None,
) -> Searched:
    """Search the unit cube for the point with the smallest score.

    Args:
        score: scores a whole generation, [population, dimensions] → [population].
        plan: how long, and from where.
        checkpoint: where to keep scores, after every generation; the search goes on from what is there.
        callback: called with the number of generations scored so far.

    Raises:
        InputError: if `cmaes` is not installed.
        StoreError: if the checkpoint is damaged, or belongs to something else.

    Source: Hansen 2006; Nichol et al. 2018, appendix A.
    """
    optimizer = _begun(plan)
    found = _kept(plan, checkpoint)
    for generation in range(len(found.values)):
        points = _asked(optimizer, plan)
        if not np.array_equal(points, found.points[generation]):
            raise StoreError(
                f"{checkpoint and checkpoint.path} was left by another version of cmaes or NumPy, which drew "
                "other points; delete it to search anew"
            )
        _tell(optimizer, points, found.values[generation])
    if callback:
        callback(len(found.values))
    for generation in range(len(found.values), plan.generations):
        started = time.monotonic()
        points = _asked(optimizer, plan)
        scores = np.asarray(score(points), dtype=float)
        values = np.where(np.isnan(scores), math.inf, scores)
        _tell(optimizer, points, values)
        found = Searched(
            np.concatenate([found.points, points[None]]),
            np.concatenate([found.values, values[None]]),
            found.seconds + time.monotonic() - started,
        )
        if checkpoint:
            header = {"identity": checkpoint.identity, "seconds": found.seconds}
            save_arrays(checkpoint.path, {"points": found.points, "values": found.values}, header)
        if callback:
            callback(generation + 1)
    return found


def _begun(plan: Plan) -> Any:
    """Return CMA-ES before its first generation."""
    cmaes = optional_module("cmaes", "companion")
    rng = generator(plan.seed, "search")
    return cmaes.CMA(
        mean=rng.uniform(*MIDDLE, plan.dimensions),
        sigma=SIGMA,
        bounds=np.tile([0.0, 1.0], (plan.dimensions, 1)),
        population_size=plan.population,
        seed=int(rng.integers(2**32)),
    )


def _asked(optimizer: Any, plan: Plan) -> Points:
    return np.stack([optimizer.ask() for _ in range(plan.population)])


def _tell(optimizer: Any, points: Points, values: Scores) -> None:
    optimizer.tell(list(zip(points, values.tolist(), strict=True)))


def _kept(plan: Plan, checkpoint: Checkpoint | None) -> Searched:
    """Return what an earlier attempt has scored; nothing if there was none."""
    shape = (plan.population, plan.dimensions)
    if checkpoint is None or not checkpoint.path.exists():
        return Searched(np.empty((0, *shape)), np.empty((0, plan.population)))
    path = checkpoint.path
    arrays, header = load_arrays(path, sealed=True)
    if header.get("identity") != checkpoint.identity:
        raise StoreError(f"{path} belongs to another search or to other code; delete it to search anew")
    points, values, seconds = arrays.get("points"), arrays.get("values"), header.get("seconds")
    whole = (
        points is not None
        and values is not None
        and points.shape[1:] == shape
        and values.shape == points.shape[:2]
        and len(values) <= plan.generations
        and isinstance(seconds, int | float)
        and math.isfinite(seconds)
    )
    if not whole or points is None or values is None or seconds is None:
        raise StoreError(f"{path} is damaged: this search cannot have left it; delete it to search anew")
    return Searched(points, values, float(seconds))
