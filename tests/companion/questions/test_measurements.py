"""What the page of questions measures is what it says: checked where the answer is known."""

import math

import numpy as np
import pytest
import torch

from companion.expansion.problems import sine_pool
from companion.questions.measurements import ALPHA, average_of_ends, gradient_noise, second_step
from companion.sine.scores import EVALUATION_SEED
from metalib.derivatives import MinibatchLoss, gradient, mean_squared_error
from metalib.evaluation.regression import adaptation_errors
from metalib.meta_gradients import reptile
from metalib.params import add_scaled, norm
from metalib.rng import generator
from metalib.tasks.sine import Sine, grid, sample_support, sample_tasks
from metalib.theory.expectations import average_run, avg_grad, hessian_gradient_products
from tests.tolerances import ROUNDOFF

PHI = Sine(dtype="float64").initialize(0)


def test_the_term_across_tasks_is_the_mean_over_all_pairs_of_minibatches_of_any_tasks():
    found, pool = second_step(PHI, tasks=3), sine_pool(3, 2, 25)
    pairs = torch.cartesian_prod(torch.arange(6), torch.arange(6))
    every = norm(average_run(hessian_gradient_products(pool, PHI, pairs))).item()
    assert found.other_task == pytest.approx(every, rel=ROUNDOFF)
    assert found.avg_grad == pytest.approx(norm(avg_grad(pool, PHI)).item(), rel=ROUNDOFF)


def test_with_a_single_task_both_terms_are_the_same():
    found = second_step(PHI, tasks=1)
    assert found.same_task == pytest.approx(found.other_task, rel=ROUNDOFF)


def test_more_steps_solve_the_tasks_better():
    few, many = (average_of_ends(PHI, steps, tasks=4, evaluation_tasks=4) for steps in (5, 200))
    assert many.loss < few.loss


def test_the_average_of_a_single_task_is_its_own_weights():
    wave, x = sample_tasks(generator(0, "averaged"), 1), grid()[None]
    points, truth = (torch.from_numpy(values)[..., None] for values in (x, wave(x)))
    loss = MinibatchLoss(Sine(dtype="float64").model, mean_squared_error, points, truth)
    end = PHI
    for _ in range(7):
        end = add_scaled(end, gradient(loss, end), -ALPHA)
    errors = adaptation_errors(loss.model, end, sample_support(EVALUATION_SEED, 4), ALPHA, 10)
    found = average_of_ends(PHI, 7, tasks=1, evaluation_tasks=4)
    assert found.loss == pytest.approx(loss(end).item(), rel=ROUNDOFF)
    assert found.adapted == pytest.approx(errors[0, :, -1].mean(), rel=ROUNDOFF)


def test_without_steps_every_average_is_the_start():
    same = average_of_ends(PHI, 0, tasks=3, evaluation_tasks=4)
    assert same.adapted == average_of_ends(PHI, 0, tasks=5, evaluation_tasks=4).adapted


def test_with_one_inner_step_all_meta_gradients_are_equally_noisy():
    rows = gradient_noise(PHI, (1,), tasks=30)
    assert rows.length.max() == pytest.approx(rows.length.min(), rel=ROUNDOFF)
    assert rows.tasks_needed.max() == pytest.approx(rows.tasks_needed.min(), rel=ROUNDOFF)


def test_the_noise_of_a_mean_over_the_tasks_needed_equals_its_signal():
    """By the textbook: the variance of single tasks, and the squared mean without what noise adds to it."""
    tasks, alpha = 400, ALPHA
    pool = sine_pool(tasks, 5, 10, seed=0)
    run = pool.run(PHI, alpha, torch.arange(tasks)[:, None] * 5 + torch.arange(2))
    g = torch.cat([value.flatten(1) for value in reptile(run).values()], 1).numpy()
    noise = g.var(0, ddof=1).sum()
    signal = np.square(g.mean(0)).sum() - noise / tasks
    rows = gradient_noise(PHI, (2,), tasks, seed=0).set_index("method")
    assert rows.tasks_needed["Reptile"] == pytest.approx(noise / signal, rel=1e-9)


def test_another_sample_needs_about_as_many_tasks():
    """Within a factor of two, where the signal is clear."""
    one, other = (gradient_noise(PHI, (2,), tasks=400, seed=seed).set_index("method") for seed in (0, 1))
    ratio = one.tasks_needed["Reptile"] / other.tasks_needed["Reptile"]
    assert abs(math.log2(ratio)) < 1
