"""Which way is up? Clients learn to tell by how many quarter turns a drawing of theirs was turned.

The four labels mean the same to everyone, so that one model can serve all clients, and nobody has to write
them down: whoever straightens a page gives them. But which way up a character stands depends on its alphabet
and on the hand, so that a client's own drawings can tell more than the model that serves all.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from companion.personalization.writers import Writer, writers
from metalib.data.classes import QUARTER_TURNS, ClassPool
from metalib.derivatives import MinibatchLoss, cross_entropy
from metalib.errors import require
from metalib.models.convnet import ConvNet
from metalib.params import Params
from metalib.rng import generator
from metalib.store import digest
from metalib.tasks.family import BLOCK

if TYPE_CHECKING:
    from jaxtyping import Int


@dataclass(frozen=True)
class Upright:
    """Training clients as tasks: the minibatches of a task are drawings of one client, each turned at random.

    Attributes:
        pool: Omniglot or the glyphs.
        by_data: whether a client takes part in proportion to how many drawings it has, as FedAvg weighs it
            (McMahan et al. 2017, Eq. 1), or as often as any other.
        batch: drawings per minibatch.
        filters: feature maps per layer of the Omniglot network; 64 in the paper.

    Raises:
        InputError: if the pool is without quarter turns, or the batch holds fewer than 2 images.
    """

    pool: ClassPool
    by_data: bool = False
    batch: int = 20
    filters: int = 16

    def __post_init__(self) -> None:
        require(self.pool.rotate_train, f"{self.pool.name} is without its quarter turns; set rotate_train")
        require(self.batch >= 2, f"batch is {self.batch}; batch normalization needs at least 2 images")

    @cached_property
    def writers(self) -> list[Writer]:
        """All clients, those that are trained on and those that are held out."""
        return writers(self.pool)

    @cached_property
    def _drawings(self) -> tuple[Int[np.ndarray, "clients most"], Int[np.ndarray, " clients"]]:
        """Places of the drawings of all training clients, filled up with −1, and how many each has."""
        places = [writer.places for writer in self.writers if writer.training]
        sizes = np.array([len(own) for own in places])
        filled = [np.pad(own, (0, sizes.max() - len(own)), constant_values=-1) for own in places]
        return np.stack(filled), sizes

    @property
    def net(self) -> ConvNet:
        """The network that every client runs."""
        return ConvNet(QUARTER_TURNS, size=self.pool.images.shape[2], filters=self.filters)

    @property
    def footprint(self) -> int:
        """Bytes that an inner step of one client touches."""
        return self.net.footprint(self.batch)

    def as_dict(self) -> dict[str, Any]:
        """Return everything that decides the clients and the model, as JSON can hold it."""
        clients = [[w.alphabet, w.hand, w.kind, w.training, w.places.tolist()] for w in self.writers]
        own = {"by_data": self.by_data, "batch": self.batch, "filters": self.filters}
        return {"kind": "Upright", "pool": self.pool.as_dict(), "clients": digest(clients), **own}

    def initialize(self, seed: int) -> Params:
        """Draw the initial weights of one run, as a stack of one."""
        return self.net.initialize(seed)

    def sample(self, seed: int, block: int, tasks: int, steps: int) -> dict[str, np.ndarray]:
        """Draw clients, and drawings of each, independently of one another.

        Returns:
            `image` and `label` of shape [BLOCK, tasks, steps, batch].
        """
        rng = generator(seed, "clients", block)
        drawings, sizes = self._drawings
        shares = sizes / sizes.sum() if self.by_data else None
        client = rng.choice(len(sizes), (BLOCK, tasks), p=shares)[..., None, None]
        shape = (BLOCK, tasks, steps, self.batch)
        drawing = (rng.random(shape) * sizes[client]).astype(int)
        turn = rng.integers(QUARTER_TURNS, size=shape)
        return {"image": self.turned(drawings[client, drawing], turn), "label": turn}

    def turned(self, place: np.ndarray, turn: np.ndarray) -> np.ndarray:
        """Return where the pool has the drawings of these places, turned.

        Args:
            place: of upright drawings.
            turn: quarter turns, 0 to 3.
        """
        return turn * math.prod(self.pool.images.shape[:2]) + place

    def loss(self, minibatch: Mapping[str, Tensor]) -> MinibatchLoss:
        """Return the mean cross-entropy on one minibatch per run."""
        images = self.pool.gather(minibatch["image"])
        return MinibatchLoss(self.net, partial(cross_entropy, reduction="mean"), images, minibatch["label"])


@dataclass(frozen=True)
class Visit:
    """Held-out clients with a few drawings to learn from and others to be tested on, in all four turns.

    Attributes:
        clients: who they are.
        support: places of what they learn from, [clients, 4 · shots].
        query: places of what they are tested on, of other characters, [clients, 4 · tested].
        label: quarter turns of both, the same for every client, [4 · shots] and [4 · tested].
    """

    clients: list[Writer]
    support: Int[Tensor, "clients S"]
    query: Int[Tensor, "clients Q"]
    label: tuple[Int[Tensor, " S"], Int[Tensor, " Q"]]


def visit(family: Upright, seed: int, kind: str, most: int, shots: int = 5, tested: int = 5) -> Visit:
    """Choose held-out clients, evenly among all, and draw their characters.

    Args:
        family: whose clients.
        seed: the run's seed; it decides the characters, not the clients.
        kind: `writers.KNOWN` or `writers.NEW`.
        most: clients; all there are, if there are no more.
        shots: characters to learn from.
        tested: characters to be tested on.
    """
    rng = generator(seed, f"visit {kind}")
    there = [writer for writer in family.writers if writer.kind == kind and not writer.training]
    chosen = [there[i] for i in np.unique(np.linspace(0, len(there) - 1, most).astype(int))]
    drawn = np.stack([rng.permutation(writer.places)[: shots + tested] for writer in chosen])
    turns = np.arange(QUARTER_TURNS)
    parts = [family.turned(part[..., None], turns) for part in (drawn[:, :shots], drawn[:, shots:])]
    support, query = (torch.from_numpy(part.reshape(len(chosen), -1)) for part in parts)
    labels = [torch.from_numpy(np.tile(turns, count)) for count in (shots, tested)]
    return Visit(chosen, support, query, (labels[0], labels[1]))
