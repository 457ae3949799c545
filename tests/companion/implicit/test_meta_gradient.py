"""Implicit MAML against closed forms, dense solves and automatic differentiation through the inner loop."""

import pytest
import torch

from companion.expansion.polynomial import sample_point, sample_polynomials
from companion.expansion.remainders import order_of
from companion.implicit.linear_systems import CurvatureError
from companion.implicit.meta_gradient import (
    ProximalLoss,
    expand_implicit,
    implicit_gradient,
    minimize_proximal,
)
from metalib.derivatives import gradient
from metalib.errors import DivergenceError, InputError
from metalib.inner import inner_loop
from metalib.meta_gradients import maml
from metalib.models.mlp import initialize_mlp
from metalib.optimizers import SGD
from metalib.params import norm, select, subtract
from tests.oracles import dense_hessian, flatten, relative_error, sine_losses, unflatten
from tests.tolerances import EXACT, ROUNDOFF, SLOPE

DIMENSION = 5
STRENGTH = 10.0
ALPHA = 0.08
TIGHT = 1e-13


def polynomial_task(degree, runs=1):
    """A loss to adapt on, a held-out loss of the same task, and φ, for each of some runs."""
    losses = sample_polynomials(0, runs, 2, DIMENSION, degree)
    points = [sample_point(seed, DIMENSION)["w"] for seed in range(runs)]
    return losses.select(slice(0, None, 2)), losses.select(slice(1, None, 2)), {"w": torch.cat(points)}


def network_task():
    """The sine network with 8 hidden units, so that its dense Hessian has 97 rows."""
    (loss, held_out), _ = sine_losses(2)
    return loss, held_out, initialize_mlp(3, (1, 8, 8, 1), torch.float64)


TASKS = {
    "quadratic": lambda: (*polynomial_task(2), ALPHA),
    "cubic": lambda: (*polynomial_task(3), ALPHA),
    "network": lambda: (*network_task(), 0.02),
}


def adapted(loss, phi, strength=STRENGTH, alpha=ALPHA, tolerance=EXACT):
    return minimize_proximal(ProximalLoss(loss, phi, strength), SGD(alpha), 2000, tolerance)


def through_the_loop(loss, held_out, phi, strength, alpha, steps):
    """∂L_o(φ_k)/∂φ by differentiating through gradient steps on the proximal loss, which starts at φ too."""
    start = {name: value.clone().requires_grad_() for name, value in phi.items()}
    current = start
    for _ in range(steps):
        g = torch.autograd.grad(loss(current).sum(), list(current.values()), create_graph=True)
        current = {
            name: value - alpha * (gi + strength * (value - start[name]))
            for (name, value), gi in zip(current.items(), g, strict=True)
        }
    result = torch.autograd.grad(held_out(current).sum(), list(start.values()))
    return dict(zip(start, result, strict=True))


def test_the_proximal_solution_of_a_quadratic_is_its_closed_form():
    loss, _, phi = polynomial_task(2)
    matrix = loss.quadratic[0] + STRENGTH * torch.eye(DIMENSION, dtype=torch.float64)
    expected = torch.linalg.solve(matrix, STRENGTH * phi["w"][0] - loss.linear[0])
    found = adapted(loss, phi)
    assert relative_error(found.phi, {"w": expected[None]}) < ROUNDOFF
    assert found.residual.max() <= EXACT
    assert 1 < found.steps < 100


def test_steps_end_at_the_limit_and_the_residual_is_that_of_the_last_weights():
    loss, _, phi = polynomial_task(3)
    objective = ProximalLoss(loss, phi, STRENGTH)
    found = minimize_proximal(objective, SGD(ALPHA), limit=3, tolerance=0.0)
    ratio = norm(gradient(objective, found.phi)) / norm(gradient(objective, phi))
    assert found.steps == 3
    torch.testing.assert_close(found.residual[0], ratio, rtol=EXACT, atol=0)


def test_the_implicit_gradient_of_a_quadratic_is_its_closed_form():
    loss, held_out, phi = polynomial_task(2)
    identity = torch.eye(DIMENSION, dtype=torch.float64)
    solution = torch.linalg.solve(
        loss.quadratic[0] + STRENGTH * identity, STRENGTH * phi["w"][0] - loss.linear[0]
    )
    g = held_out.linear[0] + held_out.quadratic[0] @ solution
    expected = torch.linalg.solve(identity + loss.quadratic[0] / STRENGTH, g)
    found = implicit_gradient(loss, held_out, adapted(loss, phi).phi, STRENGTH, tolerance=TIGHT)
    assert relative_error(found.x, {"w": expected[None]}) < ROUNDOFF
    assert found.steps.tolist() == [DIMENSION]
    assert found.residual.max() < 10 * TIGHT


@pytest.mark.parametrize("task", TASKS)
def test_the_implicit_gradient_is_that_of_a_dense_solve(task):
    loss, held_out, phi, alpha = TASKS[task]()
    star = adapted(loss, phi, alpha=alpha).phi
    matrix = dense_hessian(loss, star) / STRENGTH
    g = flatten(gradient(held_out, star))
    expected = torch.linalg.solve(matrix + torch.eye(len(g), dtype=torch.float64), g)
    found = implicit_gradient(loss, held_out, star, STRENGTH, tolerance=TIGHT)
    assert relative_error(found.x, unflatten(expected, phi)) < ROUNDOFF
    assert found.residual.max() < 10 * TIGHT
    # What the Hessian does to g is far above roundoff.
    assert relative_error(found.x, gradient(held_out, star)) > 1e-3


