"""What is measured while runs are in training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from metalib.optimizers import State
from metalib.params import Params
from metalib.training.config import TrainingConfig


class Monitor(Protocol):
    """What is measured while runs are in training, after every block of `BLOCK` outer iterations."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the numbers, which become columns of the history."""
        ...

    def as_dict(self) -> dict[str, Any]:
        """Return everything that decides the numbers, as JSON can hold it."""
        ...

    def __call__(
        self, family: Any, configs: Sequence[TrainingConfig], phi: Params, inner: State, block: int
    ) -> np.ndarray:
        """Return the numbers of every run, [runs, columns].

        Args:
            family: the tasks that the runs are trained on.
            configs: the runs.
            phi: their weights at the end of the block.
            inner: the state of their inner optimizer.
            block: number of the block, counted from 0.
        """
        ...
