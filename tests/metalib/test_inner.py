"""The inner loop and its optimizers."""

import pytest
import torch

from metalib.derivatives import gradient
from metalib.errors import InputError
from metalib.inner import adapt, inner_loop
from metalib.optimizers import SGD, Adam
from metalib.params import add_scaled, scale, subtract
from tests.oracles import flatten, relative_error, sine_losses, unflatten
from tests.tolerances import EXACT, ROUNDOFF

ALPHA = 0.02


def test_each_gradient_is_taken_where_the_previous_step_ended():
    losses, phi = sine_losses(4)
    trajectory = inner_loop(losses, phi, SGD(ALPHA))
    assert trajectory.k == 4
    assert len(trajectory.phi) == 5
    current = phi
    for i, loss in enumerate(losses):
        g = gradient(loss, current)
        assert relative_error(trajectory.g[i], g) < EXACT
        current = add_scaled(current, g, -ALPHA)
        assert relative_error(trajectory.phi[i + 1], current) < EXACT


def test_the_displacement_of_sgd_is_alpha_times_the_gradient():
    losses, phi = sine_losses(3)
    trajectory = inner_loop(losses, phi, SGD(ALPHA))
    for i in (1, 2, 3):
        assert relative_error(trajectory.displacement(i), scale(trajectory.g[i - 1], ALPHA)) < ROUNDOFF


@pytest.mark.parametrize("beta1", [0.0, 0.5, 0.9])
def test_adam_takes_the_steps_of_torch_optim_adam(beta1):
    losses, phi = sine_losses(20)
    leaf = torch.nn.Parameter(flatten(phi))
    reference = torch.optim.Adam([leaf], lr=1e-3, betas=(beta1, 0.999), eps=1e-8)
    for loss in losses:
        reference.zero_grad()
        loss(unflatten(leaf, phi)).sum().backward()
        reference.step()
    ours = adapt(losses, phi, Adam(1e-3, beta1))
    moved, expected = flatten(subtract(ours, phi)), leaf.detach() - flatten(phi)
    assert float((moved - expected).norm() / expected.norm()) < ROUNDOFF


def test_adam_goes_on_from_its_moments_as_if_there_had_been_no_break():
    losses, phi = sine_losses(6)
    whole = inner_loop(losses, phi, Adam(1e-3))
    first = inner_loop(losses[:3], phi, Adam(1e-3))
    second = inner_loop(losses[3:], first.phi[-1], Adam(1e-3), first.state)
    assert torch.equal(flatten(second.phi[-1]), flatten(whole.phi[-1]))


def test_stepping_leaves_the_moments_it_started_from_untouched():
    losses, phi = sine_losses(4)
    state = inner_loop(losses[:2], phi, Adam(1e-3, 0.9)).state
    before = flatten(state.moments["first"]).clone(), flatten(state.moments["second"]).clone(), state.steps
    inner_loop(losses[2:], phi, Adam(1e-3, 0.9), state)
    assert torch.equal(flatten(state.moments["first"]), before[0])
    assert torch.equal(flatten(state.moments["second"]), before[1])
    assert state.steps == before[2]


def test_one_alpha_per_run_steps_every_run_with_its_own():
    losses, phi = sine_losses(3, runs=2)
    alphas = torch.tensor([0.01, 0.05], dtype=torch.float64)
    both = inner_loop(losses, phi, SGD(alphas))
    for r, alpha in enumerate(alphas.tolist()):
        row = slice(r, r + 1)
        alone = inner_loop([loss.select(row) for loss in losses], both.select(row).phi[0], SGD(alpha))
        assert relative_error(both.select(row).phi[-1], alone.phi[-1]) < EXACT


def test_no_inner_step_is_an_error_that_says_so():
    _, phi = sine_losses(1)
    with pytest.raises(InputError, match="k = 0 losses; it needs k >= 1"):
        inner_loop([], phi, SGD(ALPHA))


@pytest.mark.parametrize("alpha", [0.0, -0.1, float("nan")])
def test_a_step_size_that_is_not_positive_is_an_error(alpha):
    with pytest.raises(InputError, match="must be greater than 0"):
        SGD(alpha)
    with pytest.raises(InputError, match="must be greater than 0"):
        Adam(alpha)


def test_a_decay_outside_its_range_is_an_error():
    with pytest.raises(InputError, match=r"beta1 is 1.0; a decay needs 0 <= beta1 < 1"):
        Adam(1e-3, beta1=1.0)


def test_the_chosen_runs_of_an_adam_trajectory_keep_their_moments():
    losses, phi = sine_losses(3, runs=2)
    second = inner_loop(losses, phi, Adam(1e-3)).select(slice(1, 2))
    alone = inner_loop([loss.select(slice(1, 2)) for loss in losses], second.phi[0], Adam(1e-3))
    assert relative_error(second.state.moments["second"], alone.state.moments["second"]) < EXACT
