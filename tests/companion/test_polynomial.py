"""Polynomial losses: closed-form derivatives against automatic differentiation."""

import pytest
import torch

from companion.expansion.polynomial import sample_point, sample_polynomials
from metalib.derivatives import gradient, hvp
from metalib.errors import InputError
from metalib.params import repeat
from tests.tolerances import EXACT

DIMENSIONS = [1, 2, 7]


@pytest.mark.parametrize("dimension", DIMENSIONS)
@pytest.mark.parametrize("degree", [2, 3])
def test_closed_form_gradient_matches_autograd(dimension, degree):
    losses = sample_polynomials(0, tasks=2, minibatches=3, dimension=dimension, degree=degree)
    phi = repeat(sample_point(1, dimension), 6)
    torch.testing.assert_close(losses.gradient(phi), gradient(losses, phi), rtol=EXACT, atol=EXACT)


@pytest.mark.parametrize("dimension", DIMENSIONS)
@pytest.mark.parametrize("degree", [2, 3])
def test_closed_form_hessian_matches_autograd(dimension, degree):
    losses = sample_polynomials(0, tasks=2, minibatches=3, dimension=dimension, degree=degree)
    phi = repeat(sample_point(1, dimension), 6)
    dense = losses.hessian(phi)
    for column in range(dimension):
        unit = {"w": torch.eye(dimension).double()[column].expand(6, -1)}
        torch.testing.assert_close(hvp(losses, phi, unit)["w"], dense[:, :, column], rtol=EXACT, atol=EXACT)


def test_hessian_of_a_quadratic_is_constant_and_of_a_cubic_is_not():
    here, there = repeat(sample_point(0, 3), 1), repeat(sample_point(1, 3), 1)
    quadratic = sample_polynomials(0, 1, 1, 3, degree=2)
    cubic = sample_polynomials(0, 1, 1, 3, degree=3)
    assert torch.equal(quadratic.hessian(here), quadratic.hessian(there))
    assert not torch.allclose(cubic.hessian(here), cubic.hessian(there))


def test_coefficients_are_symmetric():
    losses = sample_polynomials(3, 2, 2, 4)
    torch.testing.assert_close(losses.quadratic, losses.quadratic.mT)
    torch.testing.assert_close(losses.cubic, losses.cubic.permute(0, 2, 1, 3))
    torch.testing.assert_close(losses.cubic, losses.cubic.permute(0, 3, 2, 1))


def test_minibatches_of_a_task_resemble_each_other_more_than_those_of_other_tasks():
    linear = sample_polynomials(0, tasks=50, minibatches=20, dimension=4, spread=0.1).linear.unflatten(
        0, (50, 20)
    )
    within, between = linear.var(1).mean(), linear.mean(1).var(0).mean()
    assert within < 0.1 * between


def test_without_spread_all_minibatches_of_a_task_are_the_same():
    losses = sample_polynomials(0, tasks=2, minibatches=2, dimension=3, spread=0.0)
    assert torch.equal(losses.cubic[0], losses.cubic[1])
    assert not torch.equal(losses.cubic[1], losses.cubic[2])


def test_same_seed_same_losses():
    assert torch.equal(sample_polynomials(5, 1, 2, 3).cubic, sample_polynomials(5, 1, 2, 3).cubic)
    assert not torch.equal(sample_polynomials(5, 1, 2, 3).cubic, sample_polynomials(6, 1, 2, 3).cubic)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"degree": 4}, "degree is 4"),
        ({"tasks": 0}, "tasks is 0"),
        ({"minibatches": 0}, "minibatches is 0"),
        ({"dimension": 0}, "dimension is 0"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, complaint):
    with pytest.raises(InputError, match=complaint):
        sample_polynomials(**{"seed": 0, "tasks": 1, "minibatches": 1, "dimension": 2, **arguments})
