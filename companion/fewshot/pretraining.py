"""Ordinary classification of all training classes: joint training, before fine-tuning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from metalib.data.classes import ClassPool
from metalib.derivatives import MinibatchLoss, cross_entropy
from metalib.errors import require
from metalib.models.convnet import ConvNet
from metalib.params import Params
from metalib.rng import generator
from metalib.tasks.family import BLOCK
from metalib.tasks.fewshot import FewShot

HEAD = ("dense", "dense_bias")
"""The weights of the last layer; all others make the features."""


@dataclass(frozen=True)
class Pretraining:
    """One task only: tell all training classes apart, each under its own label.

    Attributes:
        pool: the classes and their images.
        batch: images per minibatch, of any training classes.

    Raises:
        InputError: if the batch holds fewer than 2 images.
    """

    pool: ClassPool
    batch: int = 250

    def __post_init__(self) -> None:
        require(self.batch >= 2, f"batch is {self.batch}; batch normalization needs at least 2 images")

    @property
    def net(self) -> ConvNet:
        """The network of few-shot learning with one output for each training class."""
        return replace(FewShot(self.pool).net, ways=len(self.pool.split(0).train))

    @property
    def footprint(self) -> int:
        """Bytes that a step of one run touches."""
        return self.net.footprint(self.batch)

    def as_dict(self) -> dict[str, Any]:
        """Return everything that decides the task and the model, as JSON can hold it."""
        return {"kind": "Pretraining", "pool": self.pool.as_dict(), "batch": self.batch}

    def initialize(self, seed: int) -> Params:
        """Draw the initial weights of one run, as a stack of one."""
        return self.net.initialize(seed)

    def sample(self, seed: int, block: int, tasks: int, steps: int) -> dict[str, np.ndarray]:
        """Draw `image` and `label` of shape [BLOCK, tasks, steps, batch], each image independently."""
        rng = generator(seed, "pretrain", block)
        classes, per_class = self.pool.split(seed).train, self.pool.images.shape[1]
        shape = (BLOCK, tasks, steps, self.batch)
        label = rng.integers(len(classes), size=shape)
        return {"image": classes[label] * per_class + rng.integers(per_class, size=shape), "label": label}

    def loss(self, minibatch: Mapping[str, Tensor]) -> MinibatchLoss:
        """Return the summed cross-entropy on one minibatch per run."""
        images = self.pool.gather(minibatch["image"])
        return MinibatchLoss(self.net, partial(cross_entropy, reduction="sum"), images, minibatch["label"])


def with_new_head(phi: Params, family: FewShot, seeds: list[int]) -> Params:
    """Return pre-trained weights with the dense layer of a new N-way network, sampled anew for each run.

    Args:
        phi: the pre-trained weights of R runs.
        family: the tasks to fine-tune on.
        seeds: the seed of each run.
    """
    fresh = [family.initialize(seed) for seed in seeds]
    heads = {name: torch.cat([run[name] for run in fresh]) for name in HEAD}
    return {name: heads[name].to(value.device) if name in heads else value for name, value in phi.items()}
