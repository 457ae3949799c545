"""Distributions of tasks, and what training asks of one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
from torch import Tensor

from metalib.derivatives import MinibatchLoss
from metalib.errors import require
from metalib.params import Params

BLOCK = 100
"""Outer iterations drawn together: drawing one at a time would cost more than a step on a small network."""


class TaskFamily(Protocol):
    """A distribution of tasks together with the model that learns them.

    A run sees the same tasks on every device and in every stack: they are drawn on the host by a
    counter-based generator that knows nothing but the run's seed and the block of outer iterations.
    """

    def initialize(self, seed: int) -> Params:
        """Draw the initial weights φ of one run, as a stack of one."""
        ...

    def draw(self, seed: int, block: int, tasks: int, steps: int) -> dict[str, np.ndarray]:
        """Draw the minibatches of outer iterations block · BLOCK … (block + 1) · BLOCK − 1 of one run.

        Every array has the leading axes [BLOCK, tasks, steps].
        """
        ...

    def loss(self, minibatch: Mapping[str, Tensor]) -> MinibatchLoss:
        """Return L_i for one drawn minibatch per run: the arrays of `draw`, their leading axes now [runs]."""
        ...


def generator(seed: int, stream: str, block: int = 0) -> np.random.Generator:
    """Return the counter-based generator of one run, purpose and block (Philox; Salmon et al. 2011).

    Args:
        seed: the run's seed, at least 0.
        stream: what the numbers are for, such as "train"; streams are independent of each other.
        block: which stretch of the stream; blocks are independent of each other.
    """
    require(seed >= 0, f"seed is {seed}; seeds are whole numbers from 0 up")
    key = int.from_bytes(stream.encode()[:8].ljust(8, b"\0"), "little")
    return np.random.Generator(np.random.Philox(key=[seed, key], counter=[0, 0, 0, block]))
