"""Blocks: how many tasks stand side by side, and that it does not matter to what is learned."""

from functools import partial
from threading import Event, current_thread

import pytest
import torch

from metalib.memory import WORKING_SET
from metalib.tasks.sine import Sine
from metalib.training.config import TrainingConfig
from metalib.training.loop import train
from metalib.training.minibatches import ahead, blocks, sample_block, tasks_at_once
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


def test_the_next_block_is_sampled_while_one_is_at_work_on_the_last():
    sampled = {number: Event() for number in range(3, 6)}
    threads = []

    def sample(number):
        sampled[number].set()
        threads.append(current_thread())
        return number

    for number in ahead(sample, range(3, 6)):
        assert number == 5 or sampled[number + 1].wait(timeout=60), "it is sampled before it is asked for"
        assert number + 2 not in sampled or not sampled[number + 2].is_set(), "and the one after it is not"
    assert len(threads) == 3, "nothing is sampled that is not needed"
    assert threads[1] is threads[2] is not current_thread()


def test_blocks_that_are_sampled_ahead_are_the_same_blocks():
    sample = partial(sample_block, DOUBLE, [TrainingConfig(seed=1), TrainingConfig(seed=2)], width=1)
    numbers = range(2, 5)
    for one, other in zip(blocks(sample, numbers, CPU), ahead(sample, numbers), strict=True):
        assert all(torch.equal(value, other[name]) for name, value in one.items())
    assert not list(ahead(sample, range(2, 2)))


def test_an_error_in_a_block_that_is_sampled_ahead_is_raised_when_its_turn_comes():
    def sample(number):
        if number:
            raise OSError("no such image")
        return number

    coming = ahead(sample, range(3))
    assert next(coming) == 0
    with pytest.raises(OSError, match="no such image"):
        next(coming)
