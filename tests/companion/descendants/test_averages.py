"""Descendants that average weights are Reptile, as this book trains it, with something named changed."""

import pytest
import torch

from companion.descendants import averages, averaging
from companion.descendants.diloco import AdamW, with_pytorch
from companion.descendants.found import ALPHA, EPSILON, Found
from companion.descendants.rounds import distance, partition, reptile, rounds_of
from companion.expansion.problems import quadratic_problem, sine_problem
from companion.expansion.remainders import order_of
from metalib.errors import InputError
from metalib.inner import adapt
from metalib.optimizers import SGD, Nesterov
from metalib.params import add_scaled, norm, subtract
from metalib.theory.taylor import predicted_coefficients
from metalib.training.outer_optimizers import OuterOptimizer
from tests.tolerances import ROUNDOFF, SLOPE

PROBLEM = sine_problem(tasks=3)
PHI = PROBLEM.phi


def assert_same(found: Found) -> None:
    assert found.same
    for name, value in found.same.items():
        assert abs(value) < ROUNDOFF, name


def test_lookahead_is_reptile_on_one_task():
    assert_same(averages.lookahead())


def test_lookahead_with_another_slow_step_or_period_is_another_method():
    dealt = rounds_of(PROBLEM, 2, workers=1, k=4)
    stream = [loss for workers in dealt for loss in workers[0]]
    ours = reptile(dealt, PHI, EPSILON, SGD(ALPHA))
    for k, slow_step in ((4, 0.6), (2, EPSILON)):
        theirs = averaging.lookahead(stream, PHI, k, slow_step, SGD(ALPHA))
        assert distance(ours, theirs, PHI) > 0.01


def test_simu_parallel_sgd_is_one_outer_step_of_batched_reptile():
    assert_same(averages.parallel_sgd())


def test_fedavg_is_batched_reptile_whose_tasks_are_drawn_by_their_data():
    found = averages.federated_averaging()
    assert_same(found)
    assert min(found.apart.values()) > 0.1, "what the weights change is no roundoff"


def test_what_fedavg_adds_to_equal_weights_is_the_displacements_times_the_excess_of_data():
    data = (1, 2, 5)
    dealt = rounds_of(PROBLEM, 1, workers=3, k=4)
    expected = reptile(dealt, PHI, 1.0, SGD(ALPHA))
    for losses, count in zip(dealt[0], data, strict=True):
        excess = count / sum(data) - 1 / len(data)
        expected = add_scaled(expected, subtract(adapt(losses, PHI, SGD(ALPHA)), PHI), excess)
    fedavg = averaging.federated_averaging(dealt, PHI, ALPHA, data)
    assert distance(fedavg, expected, PHI) < ROUNDOFF


def test_local_sgd_is_synchronous_sgd_at_one_step_and_differs_by_a_covariance_at_two():
    found = averages.local_sgd()
    assert_same(found)
    assert min(found.apart.values()) > 1e-4


def test_on_a_network_local_and_synchronous_sgd_part_in_the_second_order():
    alphas, gaps = [0.004 * 2.0**-i for i in range(5)], []
    dealt = rounds_of(PROBLEM, 1, workers=3, k=4)
    for alpha in alphas:
        local = reptile(dealt, PHI, 1.0, SGD(alpha))
        gaps.append(float(norm(subtract(local, averaging.synchronous_sgd(dealt, PHI, alpha)))))
    assert abs(order_of(alphas, gaps) - 2.0) < SLOPE


def test_workers_of_one_data_set_meet_every_minibatch_once():
    round_ = partition(PROBLEM, 4)
    inputs = [loss.inputs for losses in round_ for loss in losses]
    assert len(round_) == 4
    assert len({tuple(x.flatten().tolist()) for x in inputs}) == 8


def test_diloco_is_reptile_with_adamw_inside_and_nesterov_momentum_outside():
    found = averages.diloco()
    assert_same(found)
    assert min(found.apart.values()) > 0.01


@pytest.mark.parametrize("wrong", [{"momentum": 0.8}, {"outer_step": 0.6}])
def test_diloco_with_other_outer_settings_is_another_training(wrong):
    dealt = rounds_of(PROBLEM, 3, workers=2, k=3)
    outer = OuterOptimizer(Nesterov(1.0), per_alpha=False)
    ours = reptile(dealt, PHI, 0.7, AdamW(0.002), outer)
    assert distance(ours, with_pytorch(dealt, PHI, 0.002, **wrong), PHI) > 0.01


def test_a_single_worker_that_keeps_its_moments_is_reptile_that_carries_them():
    dealt = rounds_of(PROBLEM, 3, workers=1, k=3)
    outer = OuterOptimizer(Nesterov(1.0), per_alpha=False)
    ours = reptile(dealt, PHI, 0.7, AdamW(0.002, carried=True), outer)
    assert distance(ours, with_pytorch(dealt, PHI, 0.002, fresh=False), PHI) < ROUNDOFF


def test_optimizers_of_diloco_turn_down_what_makes_no_sense():
    with pytest.raises(InputError, match="decay is -1"):
        AdamW(0.1, decay=-1.0)
    with pytest.raises(InputError, match="alpha is 0"):
        AdamW(0.0)


def test_the_mean_of_iterates_is_a_weighted_sum_of_inner_gradients():
    assert_same(averages.averaged_iterates())


@pytest.mark.parametrize("k", range(2, 9))
def test_averaging_iterates_holds_two_thirds_of_reptiles_avg_grad_inner(k):
    swa = predicted_coefficients(averaging.swa_weights(k), 1.0).ratio
    assert swa == pytest.approx((k - 1) / 3, rel=ROUNDOFF)
    assert swa == pytest.approx(2 / 3 * predicted_coefficients((1.0,) * k, 1.0).ratio, rel=ROUNDOFF)


def test_enumeration_recovers_that_ratio_the_better_the_smaller_alpha():
    errors = [
        abs(next(iter(averages.averaged_iterates(alpha=alpha).numbers.values())) - 1.0)
        for alpha in (2.0**-9, 2.0**-10, 2.0**-11)
    ]
    assert errors[0] < 0.002
    assert errors[1] == pytest.approx(errors[0] / 2, rel=0.02)
    assert errors[2] == pytest.approx(errors[1] / 2, rel=0.02)


def test_a_uniform_soup_is_one_outer_step_of_batched_reptile():
    assert_same(averages.soup())


def test_reptile_here_is_the_interpolation_of_algorithm_1():
    problem = quadratic_problem()
    losses = rounds_of(problem, 1, workers=1, k=3)
    adapted = adapt(losses[0][0], problem.phi, SGD(ALPHA))
    by_hand = {name: 0.7 * w + 0.3 * adapted[name] for name, w in problem.phi.items()}
    torch.testing.assert_close(reptile(losses, problem.phi, 0.3, SGD(ALPHA)), by_hand, rtol=ROUNDOFF, atol=0)
