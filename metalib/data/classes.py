"""A pool of classes with their images, divided into training and test classes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from metalib.errors import require
from metalib.rng import generator

if TYPE_CHECKING:
    from jaxtyping import Float, Int, UInt8

QUARTER_TURNS = 4


@dataclass(frozen=True)
class Split:
    """Which classes are trained on and which are kept for the test, by number; turned ones count apart."""

    train: Int[np.ndarray, " train"]
    test: Int[np.ndarray, " test"]


@dataclass(frozen=True, eq=False)
class ClassPool:
    """Classes with the same number of images each.

    Every class exists in four orientations: class c turned by r quarter turns (counter-clockwise) has the
    number r · classes + c.

    Attributes:
        name: what the pool is called in messages and results.
        images: shape [classes, images, height, width, channels].
        maximum: the value that becomes 1.0; pixels are divided by it.
        fixed: the split of the classes before rotation, if it is the same for every seed.
        train_classes: without a fixed split, how many classes the seed assigns to training.
        rotate_train: add the quarter turns of training classes as classes of their own.
        rotate_test: likewise for test classes.
        invert: turn pixels v into 1 − v.
        digest: hash of the images, and of the fixed split if there is one; set by the constructor.
    """

    name: str
    images: UInt8[np.ndarray, "classes images height width channels"] = field(repr=False)
    maximum: int = 1
    fixed: Split | None = field(default=None, repr=False)
    train_classes: int = 0
    rotate_train: bool = True
    rotate_test: bool = False
    invert: bool = False
    digest: str = field(init=False)

    def __post_init__(self) -> None:
        require(
            self.images.ndim == 5 and self.images.dtype == np.uint8,
            f"images of {self.name} have shape {self.images.shape} and type {self.images.dtype}; "
            "expected [classes, images, height, width, channels] of uint8",
        )
        require(
            self.fixed is not None or 1 <= self.train_classes < len(self.images),
            f"train_classes is {self.train_classes}; of {len(self.images)} classes, 1 to "
            f"{len(self.images) - 1} can be for training",
        )
        content = hashlib.sha256(np.ascontiguousarray(self.images).reshape(-1).data)  # copies nothing
        if self.fixed is not None:
            content.update(self.fixed.train.tobytes() + b"|" + self.fixed.test.tobytes())
        object.__setattr__(self, "digest", content.hexdigest()[:16])

    def as_dict(self) -> dict[str, Any]:
        """Return everything that decides images and split, as JSON can hold it; `digest` stands for both."""
        names = ("name", "maximum", "train_classes", "rotate_train", "rotate_test", "invert", "digest")
        return {"kind": "ClassPool", **{name: getattr(self, name) for name in names}}

    def __eq__(self, other: object) -> bool:
        """Say whether two pools hold the same images in the same way, without comparing pixels."""
        return isinstance(other, ClassPool) and self.as_dict() == other.as_dict()

    def __hash__(self) -> int:
        """Return the same number for equal pools, so that a copy of a pool shares what is cached for it."""
        return hash(tuple(self.as_dict().values()))

    def split(self, seed: int) -> Split:
        """Return the training and test classes of a run, rotations included where they are asked for."""
        base = self.fixed
        if base is None:
            order = generator(seed, "split").permutation(len(self.images))
            base = Split(order[: self.train_classes], order[self.train_classes :])
        return Split(
            self._rotated(base.train) if self.rotate_train else base.train,
            self._rotated(base.test) if self.rotate_test else base.test,
        )

    def _rotated(self, classes: np.ndarray) -> np.ndarray:
        turns = np.arange(QUARTER_TURNS)[:, None] * len(self.images)
        return (turns + classes).ravel()

    def gather(self, place: Int[Tensor, "*shape"]) -> Float[Tensor, "*shape height width channels"]:
        """Return images as floating-point numbers from 0 to 1, on the device of `place`."""
        values = _on_device(self, place.device)[place].float() / self.maximum
        return 1.0 - values if self.invert else values


@lru_cache(maxsize=4)
def _on_device(pool: ClassPool, device: torch.device) -> UInt8[Tensor, "places height width channels"]:
    """Return all images, in all orientations that occur, as one tensor that stays on the device."""
    turns = QUARTER_TURNS if pool.rotate_train or pool.rotate_test else 1
    if turns == 1:  # no second copy of what may be gigabytes, unless it is read-only, as in a worker process
        turned = np.require(pool.images, requirements=["C", "W"])
    else:
        turned = np.concatenate([np.rot90(pool.images, turn, axes=(2, 3)) for turn in range(turns)])
    return torch.from_numpy(turned).flatten(0, 1).to(device)
