"""Adaptation and scoring against a loop over tasks."""

import numpy as np
import pytest
import torch

from metalib.derivatives import gradient
from metalib.errors import InputError
from metalib.evaluation.regression import adaptation_errors, predictions
from metalib.memory import WORKING_SET
from metalib.params import add_scaled, select
from metalib.tasks.sine import Sine, SineTasks, SupportSet, grid, sample_support

FAMILY = Sine(dtype="float64")
ALPHA = 0.02


def two_runs():
    starts = [FAMILY.initialize(seed) for seed in (0, 1)]
    return {name: torch.cat([start[name] for start in starts]) for name in starts[0]}


def test_tasks_adapted_side_by_side_equal_tasks_adapted_one_by_one():
    support, phi = sample_support(0, 4, points=6), two_runs()
    errors = adaptation_errors(FAMILY.model, phi, support, ALPHA, gradient_steps=3)
    assert errors.shape == (2, 4, 4)
    x = torch.from_numpy(grid())[None, :, None]
    for r in range(2):
        for task in range(4):
            loss = FAMILY.loss(
                {n: torch.from_numpy(getattr(support, n)[task])[None, :, None] for n in ("x", "y")}
            )
            truth = support.tasks.amplitude[task] * np.sin(grid() + support.tasks.phase[task])
            current = select(phi, slice(r, r + 1))
            for step in range(4):
                curve = FAMILY.model(current, x).numpy().ravel()
                np.testing.assert_allclose(errors[r, task, step], np.mean((curve - truth) ** 2), rtol=1e-10)
                current = add_scaled(current, gradient(loss, current), -ALPHA)


def test_more_tasks_than_fit_side_by_side_are_scored_in_order(monkeypatch):
    monkeypatch.setitem(WORKING_SET, "cpu", 20 * FAMILY.footprint)
    count = 20 + 3
    support = sample_support(0, count)
    many = adaptation_errors(FAMILY.model, two_runs(), support, ALPHA, 1)
    assert many.shape == (2, count, 2)
    waves = SineTasks(support.tasks.amplitude[-3:], support.tasks.phase[-3:])
    last = SupportSet(waves, support.x[-3:], support.y[-3:])
    np.testing.assert_allclose(many[:, -3:], adaptation_errors(FAMILY.model, two_runs(), last, ALPHA, 1))


def test_the_error_is_taken_only_where_it_is_asked_for():
    support, phi, right = sample_support(0, 5), two_runs(), grid() > 0
    curves = predictions(FAMILY.model, phi, support, ALPHA, (2,))[:, :, 0]
    truth = support.tasks(np.broadcast_to(grid(), (5, 50)))
    expected = np.square(curves - truth)[..., right].mean(-1)
    errors = adaptation_errors(FAMILY.model, phi, support, ALPHA, 2, right)
    np.testing.assert_allclose(errors[..., 2], expected)


@pytest.mark.parametrize("after", [(10, 1), (1, 1), (-1, 1), ()])
def test_numbers_of_steps_that_do_not_rise_are_an_error(after):
    with pytest.raises(InputError, match="give numbers of steps that rise"):
        predictions(FAMILY.model, two_runs(), sample_support(0, 2), ALPHA, after)


def test_a_negative_number_of_steps_is_an_error():
    with pytest.raises(InputError, match="gradient_steps is -1; it must be at least 0"):
        adaptation_errors(FAMILY.model, two_runs(), sample_support(0, 2), ALPHA, -1)
