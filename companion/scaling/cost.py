"""A model of what an outer step costs: W workers take k local steps each, then average what they moved.

An all-reduce of S bytes among W workers takes

    t(W) = 2 ⌈log2 W⌉ ℓ + 2 (W − 1)/W · S/b

with latency ℓ and bandwidth b of a worker's link (Thakur, Rabenseifner and Gropp 2005): every worker sends
and receives almost twice what it has to say, and messages meet in a tree. If a gradient step takes r seconds,
a gradient step with its part of the communication takes r + t/k. k = 1 is synchronous SGD.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from metalib.errors import require


@dataclass(frozen=True)
class Link:
    """What a worker is connected by.

    Attributes:
        latency: ℓ, seconds that a message takes however short it is.
        bandwidth: b, bytes per second.
    """

    latency: float
    bandwidth: float

    def all_reduce(self, workers: int, size: float) -> float:
        """Return t(W), the seconds of an all-reduce of `size` bytes."""
        hops = 2 * math.ceil(math.log2(workers)) if workers > 1 else 0
        return hops * self.latency + 2 * (workers - 1) / workers * size / self.bandwidth


@dataclass(frozen=True)
class Training:
    """A training over workers.

    Attributes:
        weights: P, numbers in the model.
        gradient_seconds: r, seconds that a worker needs for one gradient step.
        bytes_per_weight: what a weight of the displacement costs to send; 4 in float32.
    """

    weights: float
    gradient_seconds: float
    bytes_per_weight: float = 4.0

    def step_seconds(self, link: Link, workers: int, k: int, *, overlapped: bool = False) -> float:
        """Return the seconds of one gradient step, its part of the communication included.

        Args:
            link: connects the workers.
            workers: W.
            k: local steps between two averages; 1 is synchronous SGD.
            overlapped: whether an average travels while the next k steps are taken; they then start from
                weights that are one average behind.

        Raises:
            InputError: if k is below 1.
        """
        require(k >= 1, f"k is {k}; workers take at least 1 step")
        talk = link.all_reduce(workers, self.weights * self.bytes_per_weight)
        work = k * self.gradient_seconds
        return (max(work, talk) if overlapped else work + talk) / k

    def efficiency(self, link: Link, workers: int, k: int, *, overlapped: bool = False) -> float:
        """Return the share of the time that workers compute."""
        return self.gradient_seconds / self.step_seconds(link, workers, k, overlapped=overlapped)

    def steps_for(self, link: Link, workers: int, efficiency: float = 0.9) -> int:
        """Return the fewest local steps k with which workers compute for that share of the time."""
        talk = link.all_reduce(workers, self.weights * self.bytes_per_weight)
        return max(1, math.ceil(talk / self.gradient_seconds * efficiency / (1 - efficiency) - 1e-9))


def fit(collectives: pd.DataFrame) -> Link:
    """Return the link that explains measured all-reduces best, by least squares on relative errors.

    Args:
        collectives: one row per measurement: `ranks` (at least 2), `bytes`, `seconds`.

    Raises:
        InputError: if the times do not grow with ranks and bytes.
    """
    ranks, seconds = collectives.ranks.to_numpy(), collectives.seconds.to_numpy()
    columns = [2 * np.ceil(np.log2(ranks)), 2 * (ranks - 1) / ranks * collectives["bytes"].to_numpy()]
    design = np.stack(columns, 1) / seconds[:, None]
    latency, inverse = np.linalg.lstsq(design, np.ones(len(seconds)), rcond=None)[0]
    require(latency > 0 and inverse > 0, "these times do not grow with ranks and bytes; measure again")
    return Link(float(latency), float(1 / inverse))
