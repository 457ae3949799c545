"""Which part of every meta-batch a process trains. A process by itself trains the whole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from torch import Tensor

from metalib.params import Params

T = TypeVar("T")


@dataclass(frozen=True)
class Share:
    """One of `size` equal parts of every meta-batch; by itself, all of it.

    Attributes:
        rank: which part, counted from 0.
        size: how many parts there are.
    """

    rank: int = 0
    size: int = 1

    def tasks(self, count: int) -> slice:
        """Return which of `count` tasks are in this part; `size` divides `count`."""
        part = count // self.size
        return slice(self.rank * part, (self.rank + 1) * part)

    def require_agreement(self, identity: str, tasks: int, carried: bool) -> None:
        """Raise `InputError` unless all parts have this `identity`, and can divide `tasks`."""

    def from_first(self, read: Callable[[], T]) -> T:
        """Return what `read` returns to the process of the first part."""
        return read()

    def mean(self, update: Params, values: Tensor) -> tuple[Params, Tensor]:
        """Return the displacement and the inner losses, averaged over the parts."""
        return update, values


ALONE = Share()
