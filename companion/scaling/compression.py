"""Displacements sent in fewer bytes: eight bits a number, or only the largest numbers.

What a message leaves out is not lost with *error feedback* (Seide et al. 2014): the sender keeps it and adds
it to its next displacement.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from companion.running.distributed import Ranks
from metalib.errors import require
from metalib.params import Params
from metalib.training.shares import Share, T

if TYPE_CHECKING:
    from jaxtyping import Float

CHUNK = 1024


class Compression(Protocol):
    """A way to write a vector in fewer bytes."""

    def encode(self, vector: Float[Tensor, " n"]) -> list[Tensor]:
        """Return what is sent; its sizes depend on n alone."""
        ...

    def decode(self, parts: Sequence[Tensor], n: int) -> Float[Tensor, " n"]:
        """Return the vector of n numbers that was sent, as float32."""
        ...


@dataclass(frozen=True)
class Int8:
    """Eight bits a number: of every `CHUNK` numbers the largest becomes ±127, the others are rounded.

    The error of a number is at most 1/254 of the largest in its chunk.
    """

    def encode(self, vector: Float[Tensor, " n"]) -> list[Tensor]:
        """Return the rounded numbers, and one scale per chunk."""
        chunks = torch.nn.functional.pad(vector, (0, -len(vector) % CHUNK)).view(-1, CHUNK).float()
        scale = chunks.abs().amax(1, keepdim=True) / 127
        rounded = (chunks / scale.clamp(min=torch.finfo(torch.float32).tiny)).round()
        return [rounded.to(torch.int8), scale]

    def decode(self, parts: Sequence[Tensor], n: int) -> Float[Tensor, " n"]:
        """Return number times scale."""
        rounded, scale = parts
        return (rounded * scale).flatten()[:n]


@dataclass(frozen=True)
class TopK:
    """Only the numbers of largest size, each with its place; all others become 0.

    Attributes:
        share: how many of the numbers are sent, in (0, 1].

    Raises:
        InputError: if the share is out of range.
    """

    share: float = 0.01

    def __post_init__(self) -> None:
        require(0 < self.share <= 1, f"share is {self.share}; send a share in (0, 1], such as 0.01")

    def encode(self, vector: Float[Tensor, " n"]) -> list[Tensor]:
        """Return places and numbers."""
        kept = max(1, round(self.share * len(vector)))
        places = vector.abs().topk(kept).indices
        return [places.int(), vector[places].float()]

    def decode(self, parts: Sequence[Tensor], n: int) -> Float[Tensor, " n"]:
        """Return zeros with the numbers in their places."""
        places, numbers = parts
        return numbers.new_zeros(n).index_put_((places.long(),), numbers)


def message_bytes(compression: Compression | None, n: int) -> int:
    """Return how many bytes a worker sends for a displacement of n numbers; 4 n without compression."""
    if compression is None:
        return 4 * n
    return sum(part.numel() * part.element_size() for part in compression.encode(torch.zeros(n)))


@dataclass(frozen=True)
class Compressed(Share):
    """The share of a rank that sends compressed displacements and averages those of all.

    The residual is this process's own and in no checkpoint: with error feedback, training that goes on from
    one is not bit for bit what it would have been.

    Attributes:
        ranks: the rank; `Compressed.of` fills in the rest.
        compression: how displacements are written.
        feedback: whether what a message left out is added to the next.
        errors: relative errors ‖sent − meant‖ / ‖meant‖ of this rank's messages so far; with feedback, what
            is meant includes what was left out before.
    """

    ranks: Ranks | None = None
    compression: Compression = field(default_factory=Int8)
    feedback: bool = True
    errors: list[float] = field(default_factory=list, compare=False)
    _residual: list[Tensor] = field(default_factory=list, compare=False)

    @classmethod
    def of(cls, ranks: Ranks, compression: Compression, *, feedback: bool = True) -> Compressed:
        """Return the share of that rank with its messages compressed."""
        return cls(ranks.rank, ranks.size, ranks, compression, feedback)

    @property
    def _ranks(self) -> Ranks:
        assert self.ranks is not None, "made by Compressed.of"
        return self.ranks

    def require_agreement(self, identity: str, tasks: int, carried: bool) -> None:
        """Ask of all ranks what `Ranks` asks, and that they compress alike."""
        self._ranks.require_agreement(f"{identity} {self.compression} {self.feedback}", tasks, carried)

    def from_first(self, read: Callable[[], T]) -> T:
        """Return to all ranks what `read` returns to rank 0."""
        return self._ranks.from_first(read)

    def mean(self, update: Params, values: Tensor) -> tuple[Params, Tensor]:
        """Return the mean of all ranks' compressed displacements, and the mean of the inner losses."""
        vector = torch.cat([part.flatten() for part in update.values()])
        meant = vector + self._residual[0] if self._residual else vector
        message = self.compression.encode(meant)
        sent = self.compression.decode(message, len(vector)).to(vector)
        self.errors.append(float((sent - meant).norm() / meant.norm()))
        if self.feedback:
            self._residual[:] = [meant - sent]
        received = [self.compression.decode(m, len(vector)) for m in self._ranks.gather([*message])]
        mean = torch.stack(received).mean(0).to(vector)
        pieces = mean.split([part.numel() for part in update.values()])
        shaped = {name: piece.view_as(update[name]) for name, piece in zip(update, pieces, strict=True)}
        return shaped, self._ranks.mean({}, values)[1]
