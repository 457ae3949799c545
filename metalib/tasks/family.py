"""What training asks of a distribution of tasks. To add one, write a class that fulfils `TaskFamily`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from torch import Tensor

from metalib.derivatives import MinibatchLoss
from metalib.params import Params

BLOCK = 100
"""Outer iterations sampled at once. One by one, it would cost more than a step of a small network."""


class TaskFamily(Protocol):
    """A distribution of tasks together with the model that learns them.

    A run sees the same tasks on every device and in every stack: they are sampled on the host by a
    counter-based generator that knows nothing but the run's seed and the block of outer iterations.
    """

    @property
    def footprint(self) -> int:
        """Bytes that an inner step of one run touches, weights and activations."""
        ...

    def as_dict(self) -> dict[str, Any]:
        """Return everything that decides the tasks and the model, as JSON can hold it."""
        ...

    def initialize(self, seed: int) -> Params:
        """Draw the initial weights φ of one run, as a stack of one."""
        ...

    def sample(self, seed: int, block: int, tasks: int, steps: int) -> dict[str, np.ndarray]:
        """Sample the minibatches of outer iterations block · BLOCK … (block + 1) · BLOCK − 1 of one run.

        Every array has the leading axes [BLOCK, tasks, steps].
        """
        ...

    def loss(self, minibatch: Mapping[str, Tensor]) -> MinibatchLoss:
        """Return L_i for one sampled minibatch per run: the arrays of `sample`, with leading axes [runs].

        In training there is `last` too, on the host: whether it is the last one of its task.
        """
        ...
