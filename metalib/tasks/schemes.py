"""Drawing without repeats, for many tasks at once: numbers, and minibatches of a task's images."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Int


def distinct(
    rng: np.random.Generator, population: int, size: int, shape: tuple[int, ...]
) -> Int[np.ndarray, "*shape size"]:
    """Draw `size` different numbers below `population`, in random order, for every place of `shape`.

    Floyd's algorithm: for j = population − size … population − 1 take a random number up to j, or j
    itself if that number is taken already. It touches `size` numbers, however large the population.
    """
    sampled = np.empty((*shape, size), dtype=np.int64)
    for i, j in enumerate(range(population - size, population)):
        candidate = rng.integers(0, j + 1, size=shape)
        taken = (sampled[..., :i] == candidate[..., None]).any(-1)
        sampled[..., i] = np.where(taken, j, candidate)
    return rng.permuted(sampled, axis=-1)


def cycling_minibatches(
    rng: np.random.Generator, images: int, batch: int, count: int, steps: int
) -> Int[np.ndarray, "count steps batch"]:
    """Shuffle, cycle, reshuffle; a minibatch may straddle two passes and then hold an image twice."""
    passes = max(1, math.ceil(steps * batch / images))
    order = rng.permuted(np.broadcast_to(np.arange(images), (count, passes, images)), axis=2)
    return order.reshape(count, -1)[:, : steps * batch].reshape(count, steps, batch)


def independent_minibatches(
    rng: np.random.Generator, images: int, batch: int, count: int, steps: int
) -> Int[np.ndarray, "count steps batch"]:
    """Draw every minibatch anew, without repeats inside it."""
    return distinct(rng, images, batch, (count, steps))
