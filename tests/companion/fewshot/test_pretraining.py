"""Pre-training: one task of all training classes."""

import numpy as np
import pytest
import torch

from companion.fewshot.pretraining import Pretraining
from metalib.data.classes import ClassPool
from metalib.errors import InputError


def small_pool() -> ClassPool:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 2, (16, 20, 28, 28, 1)).astype(np.uint8)
    return ClassPool("noise", images, train_classes=8)


def test_pretraining_tells_all_training_classes_apart():
    family = Pretraining(small_pool(), batch=40)
    sampled = family.sample(seed=0, block=0, tasks=1, steps=2)
    classes, labels = sampled["image"] // 20, sampled["label"]
    assert (classes == family.pool.split(0).train[labels]).all()
    assert set(labels.ravel()) == set(range(4 * 8))
    loss = family.loss({name: torch.from_numpy(array[:3, 0, 1]) for name, array in sampled.items()})
    phi = {name: value.repeat(3, *[1] * (value.ndim - 1)) for name, value in family.initialize(0).items()}
    assert loss.model(phi, loss.inputs).shape == (3, 40, 32)
    with pytest.raises(InputError, match="at least 2 images"):
        Pretraining(small_pool(), batch=1)
