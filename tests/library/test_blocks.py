"""Blocks: how many tasks stand side by side, and that it does not matter to what is learned."""

import pytest
import torch

from metalib import blocks
from metalib.config import TrainingConfig
from metalib.tasks.sine import Sine
from metalib.training import train
from tests.oracles import relative_error
from tests.tolerances import ROUNDOFF

DOUBLE = Sine(dtype="float64")


@pytest.mark.parametrize("algorithm", ["reptile", "maml"])
def test_tasks_that_do_not_fit_the_cache_train_in_parts_to_the_same_end(algorithm, monkeypatch):
    configs = [
        TrainingConfig(algorithm=algorithm, alpha=alpha, tasks=6, iterations=20, k=2)
        for alpha in (0.01, 0.02)
    ]
    whole = train(DOUBLE, configs).phi
    for parts in (2, 3, 6):
        weights = sum(value.numel() * value.element_size() for value in whole.values())
        monkeypatch.setattr(blocks, "CACHE_BYTES", weights * (6 // parts))
        assert blocks.tasks_at_once(configs, whole, torch.device("cpu")) == 6 // parts
        assert relative_error(train(DOUBLE, configs).phi, whole) < ROUNDOFF


def test_as_many_tasks_stand_side_by_side_as_divide_them_and_fit():
    config = TrainingConfig(tasks=32)
    small = {"w": torch.zeros(1, 1000)}
    large = {"w": torch.zeros(3, 113_221)}
    assert blocks.tasks_at_once([config], small, torch.device("cpu")) == 32
    assert blocks.tasks_at_once([config] * 3, large, torch.device("cpu")) == 4, (
        "6 would fit, but do not divide 32"
    )
    assert blocks.tasks_at_once([TrainingConfig(tasks=32, inner="adam")], small, torch.device("cpu")) == 1
