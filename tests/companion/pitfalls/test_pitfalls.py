"""What is called wrong is wrong, and what stands beside it is right."""

import numpy as np
import pandas as pd
import pytest
import torch

from companion.expansion.problems import cubic_problem
from companion.expansion.remainders import maml_by_autograd
from companion.pitfalls.data import leaked, scatter, split_after_rotating
from companion.pitfalls.optimizers import AliasedAdam
from companion.pitfalls.updates import detached_maml, divided_by_steps
from metalib.data.classes import ClassPool
from metalib.inner import inner_loop
from metalib.meta_gradients import fomaml, maml
from metalib.optimizers import SGD, Adam
from metalib.params import Params, norm, subtract
from tests.tolerances import EXACT, ROUNDOFF

PROBLEM = cubic_problem()


def distance(one: Params, other: Params) -> float:
    return (norm(subtract(one, other)) / norm(other)).item()


def test_dividing_by_k_is_right_only_if_there_are_as_many_tasks_as_steps():
    phi = {"w": torch.zeros(1, 3, dtype=torch.float64)}
    ends = [{"w": torch.full((1, 3), float(i), dtype=torch.float64)} for i in range(1, 5)]
    mean = {"w": torch.full((1, 3), 0.1 * 2.5, dtype=torch.float64)}
    assert distance(divided_by_steps(phi, ends, k=4, epsilon=0.1), mean) < EXACT
    assert distance(divided_by_steps(phi, ends, k=8, epsilon=0.1), mean) == pytest.approx(0.5)


def test_maml_without_a_graph_is_first_order_maml():
    losses, alpha = PROBLEM.losses(4), 0.05
    wrong, run = detached_maml(losses, PROBLEM.phi, alpha), inner_loop(losses, PROBLEM.phi, SGD(alpha))
    assert distance(wrong, fomaml(run)) < ROUNDOFF
    assert distance(wrong, maml_by_autograd(losses, PROBLEM.phi, alpha)) > 0.01
    assert distance(maml(run), maml_by_autograd(losses, PROBLEM.phi, alpha)) < ROUNDOFF


@pytest.mark.parametrize(("optimizer", "kept"), [(Adam(0.001), True), (AliasedAdam(0.001), False)])
def test_only_the_aliased_optimizer_changes_the_state_that_it_is_given(optimizer, kept):
    state = optimizer.initial_state(PROBLEM.phi)
    before = {name: value.clone() for name, value in state.moments["second"].items()}
    first = inner_loop(PROBLEM.losses(3), PROBLEM.phi, optimizer, state).phi[-1]
    again = inner_loop(PROBLEM.losses(3), PROBLEM.phi, optimizer, state).phi[-1]
    assert all(torch.equal(before[name], value) for name, value in state.moments["second"].items()) is kept
    assert (distance(first, again) == 0.0) is kept


def test_a_split_before_rotation_leaks_nothing_and_one_after_it_nearly_everything():
    pool = ClassPool("small", np.zeros((100, 1, 2, 2, 1), np.uint8), train_classes=74, rotate_test=True)
    assert leaked(pool.split(0), 100) == 0.0
    wrong = split_after_rotating(100, 74, seed=0)
    assert sorted([*wrong.train, *wrong.test]) == list(range(400))
    assert leaked(wrong, 100) > 0.9


def test_the_scatter_of_independent_measurements_falls_with_the_root_of_the_window():
    rng = np.random.default_rng(0)
    history = pd.DataFrame(
        {"curve": "a", "seed": 0, "iteration": range(4000), "inductive": rng.normal(size=4000)}
    )
    single, smooth = scatter(history, window=16)
    assert single == pytest.approx(1.0, rel=0.1)
    assert smooth == pytest.approx(0.25, rel=0.2)
