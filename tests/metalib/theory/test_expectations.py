"""Pools, draws, and means over them."""

import math

import pytest
import torch

from companion.expansion.polynomial import sample_point, sample_polynomials
from metalib.errors import InputError
from metalib.memory import WORKING_SET, bytes_of
from metalib.meta_gradients import fomaml, reptile
from metalib.params import total
from metalib.theory.expectations import (
    Pool,
    average_run,
    avg_grad,
    avg_grad_inner,
    expectation,
    expected_gradients,
    hessian_gradient_products,
)
from tests.tolerances import EXACT, ROUNDOFF, SIGMAS

TASKS, MINIBATCHES, DIMENSION = 2, 3, 3


def pool():
    return Pool(sample_polynomials(0, TASKS, MINIBATCHES, DIMENSION), TASKS, MINIBATCHES)


def phi():
    return sample_point(0, DIMENSION)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_ordered_draws_are_all_there_once(k):
    with_replacement = pool().ordered_draws(k)
    assert with_replacement.shape == (TASKS * MINIBATCHES**k, k)
    assert len(with_replacement.unique(dim=0)) == len(with_replacement)
    without = pool().ordered_draws(k, replacement=False)
    assert without.shape == (TASKS * math.perm(MINIBATCHES, k), k)
    assert all(len(row.unique()) == k for row in without)


def test_all_minibatches_of_a_draw_come_from_one_task():
    for draws in (pool().ordered_draws(3), pool().repeated_draws(3), pool().sampled_draws(3, 50, seed=0)):
        task = draws // MINIBATCHES
        assert (task == task[:, :1]).all()
        assert set(task.flatten().tolist()) == set(range(TASKS))


def test_repeated_draws_hold_one_minibatch_each():
    draws = pool().repeated_draws(4)
    assert (draws == draws[:, :1]).all()
    assert draws[:, 0].tolist() == list(range(TASKS * MINIBATCHES))


@pytest.mark.parametrize("replacement", [True, False])
def test_sampled_draws_are_uniform_over_the_ordered_draws(replacement):
    count = 20_000
    draws = pool().sampled_draws(2, count, seed=0, replacement=replacement)
    rows, counts = draws.unique(dim=0, return_counts=True)
    cells = len(pool().ordered_draws(2, replacement))
    assert len(rows) == cells
    error = (count * (1 / cells) * (1 - 1 / cells)) ** 0.5
    assert (counts - count / cells).abs().max() < SIGMAS * error


def test_run_number_r_is_draw_number_r():
    draws = pool().ordered_draws(2)
    run = pool().run(phi(), 0.1, draws)
    losses = pool().losses
    for r in (0, 5, 17):
        first = losses.select(draws[r, :1]).gradient(phi())["w"]
        torch.testing.assert_close(run.g[0]["w"][r : r + 1], first)
        second = losses.select(draws[r, 1:]).gradient({"w": phi()["w"] - 0.1 * first})["w"]
        torch.testing.assert_close(run.g[1]["w"][r : r + 1], second)


def test_expectation_is_the_mean_over_draws_whatever_the_chunks(monkeypatch):
    draws = pool().ordered_draws(3)
    whole = reptile(pool().run(phi(), 0.1, draws))["w"].mean(0, keepdim=True)
    monkeypatch.setitem(WORKING_SET, "cpu", 7 * 7 * bytes_of(phi()))
    torch.testing.assert_close(
        expectation(reptile, pool(), phi(), 0.1, draws)["w"], whole, rtol=EXACT, atol=EXACT
    )
    gradients = expected_gradients(pool(), phi(), 0.1, draws)
    torch.testing.assert_close(total(gradients)["w"], whole, rtol=EXACT, atol=EXACT)


def test_avg_grad_matches_closed_form():
    losses = pool().losses
    everywhere = {"w": phi()["w"].expand(TASKS * MINIBATCHES, -1)}
    expected = losses.gradient(everywhere)["w"].mean(0, keepdim=True)
    torch.testing.assert_close(avg_grad(pool(), phi())["w"], expected, rtol=EXACT, atol=EXACT)


@pytest.mark.parametrize("replacement", [True, False])
def test_avg_grad_inner_matches_a_literal_double_sum(replacement):
    losses = pool().losses
    everywhere = {"w": phi()["w"].expand(TASKS * MINIBATCHES, -1)}
    g, H = losses.gradient(everywhere)["w"], losses.hessian(everywhere)
    terms = [
        H[task * MINIBATCHES + b] @ g[task * MINIBATCHES + a]
        for task in range(TASKS)
        for a in range(MINIBATCHES)
        for b in range(MINIBATCHES)
        if replacement or a != b
    ]
    found = avg_grad_inner(pool(), phi(), replacement)["w"][0]
    torch.testing.assert_close(found, torch.stack(terms).mean(0), rtol=ROUNDOFF, atol=ROUNDOFF)


def estimate(samples):
    """The mean over independent runs and, weight by weight, its standard error."""
    runs = len(samples["w"])
    return average_run(samples), {"w": samples["w"].std(0, keepdim=True) / runs**0.5}


def test_sampling_agrees_with_enumeration_within_its_standard_error():
    draws = pool().sampled_draws(2, 4000, seed=1)
    mean, error = estimate(hessian_gradient_products(pool(), phi(), draws))
    distance = (mean["w"] - avg_grad_inner(pool(), phi())["w"]).abs()
    assert (distance < SIGMAS * error["w"]).all()
    assert (distance > 0).all()


def test_estimates_from_single_draws_scatter_around_the_expectation():
    draws = pool().sampled_draws(3, 4000, seed=2)
    mean, error = estimate(fomaml(pool().run(phi(), 0.05, draws)))
    exact = expectation(fomaml, pool(), phi(), 0.05, pool().ordered_draws(3))
    assert ((mean["w"] - exact["w"]).abs() < SIGMAS * error["w"]).all()


def test_more_different_minibatches_than_there_are_is_refused():
    with pytest.raises(InputError, match="k = 4 different minibatches from a pool of 3"):
        pool().ordered_draws(4, replacement=False)
    with pytest.raises(InputError, match="k = 4 different minibatches from a pool of 3"):
        pool().sampled_draws(4, 1, seed=0, replacement=False)
    with pytest.raises(InputError, match="k is 0"):
        pool().ordered_draws(0)
