"""Few-shot classification (section 6): N-way K-shot tasks sampled from a pool of classes.

A task is N classes with K images each. The inner loop sees its N · K images in minibatches, by one of
the schemes that section 6.3 compares:

    cycling        shuffle, go through, reshuffle; a minibatch may straddle two passes
    replacement    an independent draw for every step, without repeats inside a minibatch
    disjoint       as cycling, and an error unless one pass suffices (section 6.2)

Each may keep a separate tail: the first images of every class are held back as the last minibatch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from metalib.data.classes import ClassPool
from metalib.derivatives import MinibatchLoss, cross_entropy
from metalib.errors import require, require_choice
from metalib.models.convnet import ConvNet
from metalib.params import Params
from metalib.rng import generator
from metalib.tasks.episodes import require_available, sample_tasks
from metalib.tasks.family import BLOCK
from metalib.tasks.schemes import cycling_minibatches, independent_minibatches

if TYPE_CHECKING:
    from jaxtyping import Int

SCHEMES = ("cycling", "replacement", "disjoint")
REDUCTIONS = ("sum", "mean")
FILTERS = {28: 64, 84: 32}


@dataclass(frozen=True)
class FewShot:
    """N-way K-shot tasks, learned by the convolutional network of section 6.1.

    Images of 28 pixels are learned by the Omniglot network, images of 84 pixels by the Mini-ImageNet network.

    Attributes:
        pool: the classes and their images.
        ways: classes per task, N.
        shots: images of each class in a training task, K (the tail's included).
        batch: images per minibatch.
        scheme: one of `SCHEMES`.
        tail_shots: images of each class held back as the last minibatch; 0 for none.
        reduction: "sum" or "mean" over the minibatch. The authors' code descends the sum, so that
            α = 0.003 at batch 25 equals 0.075 on the mean.
    """

    pool: ClassPool
    ways: int = 5
    shots: int = 10
    batch: int = 10
    scheme: str = "cycling"
    tail_shots: int = 0
    reduction: str = "sum"

    def __post_init__(self) -> None:
        require_choice("scheme", self.scheme, SCHEMES)
        require_choice("reduction", self.reduction, REDUCTIONS)
        height, width = self.pool.images.shape[2:4]
        fits = height == width and height in FILTERS
        require(fits, f"images of {self.pool.name} are {height}×{width}; the networks take 28×28 or 84×84")
        require(self.batch >= 1, f"batch is {self.batch}; a minibatch holds at least 1 image")
        require_available(self.pool, self.ways, self.shots)
        require(
            0 <= self.tail_shots < self.shots,
            f"tail_shots is {self.tail_shots}; of {self.shots} shots, 0 to {self.shots - 1} can be held back",
        )
        require(
            self.scheme != "replacement" or self.batch <= self._head,
            f"batch is {self.batch}, but a task has only {self._head} images to draw it from without "
            "repeats; take a smaller batch or more shots",
        )

    @property
    def net(self) -> ConvNet:
        """The network that learns these tasks."""
        size, channels = self.pool.images.shape[2], self.pool.images.shape[4]
        return ConvNet(self.ways, channels, size, FILTERS[size], pooling=size == 84)

    @property
    def footprint(self) -> int:
        """Bytes that an inner step of one run touches."""
        return self.net.footprint(self.batch)

    def as_dict(self) -> dict[str, Any]:
        """Return everything that decides the tasks and the model, as JSON can hold it."""
        own = {field.name: getattr(self, field.name) for field in fields(self)}
        return {"kind": "FewShot", **own, "pool": self.pool.as_dict()}

    @property
    def _head(self) -> int:
        """Images of a task outside its tail."""
        return self.ways * (self.shots - self.tail_shots)

    def initialize(self, seed: int) -> Params:
        """Draw the initial weights of one run, as a stack of one."""
        return self.net.initialize(seed)

    def sample(self, seed: int, block: int, tasks: int, steps: int) -> dict[str, np.ndarray]:
        """Draw the minibatches of one block, as places of images in the pool.

        Returns:
            `image` and `label` of shape [BLOCK, tasks, steps, batch]. Where a tail and the other
            minibatches differ in size, the unused places hold −1.

        Raises:
            InputError: if the scheme is "disjoint" and the steps need more images than a task has.
        """
        rng = generator(seed, "train", block)
        count = BLOCK * tasks
        places = sample_tasks(rng, self.pool.split(seed).train, self.ways, self.shots, count, self.pool)
        labels = np.broadcast_to(np.arange(self.ways)[:, None], places.shape)
        head = places[:, :, self.tail_shots :].reshape(count, -1)
        head_labels = labels[:, :, self.tail_shots :].reshape(count, -1)
        order = self._order(rng, count, steps - (self.tail_shots > 0))
        image = np.take_along_axis(head, order.reshape(count, -1), 1).reshape(order.shape)
        label = np.take_along_axis(head_labels, order.reshape(count, -1), 1).reshape(order.shape)
        if self.tail_shots:
            image = _append(image, places[:, :, : self.tail_shots].reshape(count, 1, -1))
            label = _append(label, labels[:, :, : self.tail_shots].reshape(count, 1, -1))
        shape = (BLOCK, tasks, steps, -1)
        return {"image": image.reshape(shape), "label": label.reshape(shape)}

    def _order(
        self, rng: np.random.Generator, count: int, steps: int
    ) -> Int[np.ndarray, "count steps batch"]:
        if self.scheme == "disjoint":
            require(
                steps * self.batch <= self._head,
                f"{steps} disjoint minibatches of {self.batch} need {steps * self.batch} images, but a task "
                f"has {self._head}; take more shots",
            )
        if self.scheme == "replacement":
            return independent_minibatches(rng, self._head, self.batch, count, steps)
        return cycling_minibatches(rng, self._head, self.batch, count, steps)

    def loss(self, minibatch: Mapping[str, Tensor]) -> MinibatchLoss:
        """Return the cross-entropy on one minibatch per run, its images gathered on the device."""
        image, label = minibatch["image"], minibatch["label"]
        tail = self.tail_shots * self.ways
        if tail not in (0, self.batch):
            # Unused places are cut off. Reading labels to find them would have the host wait for a GPU.
            training = tail if minibatch.get("last") else self.batch
            used = training if "last" in minibatch else int((label[0] >= 0).sum())
            image, label = image[:, :used], label[:, :used]
        criterion = partial(cross_entropy, reduction=self.reduction)
        return MinibatchLoss(self.net, criterion, self.pool.gather(image), label)


def _append(head: np.ndarray, tail: np.ndarray) -> np.ndarray:
    """Put the tail behind the other minibatches; fill the shorter ones with −1."""
    width = max(head.shape[2], tail.shape[2])
    padded = [np.pad(a, ((0, 0), (0, 0), (0, width - a.shape[2])), constant_values=-1) for a in (head, tail)]
    return np.concatenate(padded, axis=1)