@pytest.mark.parametrize("task", TASKS)
def test_autograd_through_ever_more_steps_ends_at_the_implicit_gradient(task):
    loss, held_out, phi, alpha = TASKS[task]()
    star = adapted(loss, phi, alpha=alpha).phi
    x = implicit_gradient(loss, held_out, star, STRENGTH, tolerance=TIGHT).x
    errors = [
        relative_error(through_the_loop(loss, held_out, phi, STRENGTH, alpha, steps), x)
        for steps in (5, 20, 320)
    ]
    assert errors[0] > 1e-4
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < ROUNDOFF


def test_a_stack_with_a_strength_per_run_is_every_run_alone():
    loss, held_out, phi = polynomial_task(3, runs=3)
    strengths = torch.tensor([10.0, 12.0, 15.0], dtype=torch.float64)
    both = ProximalLoss(loss, phi, strengths)
    star = minimize_proximal(both, SGD(0.05), 2000, TIGHT).phi
    x = implicit_gradient(loss, held_out, star, strengths, tolerance=TIGHT).x
    for r in range(3):
        row = slice(r, r + 1)
        alone = minimize_proximal(both.select(row), SGD(0.05), 2000, TIGHT).phi
        assert relative_error(select(star, row), alone) < ROUNDOFF
        one = implicit_gradient(
            loss.select(row), held_out.select(row), alone, float(strengths[r]), tolerance=TIGHT
        )
        assert relative_error(select(x, row), one.x) < ROUNDOFF


@pytest.mark.parametrize("task", TASKS)
def test_slope_for_strong_lambda_is_2_with_the_hessian_terms_and_1_without(task):
    loss, held_out, phi, _ = TASKS[task]()
    expansion = expand_implicit(loss, held_out, phi)
    inverse = [2.0**-n for n in range(11, 17)]
    exact = []
    for s in inverse:
        star = adapted(loss, phi, 1 / s, 0.9 * s, tolerance=1e-9).phi
        exact.append(implicit_gradient(loss, held_out, star, 1 / s, tolerance=TIGHT).x)
    for order in (0, 1):
        left = [norm(subtract(x, expansion.at(s, order))).item() for x, s in zip(exact, inverse, strict=True)]
        assert order_of(inverse, left) == pytest.approx(order + 1, abs=SLOPE)


def test_to_leading_order_it_is_maml_after_one_step_of_size_one_over_lambda():
    """The remainder of the difference is of second order; neither side is an expansion here."""
    loss, held_out, phi = polynomial_task(3)
    inverse = [2.0**-n for n in range(11, 17)]
    gaps = []
    for s in inverse:
        star = adapted(loss, phi, 1 / s, 0.9 * s, tolerance=1e-9).phi
        x = implicit_gradient(loss, held_out, star, 1 / s, tolerance=TIGHT).x
        gaps.append(norm(subtract(x, maml(inner_loop([loss, held_out], phi, SGD(s))))).item())
    assert order_of(inverse, gaps) == pytest.approx(2.0, abs=SLOPE)


def test_a_strength_below_the_downward_curvature_is_a_clear_error_and_damping_solves_it():
    loss, held_out, phi = polynomial_task(2)
    lowest = float(torch.linalg.eigvalsh(loss.quadratic[0])[0])
    assert lowest < 0
    weak = -lowest / 2
    with pytest.raises(CurvatureError, match=r"give damping above .*, or raise the proximal strength λ"):
        implicit_gradient(loss, held_out, phi, weak)
    found = implicit_gradient(loss, held_out, phi, weak, tolerance=TIGHT, damping=1.5)
    matrix = loss.quadratic[0] / weak + 2.5 * torch.eye(DIMENSION, dtype=torch.float64)
    expected = torch.linalg.solve(matrix, gradient(held_out, phi)["w"][0])
    assert relative_error(found.x, {"w": expected[None]}) < ROUNDOFF


def test_a_step_size_that_is_too_large_is_a_clear_error():
    loss, _, phi = polynomial_task(3)
    with pytest.raises(DivergenceError, match="choose a smaller alpha"):
        minimize_proximal(ProximalLoss(loss, phi, STRENGTH), SGD(1.0))


@pytest.mark.parametrize("strength", [0.0, -1.0, float("nan"), float("inf")])
def test_a_strength_that_is_not_positive_and_finite_is_an_error(strength):
    loss, held_out, phi = polynomial_task(2)
    with pytest.raises(InputError, match="must be finite and greater than 0"):
        ProximalLoss(loss, phi, strength)
    with pytest.raises(InputError, match="must be finite and greater than 0"):
        implicit_gradient(loss, held_out, phi, strength)


def test_wrong_shapes_are_a_clear_error():
    loss, held_out, phi = polynomial_task(2)
    with pytest.raises(InputError, match="give a stack"):
        ProximalLoss(loss, {"w": phi["w"][0]}, STRENGTH)
    with pytest.raises(InputError, match=r"λ has shape \(2,\) for 1 runs"):
        implicit_gradient(loss, held_out, phi, torch.tensor([1.0, 2.0]))
    with pytest.raises(InputError, match=r"the loss has shape \(\); it must be \(1,\)"):
        ProximalLoss(lambda p: loss(p).sum(), phi, STRENGTH)(phi)


@pytest.mark.parametrize(("limit", "tolerance"), [(0, 0.1), (10, -0.1)])
def test_a_limit_or_tolerance_out_of_range_is_an_error(limit, tolerance):
    loss, _, phi = polynomial_task(2)
    with pytest.raises(InputError, match=r"limit is 0|tolerance is -0\.1"):
        minimize_proximal(ProximalLoss(loss, phi, STRENGTH), SGD(ALPHA), limit, tolerance)
