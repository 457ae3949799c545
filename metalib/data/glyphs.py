"""Glyphs: some 650 letters of six scripts, embedded here for machines without Omniglot.

A class is a letter, 20 times, in the fonts that matplotlib ships and slightly distorted. The arrays have
Omniglot's shape and meaning (28×28 pixels, ink 0, paper 1), but the task is another: what is measured here
says nothing about accuracies on Omniglot. `companion.glyphs.rendering` made the file, and makes it again.
"""

from __future__ import annotations

from functools import lru_cache
from importlib import resources

import numpy as np

from metalib.data.classes import ClassPool

FILE = "glyphs.npz"
SIZE = 28
RENDITIONS = 20
TRAIN_SHARE = 0.74
"""Training classes as a share of all, as in the authors' split of Omniglot (1,200 of 1,623)."""


def glyphs() -> ClassPool:
    """Return the pool of letters: 20 images of 28×28 pixels per class, values 0 (ink) and 1 (paper)."""
    images = np.unpackbits(_embedded()["pixels"], axis=-1, count=SIZE * SIZE)
    images = images.reshape(-1, RENDITIONS, SIZE, SIZE, 1)
    return ClassPool("Glyphs", images, train_classes=int(TRAIN_SHARE * len(images)))


def letters() -> str:
    """Return the letters in the order of their classes."""
    return "".join(map(chr, _embedded()["letters"]))


@lru_cache(maxsize=1)
def _embedded() -> dict[str, np.ndarray]:
    with resources.files(__package__).joinpath(FILE).open("rb") as file, np.load(file) as arrays:
        return {name: arrays[name] for name in arrays.files}
