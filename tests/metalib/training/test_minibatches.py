"""Blocks: how many tasks stand side by side, and that it does not matter to what is learned."""

import pytest
import torch

from metalib.memory import WORKING_SET
from metalib.tasks.sine import Sine
from metalib.training.config import TrainingConfig
from metalib.training.loop import train
from metalib.training.minibatches import tasks_at_once
from tests.oracles import relative_error
from tests.tolerances import ROUNDOFF

DOUBLE = Sine(dtype="float64")
CPU = torch.device("cpu")


@pytest.mark.parametrize("algorithm", ["reptile", "maml"])
def test_tasks_that_do_not_fit_the_cache_train_in_parts_to_the_same_end(algorithm, monkeypatch):
    configs = [
        TrainingConfig(algorithm=algorithm, alpha=alpha, tasks=6, iterations=20, k=2)
        for alpha in (0.01, 0.02)
    ]
    whole = train(DOUBLE, configs).phi
    for parts in (2, 3, 6):
        monkeypatch.setitem(WORKING_SET, "cpu", len(configs) * (6 // parts) * DOUBLE.footprint)
        assert tasks_at_once(DOUBLE, configs, CPU) == 6 // parts
        assert relative_error(train(DOUBLE, configs).phi, whole) < ROUNDOFF


def test_as_many_tasks_stand_side_by_side_as_divide_them_and_fit(monkeypatch):
    config = TrainingConfig(tasks=32)
    assert tasks_at_once(DOUBLE, [config], CPU) == 32
    monkeypatch.setitem(WORKING_SET, "cpu", 3 * 6 * DOUBLE.footprint)
    assert tasks_at_once(DOUBLE, [config] * 3, CPU) == 4, "6 of each run would fit, but do not divide 32"
    assert tasks_at_once(DOUBLE, [config], CPU) == 16, "a run alone has the room of three"
    monkeypatch.setitem(WORKING_SET, "cpu", 1)
    assert tasks_at_once(DOUBLE, [config], CPU) == 1, "one at a time is always possible"


def test_tasks_follow_one_another_where_the_optimizer_carries_its_state_on():
    assert tasks_at_once(DOUBLE, [TrainingConfig(tasks=32, inner="adam")], CPU) == 1
    assert tasks_at_once(DOUBLE, [TrainingConfig(tasks=32, inner="adam-fresh")], CPU) == 32
