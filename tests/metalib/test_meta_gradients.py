"""Meta-gradients against automatic differentiation and against each other."""

import pytest
import torch

from metalib.errors import InputError
from metalib.inner import inner_loop
from metalib.meta_gradients import (
    combination,
    combination_of_displacements,
    fomaml,
    fomaml_weights,
    joint_weights,
    maml,
    reptile,
    reptile_weights,
)
from metalib.methods import JOINT
from metalib.optimizers import SGD, Adam
from metalib.params import scale, select, subtract, total
from tests.oracles import relative_error, sine_losses, unrolled_maml
from tests.tolerances import EXACT, ROUNDOFF

ALPHA = 0.05


@pytest.mark.parametrize("k", range(1, 9))
@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_maml_equals_autograd_through_the_unrolled_loop(k, activation):
    losses, phi = sine_losses(k, seed=k, activation=activation)
    trajectory = inner_loop(losses, phi, SGD(ALPHA))
    assert relative_error(maml(trajectory), unrolled_maml(losses, phi, ALPHA)) < ROUNDOFF


def test_maml_of_a_stack_is_the_maml_of_every_run():
    losses, phi = sine_losses(4, runs=3)
    stacked = maml(inner_loop(losses, phi, SGD(ALPHA)))
    for r in range(3):
        row = slice(r, r + 1)
        alone = unrolled_maml([loss.select(row) for loss in losses], select(phi, row), ALPHA)
        assert relative_error(select(stacked, row), alone) < ROUNDOFF


def test_named_methods_are_combinations_with_their_weights():
    losses, phi = sine_losses(5)
    t = inner_loop(losses, phi, SGD(ALPHA))
    for method, weights, literal in (
        (JOINT.gradient, joint_weights, t.g[0]),
        (fomaml, fomaml_weights, t.g[4]),
        (reptile, reptile_weights, total(t.g)),
    ):
        assert relative_error(method(t), literal) < EXACT
        assert relative_error(combination(t, weights(5)), literal) < EXACT
    assert (
        relative_error(
            combination(t, (1, -2, 0, 0.5, 3)),
            total([scale(g, c) for g, c in zip(t.g, (1, -2, 0, 0.5, 3), strict=True)]),
        )
        < EXACT
    )


def test_weights_per_run_combine_every_run_by_its_own():
    losses, phi = sine_losses(3, runs=2)
    t = inner_loop(losses, phi, SGD(ALPHA))
    rows = torch.tensor([[1.0, 0.0, 0.0], [1.0, 1.0, 1.0]], dtype=torch.float64)
    both = combination(t, rows)
    assert relative_error(select(both, slice(0, 1)), JOINT.gradient(t.select(slice(0, 1)))) < EXACT
    assert relative_error(select(both, slice(1, 2)), reptile(t.select(slice(1, 2)))) < EXACT


@pytest.mark.parametrize("optimizer", [SGD(ALPHA), Adam(1e-3)])
def test_of_some_runs_of_a_stack_each_keeps_its_own_weights(optimizer):
    losses, phi = sine_losses(3, runs=3)
    t = inner_loop(losses, phi, optimizer)
    rows, some = torch.arange(9.0, dtype=torch.float64).view(3, 3), slice(1, 3)
    for combine in (combination, combination_of_displacements):
        found = combine(t, rows, some)
        assert len(next(iter(found.values()))) == 2
        assert relative_error(found, select(combine(t, rows), some)) < EXACT


@pytest.mark.parametrize("optimizer", [SGD(ALPHA), Adam(1e-3)])
def test_reptiles_displacements_add_up_to_the_whole_way(optimizer):
    losses, phi = sine_losses(5)
    t = inner_loop(losses, phi, optimizer)
    way = subtract(t.phi[0], t.phi[-1])
    assert relative_error(combination_of_displacements(t, reptile_weights(5)), way) < ROUNDOFF


def test_fomaml_under_adam_is_the_last_displacement():
    losses, phi = sine_losses(3)
    t = inner_loop(losses, phi, Adam(1e-3))
    last = subtract(t.phi[-2], t.phi[-1])
    assert relative_error(combination_of_displacements(t, fomaml_weights(3)), last) < EXACT


def test_a_wrong_number_of_weights_is_an_error():
    losses, phi = sine_losses(2)
    with pytest.raises(InputError, match="got 3 weights for k = 2 inner gradients"):
        combination(inner_loop(losses, phi, SGD(ALPHA)), (1, 1, 1))


def test_maml_refuses_a_trajectory_of_adam():
    losses, phi = sine_losses(2)
    with pytest.raises(InputError, match="holds for plain SGD"):
        maml(inner_loop(losses, phi, Adam(1e-3)))
